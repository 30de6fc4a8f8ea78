"""Who is notified of checkpoints, when, and what happens when a listener fails."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from spark.errors import BackendError
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.running import FailsOnce, Failure, countdown, every_step, history


class Diary(CheckpointHandler):
    """Writes down what it is told, and what could be loaded at that moment."""

    def __init__(self, backend: InMemoryCheckpointBackend) -> None:
        self.backend = backend
        self.entries: list[tuple[str, Any, list[int]]] = []

    async def _write(self, event: str, what: Any) -> None:
        self.entries.append((event, what, [info.sequence for info in (await self.backend.list()).infos]))

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        await self._write("created", checkpoint.sequence)

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        await self._write("restored", checkpoint.sequence)

    async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        await self._write("deleted", checkpoint_id)


class Broken(CheckpointHandler):
    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        raise Failure("of the handler")


class Silent(CheckpointHandler):
    """Neither calls the base's constructor nor writes a method."""

    def __init__(self, value: int) -> None:
        self.value = value


@pytest.fixture
def backend() -> InMemoryCheckpointBackend:
    return InMemoryCheckpointBackend()


@pytest.fixture
def diary(backend: InMemoryCheckpointBackend) -> Diary:
    return Diary(backend)


async def test_created_comes_when_it_is_durable_and_deleted_when_it_is_gone(
    backend: InMemoryCheckpointBackend, diary: Diary
) -> None:
    config = every_step(backend, auto_cleanup=True, max_checkpoints=1, handler=diary)
    await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 2})

    assert diary.entries == [
        ("created", 1, [1]),
        ("created", 2, [2]),
        ("deleted", "ckpt_g_000001", [2]),
    ]


async def test_restored_comes_once_at_the_start_of_the_first_run_that_continues(
    backend: InMemoryCheckpointBackend, diary: Diary
) -> None:
    config = CheckpointConfig(backend=backend, handler=diary)
    start = FailsOnce(name="fails")
    with pytest.raises(Failure):
        await Graph(start, id="g", checkpoint_config=config).run()
    (checkpoint,) = [await CheckpointManager(backend).load_checkpoint("ckpt_g_000001")]
    restored = Graph.from_checkpoint(checkpoint, start=start, checkpoint_config=config)
    assert [event for event, *_ in diary.entries] == ["created"]

    await restored.run()
    await restored.run()

    assert [event for event, *_ in diary.entries] == ["created", "restored", "created", "created"]


async def test_restored_comes_with_resume_too_and_not_when_nothing_is_left_to_do(
    backend: InMemoryCheckpointBackend, diary: Diary
) -> None:
    graph = Graph(FailsOnce(name="fails"), checkpoint_config=CheckpointConfig(backend=backend, handler=diary))
    with pytest.raises(Failure):
        await graph.run()
    await graph.run(resume=True)
    await graph.run(resume=True)

    assert [event for event, *_ in diary.entries] == ["created", "restored", "created"]


