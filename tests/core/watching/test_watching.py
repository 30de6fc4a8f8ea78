"""``graph.watch``: events beside a run, for any number of watchers, each with a bounded buffer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import pytest

from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.events import Event, RunStarted, StepCommitted


@node
async def count(context: NodeContext) -> dict[str, Any]:
    total = await context.graph_state.get("total", 0) + 1
    await context.graph_state.set("total", total)
    return {"more": total < 5}


count.on(more=True) >> count


class Fan(Node):
    async def process(self, context: NodeContext) -> Any:
        return {}


class Leaf(Node):
    async def process(self, context: NodeContext) -> Any:
        await asyncio.sleep(0)
        return {}


def fan(size: int) -> Graph:
    first = Fan()
    for _ in range(size):
        first >> Leaf()
    return Graph(first, id="fan")


async def all_of(events: AsyncIterable[Event]) -> list[Event]:
    return [event async for event in events]


class TestWatchers:
    async def test_any_number_sees_the_same_run_each_with_its_filter(self) -> None:
        graph = Graph(count)
        every, commits, named = graph.watch(), graph.watch(only=StepCommitted), graph.watch(only=("run_finished",))
        tasks = [asyncio.create_task(all_of(each)) for each in (every, commits, named)]
        await graph.run()
        seen = [[event.kind for event in await task] for task in tasks]

        assert seen[0] == ["run_started", *["step_started", "step_committed"] * 5, "run_finished"]
        assert seen[1] == ["step_committed"] * 5
        assert seen[2] == ["run_finished"]

    async def test_one_that_comes_later_is_told_how_the_run_began_and_then_what_happens(self) -> None:
        gate, begun = asyncio.Event(), asyncio.Event()

        @node
        async def first(context: NodeContext) -> dict[str, Any]:
            begun.set()
            await gate.wait()
            return {}

        @node
        async def second(context: NodeContext) -> dict[str, Any]:
            return {}

        first >> second
        graph = Graph(first)
        run = asyncio.create_task(graph.run())
        await begun.wait()
        watcher = graph.watch()
        gate.set()
        await run
        events = await all_of(watcher)

        assert isinstance(events[0], RunStarted)
        assert [event.kind for event in events] == [
            "run_started",
            "step_committed",
            "step_started",
            "step_committed",
            "run_finished",
        ]

    async def test_it_watches_one_run_and_the_next_needs_another(self) -> None:
        graph = Graph(count)
        watcher = graph.watch()
        await graph.run()
        await graph.run()

        assert [event.kind for event in await all_of(watcher)].count("run_started") == 1
        assert await all_of(watcher) == []

    async def test_a_run_that_could_not_begin_is_not_the_one_that_it_watches(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(only="run_finished")
        with pytest.raises(Exception, match="nothing to resume"):
            await graph.run(resume=True)
        await graph.run()

        assert len(await all_of(watcher)) == 1

    async def test_a_stream_and_watchers_go_together(self) -> None:
        graph = Graph(count)
        watcher = graph.watch()
        streamed = await all_of(graph.stream())

        assert await all_of(watcher) == streamed


class TestBackPressure:
    async def test_a_run_waits_for_a_watcher_that_blocks(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(overflow="block", buffer=2)
        run = asyncio.create_task(graph.run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert graph.progress is not None
        assert graph.progress.iteration < 3

        events = await all_of(watcher)
        assert (await run).status == "completed"
        assert [event.dropped for event in events] == [0] * 12

    async def test_a_fan_out_is_held_up_as_well_and_nothing_is_lost(self) -> None:
        graph, most = fan(300), 0
        stream = graph.stream(buffer=10)
        kinds = []
        async for event in stream:
            kinds.append(event.kind)
            most = max(most, len(stream._channel))

        assert kinds.count("step_committed") == 301
        assert most < 300  # steps that had begun together may end together, but no further ones begin

    async def test_with_drop_oldest_it_does_not_wait_and_the_next_event_says_how_many_are_missing(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(buffer=3)
        await graph.run()
        events = await all_of(watcher)

        assert [event.kind for event in events] == ["step_started", "step_committed", "run_finished"]
        assert [event.dropped for event in events] == [9, 0, 0]

    async def test_closing_lets_the_run_go_on(self) -> None:
        graph = Graph(count)
        async with graph.watch(overflow="block", buffer=1) as watcher:
            run = asyncio.create_task(graph.run())
            await anext(watcher)

        assert (await run).status == "completed"

    async def test_so_does_a_watcher_whose_task_is_cancelled(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(overflow="block", buffer=1, only="run_finished")
        task = asyncio.create_task(all_of(watcher))
        slow = graph.watch(overflow="block", buffer=1)
        run = asyncio.create_task(graph.run())
        await anext(slow)
        task.cancel()
        hung = asyncio.create_task(all_of(slow))
        await asyncio.sleep(0)
        hung.cancel()

        assert (await asyncio.wait_for(run, 60)).status == "completed"

    async def test_so_does_one_that_nobody_refers_to_any_more(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(overflow="block", buffer=1)
        del watcher

        assert (await asyncio.wait_for(graph.run(), 60)).status == "completed"

    async def test_a_drained_run_does_not_wait_for_ever_for_a_watcher(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(overflow="block", buffer=1)
        run = asyncio.create_task(graph.run())
        await anext(watcher)
        graph.drain(grace=0.01)

        assert (await asyncio.wait_for(run, 60)).status == "drained"
        watcher.close()

    async def test_a_run_that_is_cancelled_does_not_either(self) -> None:
        graph = Graph(count)
        watcher = graph.watch(overflow="block", buffer=1)
        run = asyncio.create_task(graph.run())
        await anext(watcher)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(run, 60)

        assert [event.kind for event in await all_of(watcher)][-1] == "run_finished"

    @pytest.mark.parametrize("only", ["step_started", "step_committed"])
    async def test_neither_many_that_begin_nor_many_that_end_together_fill_it(self, only: str) -> None:
        graph, most, seen = fan(300), 0, 0
        stream = graph.stream(buffer=10, only=only)
        async for _ in stream:
            seen += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            most = max(most, len(stream._channel))

        assert seen == 301
        assert most <= 10
