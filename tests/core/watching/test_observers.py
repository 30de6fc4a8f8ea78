"""Handlers and plugins are told of events: beside the run, which they can neither end nor hold up."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, InMemoryCheckpointBackend
from spark.graphs.events import Event, observing
from spark.hooks import hookimpl, register
from spark_testing.faults import FaultyBackend

KINDS = ["run_started", *["step_started", "step_committed"] * 3]


@node
async def count(context: NodeContext) -> dict[str, Any]:
    total = await context.graph_state.get("total", 0) + 1
    await context.graph_state.set("total", total)
    return {"more": total < 3}


count.on(more=True) >> count


def graph_with(*handlers: CheckpointHandler, backend: Any = None, **config: Any) -> Graph:
    config = {"enabled": backend is not None, "handler": [*handlers], **config}
    return Graph(count, id="counting", checkpoint_config=CheckpointConfig(backend=backend or "memory://", **config))


class Plain(CheckpointHandler):
    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.threads: set[int] = set()

    def on_event(self, event: Event) -> None:
        self.kinds.append(event.kind)
        self.threads.add(threading.get_ident())


class Async(CheckpointHandler):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    async def on_event(self, event: Event) -> None:
        await asyncio.sleep(0)
        self.kinds.append(event.kind)


async def test_all_was_delivered_in_order_when_the_run_returns_and_plain_ones_ran_in_threads() -> None:
    plain, other = Plain(), Async()
    await graph_with(plain, other).run()

    assert plain.kinds == other.kinds == [*KINDS, "run_finished"]
    assert threading.get_ident() not in plain.threads


async def test_a_plain_one_takes_a_thread_for_many_events_and_not_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    tell = observing.tell

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return await tell(*arguments, **options)

    monkeypatch.setattr(observing, "tell", counted)
    plain = Plain()
    await graph_with(plain).run()

    assert len(plain.kinds) == 8
    assert calls < 8


async def test_hooks_of_plugins_are_told_as_well() -> None:
    class Listening:
        def __init__(self) -> None:
            self.kinds: list[str] = []

        @hookimpl
        def spark_run_event(self, event: Event) -> None:
            self.kinds.append(event.kind)

    with register(listening := Listening(), name="listening"):
        await graph_with(backend=InMemoryCheckpointBackend()).run()

    assert [kind for kind in listening.kinds if kind.startswith("run")] == ["run_started", "run_finished"]
    assert listening.kinds.count("step_committed") == 3


async def test_they_see_a_commit_only_once_it_is_durable() -> None:
    backend, plain = FaultyBackend(InMemoryCheckpointBackend()), Async()
    fault = backend.hang("put")
    graph = graph_with(plain, backend=backend, trigger_on_iteration=1)
    run = asyncio.create_task(graph.run())
    await fault.reached.wait()
    for _ in range(50):
        await asyncio.sleep(0)

    assert plain.kinds == ["run_started", "step_started"]
    fault.released.set()
    await run
    assert plain.kinds.count("step_committed") == 3


async def test_what_one_raises_is_logged_once_and_it_is_told_of_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Async):
        async def on_event(self, event: Event) -> None:
            await super().on_event(event)
            raise ValueError("from the handler")

    class Worse(Plain):
        def on_event(self, event: Event) -> None:
            super().on_event(event)
            raise SystemExit

    broken, worse, sound = Broken(), Worse(), Plain()
    message = await graph_with(broken, worse, sound, handler_errors="raise").run()

    assert message.status == "completed"
    assert broken.kinds == worse.kinds == sound.kinds == [*KINDS, "run_finished"]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2


async def test_one_that_never_returns_is_left_behind_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("spark.hooks.events.LONGEST", 0.5)
    monkeypatch.setattr(observing, "LONGEST", 5.0)

    class Stuck(CheckpointHandler):
        async def on_event(self, event: Event) -> None:
            await asyncio.Event().wait()

    sound = Async()
    message = await graph_with(Stuck(), sound).run()

    assert message.status == "completed"
    assert sound.kinds == [*KINDS, "run_finished"]
    assert [record for record in caplog.records if "missed" in record.getMessage() and "Stuck" in record.getMessage()]


async def test_one_that_can_not_keep_up_misses_the_oldest_which_is_counted_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observing, "_BUFFER", 4)
    other = Async()
    await graph_with(other).run()

    assert len(other.kinds) < 8
    (missed,) = [record.getMessage() for record in caplog.records if "missed" in record.getMessage()]
    assert f"missed {8 - len(other.kinds)} events" in missed


async def test_a_run_that_fails_and_one_that_is_cancelled_deliver_what_happened() -> None:
    started = asyncio.Event()

    @node
    async def forever(context: NodeContext) -> None:
        started.set()
        await asyncio.Event().wait()

    plain = Plain()
    graph = Graph(forever, checkpoint_config=CheckpointConfig(backend="memory://", enabled=False, handler=plain))
    run = asyncio.create_task(graph.run())
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert plain.kinds == ["run_started", "step_started", "run_finished"]


async def test_only_the_graphs_that_an_observer_is_for_are_shown_to_it() -> None:
    plain = Plain()
    await graph_with(plain).run()
    await Graph(count, id="another").run()

    assert plain.kinds.count("run_finished") == 1