async def test_a_failing_handler_is_logged_with_its_name_and_the_others_are_notified(
    backend: InMemoryCheckpointBackend, diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    config = CheckpointConfig(backend=backend, handler=[Broken(), diary, Silent(1)])
    with caplog.at_level(logging.ERROR, "spark.checkpoint"):
        message = await Graph(countdown(), checkpoint_config=config).run({"limit": 1})

    assert message.content["count"] == 1
    assert [event for event, *_ in diary.entries] == ["created"]
    (logged,) = caplog.records
    assert "The handler Broken failed in on_checkpoint_created; the run continues" in logged.message
    assert logged.exc_info is not None


class Quits(CheckpointHandler):
    """Does what ends a program, or looks like a cancelled run."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        if self.how == "exits":
            sys.exit(3)
        helper = asyncio.create_task(asyncio.sleep(60))
        helper.cancel()
        await helper


@pytest.mark.parametrize("how", ["exits", "cancels a helper of its own"])
async def test_a_handler_that_quits_does_not_end_the_run_unless_that_is_wanted(
    backend: InMemoryCheckpointBackend, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    message = await Graph(countdown(), checkpoint_config=every_step(backend, handler=Quits(how))).run({"limit": 1})

    assert message.content["count"] == 1
    assert "The handler Quits failed in on_checkpoint_created; the run continues" in caplog.text

    config = every_step(backend, handler=Quits(how), handler_errors="raise")
    with pytest.raises((SystemExit, asyncio.CancelledError)):
        await Graph(countdown(), checkpoint_config=config).run({"limit": 1})


async def test_a_failing_handler_stops_the_run_where_that_is_wanted(backend: InMemoryCheckpointBackend) -> None:
    config = every_step(backend, handler=Broken(), handler_errors="raise")
    graph = Graph(countdown(), checkpoint_config=config)

    with pytest.raises(Failure, match="of the handler"):
        await graph.run({"limit": 5})

    assert await graph.get_state("count") == 1
    assert len(await history(graph)) == 1


async def test_each_handler_gets_a_copy_of_its_own(backend: InMemoryCheckpointBackend) -> None:
    class Careless(CheckpointHandler):
        seen: int | None = None

        async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            self.seen = checkpoint.graph_state["count"]
            checkpoint.graph_state["count"] = 1000

    handlers = [Careless(), Careless()]
    graph = Graph(countdown(), checkpoint_config=every_step(backend, handler=handlers))
    await graph.run({"limit": 1})

    assert [handler.seen for handler in handlers] == [1, 1]
    assert await graph.get_state("count") == 1
    assert (await history(graph))[0].graph_state == {"count": 1}


async def test_saving_and_deleting_by_hand_are_reported_too(backend: InMemoryCheckpointBackend, diary: Diary) -> None:
    graph = Graph(countdown(), checkpoint_config=CheckpointConfig(backend=backend, handler=diary))
    await graph.create_checkpoint("mine").save(backend)
    await CheckpointManager(backend, handler=diary).delete_checkpoint("mine")

    assert diary.entries == [("created", 1, [1]), ("deleted", "mine", [])]


async def test_all_that_was_deleted_is_reported_before_a_handler_ends_the_run(
    backend: InMemoryCheckpointBackend,
) -> None:
    class Objects(CheckpointHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
            self.heard.append(checkpoint_id)
            raise Failure(checkpoint_id)

    many = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    await Graph(countdown(), id="pruned", checkpoint_config=many).run({"limit": 4})
    objects = Objects()
    one = CheckpointConfig(backend=backend, max_checkpoints=1, handler=objects, handler_errors="raise")

    with pytest.raises(Failure, match="ckpt_pruned_000001"):
        await Graph(countdown(), id="pruned", checkpoint_config=one).run({"limit": 1})

    assert objects.heard == [f"ckpt_pruned_{sequence:06}" for sequence in (1, 2, 3, 4)]


async def test_cancelling_whoever_waits_for_a_handler_is_no_failure_of_the_handler(
    backend: InMemoryCheckpointBackend,
) -> None:
    begun = asyncio.Event()

    class Waits(CheckpointHandler):
        async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
            begun.set()
            await asyncio.Event().wait()

    await Graph(countdown(), id="g").create_checkpoint("mine").save(backend)
    deleting = asyncio.create_task(CheckpointManager(backend, handler=Waits()).delete_checkpoint("mine"))
    await begun.wait()
    deleting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await deleting


class Plain(CheckpointHandler):
    """Methods that are no coroutines; one of them returns something to wait for."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bool, str]] = []

    def note(self, event: str) -> None:
        self.heard.append((event, threading.current_thread() is threading.main_thread(), WHOSE.get()))

    def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self.note("created")

    def on_checkpoint_deleted(self, checkpoint_id: str) -> Any:
        self.note("deleted")
        return self.later()

    async def later(self) -> None:
        self.note("later")


WHOSE: ContextVar[str] = ContextVar("WHOSE", default="nobody's")


async def test_a_plain_method_runs_in_a_thread_with_the_context_of_the_run(backend: InMemoryCheckpointBackend) -> None:
    handler = Plain()
    WHOSE.set("the run's")
    config = every_step(backend, auto_cleanup=True, max_checkpoints=1, handler=handler)

    await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 2})

    assert handler.heard == [
        ("created", False, "the run's"),
        ("created", False, "the run's"),
        ("deleted", False, "the run's"),
        ("later", True, "the run's"),
    ]


async def test_a_method_may_await_the_one_that_it_overrides(backend: InMemoryCheckpointBackend) -> None:
    class Above(Diary):
        async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
            await super(Diary, self).on_checkpoint_restored(checkpoint)
            await super().on_checkpoint_restored(checkpoint)

    diary = Above(backend)
    graph = Graph(FailsOnce(name="fails"), checkpoint_config=CheckpointConfig(backend=backend, handler=diary))
    with pytest.raises(Failure):
        await graph.run()
    await graph.run(resume=True)

    assert [event for event, *_ in diary.entries] == ["created", "restored", "created"]


class Full(InMemoryCheckpointBackend):
    """A store that is full."""

    async def put(self, record: Any) -> None:
        raise BackendError("the store is full")


class Worried(CheckpointHandler):
    def __init__(self, *, fails: bool = False) -> None:
        self.heard: list[tuple[str, str]] = []
        self.fails = fails

    async def on_checkpoint_failed(self, graph_id: str, error: BaseException) -> None:
        self.heard.append((graph_id, str(error)))
        if self.fails:
            raise ValueError("of the handler")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_checkpoint_that_can_not_be_made_is_reported_and_ends_the_run_with_its_own_error(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    worried = Worried(fails=fails)
    config = every_step(Full(), handler=worried, handler_errors="raise")

    with pytest.raises(BackendError, match="the store is full"):
        await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 1})

    assert {*worried.heard} == {("g", "the store is full")}
    assert ("The handler Worried failed in on_checkpoint_failed" in caplog.text) is fails
