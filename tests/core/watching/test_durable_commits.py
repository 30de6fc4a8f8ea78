"""The event of a commit is never seen before the commit is durable, where the durability is ``"sync"``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import BackendError
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, InMemoryCheckpointBackend
from spark.graphs.events import StepCommitted, held
from spark_testing.faults import FaultyBackend


@node
async def count(context: NodeContext) -> dict[str, Any]:
    total = await context.graph_state.get("total", 0) + 1
    await context.graph_state.set("total", total)
    return {"more": total < 4}


count.on(more=True) >> count


def graph_with(backend: Any, **config: Any) -> Graph:
    config = {"trigger_on_iteration": 1, **config}
    return Graph(count, id="counting", checkpoint_config=CheckpointConfig(backend=backend, **config))


async def kinds_until_error(stream: Any) -> list[str]:
    kinds: list[str] = []

    async def follow() -> None:
        async for event in stream:
            kinds.append(event.kind)  # noqa: PERF401 - until it raises

    with pytest.raises(BackendError):
        await follow()
    return kinds


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_commit_is_not_seen_while_its_checkpoint_is_being_stored() -> None:
    backend = FaultyBackend(InMemoryCheckpointBackend())
    fault = backend.hang("put")
    graph = graph_with(backend)
    durable, at_once = graph.watch(), graph.watch(commits="at_once")
    seen: dict[str, list[str]] = {"durable": [], "at_once": []}

    async def follow(name: str, watcher: Any) -> None:
        async for event in watcher:
            seen[name].append(event.kind)

    tasks = [asyncio.create_task(follow("durable", durable)), asyncio.create_task(follow("at_once", at_once))]
    run = asyncio.create_task(graph.run())
    await fault.reached.wait()
    await turns()

    assert seen["durable"] == ["run_started", "step_started"]
    assert seen["at_once"] == ["run_started", "step_started", "step_committed"]

    fault.released.set()
    await run
    await asyncio.gather(*tasks)
    assert seen["durable"][:4] == ["run_started", "step_started", "step_committed", "checkpoint_made"]
    assert seen["durable"].count("step_committed") == 4


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_commits_whose_save_fails_are_never_seen(at: int) -> None:
    backend = FaultyBackend(InMemoryCheckpointBackend())
    for each in range(at, 12):
        backend.fail("put", at=each)
    graph = graph_with(backend)
    kinds = await kinds_until_error(graph.stream())

    assert kinds.count("step_committed") == kinds.count("checkpoint_made") == at - 1
    assert kinds[-1] == "run_finished"


async def test_a_commit_is_seen_although_an_observer_raises_after_its_checkpoint_was_stored() -> None:
    """It is durable, so the run that is resumed will not do it again."""

    class Broken(CheckpointHandler):
        async def on_checkpoint_created(self, checkpoint: Any) -> None:
            raise BackendError("from the handler")

    graph = graph_with(InMemoryCheckpointBackend(), handler=Broken(), handler_errors="raise")
    assert (await kinds_until_error(graph.stream())).count("step_committed") == 1


async def test_without_a_trigger_commits_are_seen_at_the_end_in_order() -> None:
    graph = graph_with(InMemoryCheckpointBackend(), trigger_on_iteration=None)
    events = [event async for event in graph.stream()]
    kinds = [event.kind for event in events]

    assert kinds == [
        "run_started",
        *["step_started"] * 4,
        *["step_committed"] * 4,
        "checkpoint_made",
        "run_finished",
    ]
    assert [event.iteration for event in events if event.kind == "step_committed"] == [1, 2, 3, 4]


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_with_other_durabilities_they_are_seen_at_once(durability: Any) -> None:
    backend = FaultyBackend(InMemoryCheckpointBackend())
    fault = backend.hang("put")
    graph = graph_with(backend, durability=durability)
    watcher = graph.watch(only="step_committed")
    run = asyncio.create_task(graph.run())
    await fault.reached.wait()
    first = await anext(watcher)
    fault.released.set()
    await run

    assert first.iteration == 1


async def test_a_long_run_without_checkpoints_holds_a_bounded_number_and_says_how_many_it_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held, "MOST_HELD", 2)
    graph = graph_with(InMemoryCheckpointBackend(), trigger_on_iteration=None)
    events = [event async for event in graph.stream(only=("step_committed", "checkpoint_made"))]

    assert [(event.kind, event.iteration, event.dropped) for event in events] == [
        ("step_committed", 3, 2),
        ("step_committed", 4, 0),
        ("checkpoint_made", 4, 0),
    ]


async def test_what_becomes_durable_together_is_not_dropped_by_a_small_buffer() -> None:
    graph = graph_with(InMemoryCheckpointBackend(), trigger_on_iteration=None)
    watcher = graph.watch(buffer=2, only="step_committed")
    await graph.run()

    assert [event.iteration async for event in watcher] == [1, 2, 3, 4]


async def test_a_durable_call_makes_the_commits_before_it_seen() -> None:
    """It is saved beside running steps, and with it all that was committed by then."""
    made = asyncio.Event()

    @node
    async def first(context: NodeContext) -> dict[str, Any]:
        return {}

    @node
    async def pays(context: NodeContext) -> dict[str, Any]:
        await context.run("pay", lambda: 1)
        await made.wait()
        return {}

    first >> pays
    config = CheckpointConfig(backend=InMemoryCheckpointBackend())
    graph = Graph(first, checkpoint_config=config)
    seen = []
    async for event in graph.stream(only=StepCommitted):
        made.set()
        seen.append(event)

    assert [event.kind for event in seen] == ["step_committed", "step_committed"]
