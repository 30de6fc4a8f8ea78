"""``context.emit``: what a node shows to whoever watches, at once and unstored."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from spark.errors import RunError
from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.events import Emitted, StepEvent


class Fan(Node):
    async def process(self, context: NodeContext) -> Any:
        return {}


class Speaker(Node):
    async def process(self, context: NodeContext) -> Any:
        for number in range(5):
            await context.emit(number)
        return {}


async def emitted_by(graph: Graph, **watching: Any) -> list[tuple[Any, int]]:
    events = [event async for event in graph.stream(only=Emitted, **watching)]
    return [(event.value, event.number) for event in events if isinstance(event, Emitted)]


async def test_values_are_seen_while_the_step_runs_and_before_it_is_durable() -> None:
    seen = asyncio.Event()

    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        await context.emit("Hel")
        await asyncio.wait_for(seen.wait(), 60)
        await context.emit("lo")
        return {}

    graph = Graph(speak, checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()))
    kinds = []
    async for event in graph.stream():
        kinds.append(event.kind)
        if isinstance(event, Emitted):
            assert event.node == "speak"
            seen.set()

    assert kinds[:5] == ["run_started", "step_started", "emitted", "emitted", "step_committed"]


async def test_it_costs_nothing_and_works_where_nobody_watches() -> None:
    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        assert await context.emit(object()) is None
        context.emit(1)
        return {}

    assert (await Graph(speak).run()).status == "completed"


async def test_nothing_of_it_is_stored() -> None:
    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        await context.emit("a secret that is shown")
        return {}

    backend = InMemoryCheckpointBackend()
    graph = Graph(speak, id="speaking", checkpoint_config=CheckpointConfig(backend=backend))
    await emitted_by(graph)

    assert b"secret" not in (await backend.get("speaking", 1)).payload


async def test_a_repeated_step_emits_again_with_numbers_that_begin_anew() -> None:
    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        await context.emit("a")
        await context.emit("b")
        if context.attempt == 1:
            raise ValueError
        return {}

    graph = Graph(speak, retry=lambda error, attempt: 0)
    events = [event async for event in graph.stream(only=Emitted)]
    assert [(event.attempt, event.number) for event in events if isinstance(event, Emitted)] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]


async def test_what_a_node_changes_after_it_emitted_it_was_copied() -> None:
    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        words = ["a"]
        context.emit(words)
        words.append("b")
        return {}

    assert await emitted_by(Graph(speak)) == [(["a"], 1)]


async def test_a_node_that_awaits_waits_for_a_watcher_that_blocks() -> None:
    sent = 0

    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        nonlocal sent
        for number in range(50):
            sent = number
            await context.emit(number)
        return {}

    ahead = 0
    async for event in Graph(speak).stream(only=Emitted, buffer=3):
        assert isinstance(event, Emitted)
        ahead = max(ahead, sent - event.value)

    assert sent == 49
    assert ahead <= 3


async def test_one_that_does_not_await_is_dropped_when_it_has_sent_too_much_and_the_next_event_says_so() -> None:
    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        for number in range(50):
            context.emit(number)
        return {}

    events = [event async for event in Graph(speak).stream(buffer=5)]
    values = [event.value for event in events if isinstance(event, Emitted)]
    committed = next(event for event in events if event.kind == "step_committed")

    assert values == list(range(len(values)))
    assert 5 <= len(values) <= 10
    assert committed.dropped == 50 - len(values)


async def test_many_nodes_that_await_are_never_dropped_however_small_the_buffer() -> None:
    first = Fan()
    for _ in range(30):
        first >> Speaker()
    events = [event async for event in Graph(first).stream(only=Emitted, buffer=1)]

    assert len(events) == 150
    assert {event.dropped for event in events} == {0}


class TestThreads:
    async def test_a_plain_node_emits_in_order_and_before_its_commit(self) -> None:
        @node
        def speak(context: NodeContext) -> dict[str, Any]:
            for number in range(100):
                context.emit(number)
            return {}

        events = [event async for event in Graph(speak).stream(only=(StepEvent,))]
        assert [event.value for event in events if isinstance(event, Emitted)] == list(range(100))
        assert events[-1].kind == "step_committed"

    async def test_its_thread_waits_for_a_watcher_that_blocks(self) -> None:
        sent = 0

        @node
        def speak(context: NodeContext) -> dict[str, Any]:
            nonlocal sent
            for number in range(200):
                sent = number
                context.emit(number)
            return {}

        ahead = 0
        async for event in Graph(speak).stream(only=Emitted, buffer=2):
            assert isinstance(event, Emitted)
            assert event.dropped == 0
            await asyncio.sleep(0)
            ahead = max(ahead, sent - event.value)

        assert sent == 199
        assert ahead <= 2 + 16 + 1

    async def test_any_number_of_threads_may_emit_for_one_step(self) -> None:
        @node
        async def speak(context: NodeContext) -> dict[str, Any]:
            def work() -> None:
                for number in range(50):
                    context.emit(number)

            await asyncio.gather(*(asyncio.to_thread(work) for _ in range(4)))
            return {}

        values = await emitted_by(Graph(speak))
        assert sorted(value for value, _ in values) == sorted([*range(50)] * 4)
        assert [number for _, number in values] == list(range(1, 201))

    async def test_a_thread_that_waits_goes_on_when_the_stream_is_left(self) -> None:
        ended = threading.Event()

        @node
        def speak(context: NodeContext) -> dict[str, Any]:
            for number in range(500):
                context.emit(number)
            ended.set()
            return {}

        async with Graph(speak).stream(only=Emitted, buffer=1) as stream:
            await anext(aiter(stream))

        assert await asyncio.to_thread(ended.wait, 60)


async def test_after_its_step_has_ended_it_is_an_error() -> None:
    kept: list[NodeContext] = []

    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        kept.append(context)
        return {}

    await Graph(speak).run()
    with pytest.raises(RunError, match="has ended, so it can't emit"):
        kept[0].emit(1)


async def test_a_helper_that_emits_within_a_durable_call_is_heard() -> None:
    @node
    async def speak(context: NodeContext) -> dict[str, Any]:
        async def call() -> int:
            await context.emit("calling")
            return 1

        await context.run("call", call)
        return {}

    assert await emitted_by(Graph(speak)) == [("calling", 1)]
