"""What watchers see of runs that wait, fail, are retried, run out of their budget, or lose their claim."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import BudgetExceededError, ClaimedError
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Task, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.events import (
    Event,
    RunFinished,
    StepCommitted,
    StepEvent,
    StepFailed,
    StepRetrying,
    StepStarted,
    StepWaiting,
    Waiting,
)
from spark_testing.clock import FakeClock, SkippingClock


def with_store(start: Any, **arguments: Any) -> Graph:
    return Graph(start, id="g", checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()), **arguments)


async def until_error(stream: Any, kind: type[BaseException]) -> list[Event]:
    events: list[Event] = []

    async def follow() -> None:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - until it raises

    with pytest.raises(kind):
        await follow()
    return events


async def test_a_retried_step_is_one_step_with_attempts() -> None:
    @node
    async def flaky(context: NodeContext) -> dict[str, Any]:
        if context.attempt < 3:
            raise ValueError("no")
        return {}

    graph = with_store(flaky, retry=lambda error, attempt: 0)
    events = [event async for event in graph.stream(only=StepEvent)]
    told = [(event.kind, event.attempt) for event in events if isinstance(event, StepEvent)]

    assert told == [
        ("step_started", 1),
        ("step_failed", 1),
        ("step_retrying", 1),
        ("step_started", 2),
        ("step_failed", 2),
        ("step_retrying", 2),
        ("step_started", 3),
        ("step_committed", 3),
    ]
    assert len({event.step for event in events if isinstance(event, StepEvent)}) == 1
    assert {event.then for event in events if isinstance(event, StepFailed)} == {"retry"}
    assert all(event.due.tzinfo for event in events if isinstance(event, StepRetrying))


async def test_a_step_that_waits_is_repeated_as_the_same_attempt() -> None:
    @node
    async def sleepy(context: NodeContext) -> dict[str, Any]:
        await context.sleep(10)
        return {}

    events = [event async for event in with_store(sleepy, clock=SkippingClock()).stream()]
    started = [event for event in events if isinstance(event, StepStarted)]
    (waiting,) = [event for event in events if isinstance(event, StepWaiting)]

    assert [(event.step, event.attempt) for event in started] == [("1", 1), ("1", 1)]
    assert waiting.waits == ("timer",)
    assert [event.due for event in events if isinstance(event, Waiting)] == [waiting.due]


async def test_a_run_that_returns_to_wait_says_until_when() -> None:
    @node
    async def sleepy(context: NodeContext) -> dict[str, Any]:
        await context.sleep(3600)
        return {}

    events = [event async for event in with_store(sleepy).stream(wait=False)]
    *_, waiting, last = events

    assert isinstance(waiting, Waiting)
    assert isinstance(last, RunFinished)
    assert last.status == "waiting"
    assert last.message is not None
    assert waiting.due == last.message.due


async def test_an_error_that_is_handled_names_the_nodes_that_handle_it() -> None:
    @node
    async def broken(context: NodeContext) -> None:
        raise ValueError

    @node
    async def cleans(context: NodeContext) -> dict[str, Any]:
        return {}

    broken.on_error() >> cleans
    events = [event async for event in with_store(broken).stream()]
    (failed,) = [event for event in events if isinstance(event, StepFailed)]

    assert (failed.then, failed.next) == ("handled", ("cleans",))
    assert [event.node for event in events if isinstance(event, StepCommitted)] == ["cleans"]


async def test_an_item_that_fails_and_is_collected() -> None:
    class Split(Node):
        async def process(self, context: NodeContext) -> Any:
            return {"items": [1, 2]}

    class Work(Node):
        async def process(self, context: NodeContext) -> Any:
            if context.index == 1:
                raise ValueError
            return context.inputs

    class Gather(JoinNode):
        async def process(self, context: NodeContext) -> Any:
            return {}

    split = Split()
    split.each("items", on_error="collect") >> Work() >> Gather()
    failed = [event async for event in with_store(split).stream(only=StepFailed)]

    assert [(event.then, event.index) for event in failed if isinstance(event, StepFailed)] == [("collected", 1)]


async def test_a_budget_that_is_used_up() -> None:
    @node
    async def loop(context: NodeContext) -> dict[str, Any]:
        return {}

    loop >> loop
    stream = with_store(loop).stream(Task(inputs={}, budget=Budget(max_iterations=2)))
    events = await until_error(stream, BudgetExceededError)
    last = events[-1]

    assert sum(isinstance(event, StepCommitted) for event in events) == 2
    assert isinstance(last, RunFinished)
    assert (last.status, last.node) == ("failed", None)


async def test_a_run_that_is_claimed_by_another_has_no_events() -> None:
    backend, begun, gate = InMemoryCheckpointBackend(), asyncio.Event(), asyncio.Event()

    @node
    async def holds(context: NodeContext) -> dict[str, Any]:
        begun.set()
        await gate.wait()
        return {}

    def graph() -> Graph:
        return Graph(holds, id="g", checkpoint_config=CheckpointConfig(backend=backend))

    run = asyncio.create_task(graph().run(claim=True))
    await begun.wait()

    assert await until_error(graph().stream(claim=True), ClaimedError) == []
    gate.set()
    await run


async def test_commits_of_a_run_that_lost_its_claim_are_never_seen() -> None:
    """Somebody else runs the graph by now, and does that work again."""

    @node
    async def first(context: NodeContext) -> dict[str, Any]:
        return {}

    @node
    async def second(context: NodeContext) -> dict[str, Any]:
        assert graph._handle is not None
        graph._handle.lose(ClaimedError("lost"))
        await asyncio.Event().wait()
        return {}

    first >> second
    graph = with_store(first)
    events = await until_error(graph.stream(), ClaimedError)

    assert [event.kind for event in events] == ["run_started", "step_started", "step_started", "run_finished"]


async def test_the_time_that_a_step_waits_for_a_watcher_is_not_its_own() -> None:
    """A slow watcher must not make nodes fail."""

    @node(timeout=0.05)
    async def quick(context: NodeContext) -> dict[str, Any]:
        return {}

    @node(timeout=0.05)
    async def last(context: NodeContext) -> dict[str, Any]:
        return {}

    quick >> last
    clock, kinds = FakeClock(), []
    async for event in with_store(quick, clock=clock).stream(buffer=1, commits="at_once"):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance(10)
        kinds.append(event.kind)

    assert kinds.count("step_committed") == 2
