"""``CheckpointHandler.around``: what is entered before something runs, in its own task, and exited after it has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError
from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.events import Activity
from spark_testing.faults import FaultyBackend

SPAN: ContextVar[str] = ContextVar("span", default="")


class Tracing(CheckpointHandler):
    """Keeps the name of what is under way in a context variable, as tracing does, and what it saw."""

    def __init__(self, trace: str = "") -> None:
        self.trace = trace
        self.ended: list[tuple[str, str, str, str | None]] = []
        self.activities: list[Activity] = []
        self.threads: set[int] = set()

    @contextmanager
    def around(self, activity: Activity) -> Iterator[None]:
        self.activities.append(activity)
        self.threads.add(threading.get_ident())
        parent = SPAN.get()
        if activity.kind == "run":
            activity.carrier.setdefault("traceparent", self.trace)
        token = SPAN.set(f"{parent}/{activity.kind}")
        yield
        SPAN.reset(token)
        self.ended.append((activity.kind, activity.name, parent, activity.outcome))
        self.error = activity.error or getattr(self, "error", None)


def config_with(handler: CheckpointHandler, backend: Any = None) -> CheckpointConfig:
    return CheckpointConfig(backend=backend or InMemoryCheckpointBackend(), trigger_on_iteration=1, handler=handler)


async def test_it_is_entered_around_run_step_call_and_checkpoint_one_within_the_other() -> None:
    tracing = Tracing()

    @node
    async def pay(context: NodeContext) -> dict[str, Any]:
        return {"seen": SPAN.get(), "in_call": await context.run("charge", SPAN.get)}

    message = await Graph(pay, id="shop", checkpoint_config=config_with(tracing)).run()

    assert message.content == {"seen": "/run/step", "in_call": "/run/step/call"}
    assert ("call", "charge", "/run/step", "finished") in tracing.ended
    assert ("step", "pay", "/run", "finished") in tracing.ended
    assert ("checkpoint", "completed", "/run", "finished") in tracing.ended
    assert tracing.ended[-1] == ("run", "shop", "", "completed")
    assert SPAN.get() == ""


async def test_plain_nodes_in_threads_see_the_context_variables() -> None:
    @node
    def plain(context: NodeContext) -> dict[str, Any]:
        return {"seen": SPAN.get()}

    message = await Graph(plain, checkpoint_config=config_with(Tracing())).run()
    assert message.content == {"seen": "/run/step"}


async def test_steps_that_run_together_each_have_their_own() -> None:
    class Fan(Node):
        async def process(self, context: NodeContext) -> Any:
            return {}

    class Leaf(Node):
        async def process(self, context: NodeContext) -> Any:
            before = SPAN.get()
            await asyncio.sleep(0)
            return {"seen": (before, SPAN.get())}

    tracing, first = Tracing(), Fan()
    for _ in range(5):
        first >> Leaf()
    message = await Graph(first, checkpoint_config=config_with(tracing)).run()

    assert message.content == {"seen": ("/run/step", "/run/step")}
    assert [parent for kind, _, parent, _ in tracing.ended if kind == "step"] == ["/run"] * 6


async def test_an_activity_says_what_it_is_and_how_it_ended() -> None:
    tracing = Tracing()

    @node
    async def flaky(context: NodeContext) -> dict[str, Any]:
        if context.attempt == 1:
            raise ValueError("no")
        return {"key": context.idempotency_key}

    graph = Graph(flaky, id="shop", checkpoint_config=config_with(tracing), retry=lambda error, attempt: 0)
    message = await graph.run()
    steps = [activity for activity in tracing.activities if activity.kind == "step"]

    assert [(step.node, step.attempt, step.outcome) for step in steps] == [
        ("flaky", 1, "failed"),
        ("flaky", 2, "finished"),
    ]
    assert steps[0].idempotency_key == steps[1].idempotency_key == message.content["key"]
    assert isinstance(tracing.error, ValueError)
    made = [activity for activity in tracing.activities if activity.kind == "checkpoint"]
    assert all(activity.checkpoint_id for activity in made)


async def test_how_a_run_and_a_checkpoint_fail() -> None:
    tracing, backend = Tracing(), FaultyBackend(InMemoryCheckpointBackend())
    for at in range(1, 5):
        backend.fail("put", at=at)

    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        return {}

    with pytest.raises(BackendError):
        await Graph(work, checkpoint_config=config_with(tracing, backend)).run()

    outcomes = {(kind, outcome) for kind, _, _, outcome in tracing.ended}
    assert {("checkpoint", "failed"), ("run", "failed"), ("step", "finished")} <= outcomes


async def test_a_step_that_waits_is_suspended_and_the_run_interrupted() -> None:
    tracing = Tracing()

    @node
    async def ask(context: NodeContext) -> dict[str, Any]:
        return {"answer": await context.interrupt("sure?")}

    await Graph(ask, checkpoint_config=config_with(tracing)).run()

    assert ("step", "ask", "/run", "suspended") in tracing.ended
    assert tracing.ended[-1][3] == "interrupted"


class TestTheCarrier:
    async def test_whoever_resumes_the_run_finds_it_again(self) -> None:
        backend, first, second = InMemoryCheckpointBackend(), Tracing("first"), Tracing("second")

        @node
        async def ask(context: NodeContext) -> dict[str, Any]:
            return {"answer": await context.interrupt("sure?")}

        message = await Graph(ask, id="ask", checkpoint_config=config_with(first, backend)).run()
        graph = Graph(ask, id="ask", checkpoint_config=config_with(second, backend))
        await graph.run(resume={message.interrupts[0].id: "yes"})
        run = second.activities[0]

        assert run.kind == "run"
        assert run.resumed_from is not None
        assert run.carrier == {"traceparent": "first"}

    async def test_also_when_it_was_resumed_in_between_where_nobody_traced(self) -> None:
        backend, last = InMemoryCheckpointBackend(), Tracing("last")

        @node
        async def ask(context: NodeContext) -> dict[str, Any]:
            first = await context.interrupt("sure?", key="a")
            return {"answer": first + await context.interrupt("really?", key="b")}

        message = await Graph(ask, id="ask", checkpoint_config=config_with(Tracing("first"), backend)).run()
        untraced = Graph(ask, id="ask", checkpoint_config=CheckpointConfig(backend=backend))
        message = await untraced.run(resume={message.interrupts[0].id: "yes"})
        await Graph(ask, id="ask", checkpoint_config=config_with(last, backend)).run(
            resume={message.interrupts[0].id: "yes"}
        )

        assert last.activities[0].carrier == {"traceparent": "first"}

    async def test_nothing_is_stored_where_there_is_none(self) -> None:
        backend = InMemoryCheckpointBackend()

        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            return {}

        await Graph(work, id="plain", checkpoint_config=CheckpointConfig(backend=backend)).run()
        assert b"carrier" not in (await backend.get("plain", 1)).payload


@pytest.mark.parametrize("where", ["call", "enter", "exit"])
async def test_what_it_raises_is_logged_once_and_changes_nothing(where: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CheckpointHandler):
        def around(self, activity: Activity) -> Any:
            if where == "call":
                raise ValueError("broken")
            return self.manager()

        @contextmanager
        def manager(self) -> Iterator[None]:
            if where == "enter":
                raise ValueError("broken")
            yield
            raise SystemExit("broken")

    tracing = Tracing()

    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        return {"seen": SPAN.get()}

    given = CheckpointConfig(backend=InMemoryCheckpointBackend(), handler=[Broken(), tracing], handler_errors="raise")
    message = await Graph(work, checkpoint_config=given).run()

    assert message.content == {"seen": "/run/step"}
    assert len([record for record in caplog.records if "around" in record.getMessage()]) == 1


class TestWhoWatchesNotEveryRun:
    class Choosy(Tracing):
        """Watches runs while it is awake."""

        awake: Any = False

        def watches(self, graph_id: str) -> bool:
            if graph_id == "unknown":
                raise KeyError(graph_id)
            return bool(self.awake)

        def on_event(self, event: Any) -> None:
            self.told = True

    async def test_is_told_nothing_of_the_others(self) -> None:
        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            return {"seen": SPAN.get()}

        choosy = self.Choosy("trace")
        config = config_with(choosy)
        asleep = await Graph(work, id="asleep", checkpoint_config=config).run()
        assert asleep.content == {"seen": ""}
        assert (choosy.activities, hasattr(choosy, "told")) == ([], False)

        choosy.awake = True
        awake = await Graph(work, id="awake", checkpoint_config=config).run()
        assert awake.content == {"seen": "/run/step"}
        assert choosy.told

    async def test_what_it_raises_is_logged_and_means_no(self, caplog: pytest.LogCaptureFixture) -> None:
        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            return {"seen": SPAN.get()}

        choosy, other = self.Choosy(), Tracing()
        config = CheckpointConfig(backend=InMemoryCheckpointBackend(), handler=[choosy, other], handler_errors="raise")
        message = await Graph(work, id="unknown", checkpoint_config=config).run()

        assert message.content == {"seen": "/run/step"}
        assert choosy.activities == []
        assert "watches()" in caplog.text

    async def test_others_watch_it_all_the_same(self) -> None:
        @node
        async def work(context: NodeContext) -> dict[str, Any]:
            return {}

        choosy = self.Choosy()
        graph = Graph(work, id="asleep", checkpoint_config=config_with(choosy))
        assert [event.kind async for event in graph.stream()][-1] == "run_finished"
        assert choosy.activities == []


async def test_a_checkpoint_that_is_stored_tells_its_sequence_and_size(tmp_path: Path) -> None:
    @node
    async def work(context: NodeContext) -> dict[str, Any]:
        return {}

    tracing, url = Tracing(), f"sqlite:///{tmp_path}/runs.db"
    await Graph(work, id="shop", checkpoint_config=config_with(tracing, url)).run()
    infos = await CheckpointManager(url).list_checkpoints("shop")

    made = [activity for activity in tracing.activities if activity.kind == "checkpoint"]
    assert [(each.sequence, each.bytes) for each in made] == [(info.sequence, info.size) for info in infos]
