"""``graph.progress``: each pending execution is counted in one place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from spark.graphs import Graph, JoinNode, Node, NodeContext, Progress


class Does(Node):
    def __init__(self, work: Callable[[NodeContext], Awaitable[Any]] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.work = work

    async def process(self, context: NodeContext) -> Any:
        return await self.work(context) if self.work is not None else context.inputs


class Gather(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return {"got": context.inputs}


async def gives(items: Any) -> Any:
    return {"items": items}


async def test_running_waiting_suspended_and_at_joins_are_counted_apart() -> None:
    seen: list[Progress | None] = []

    async def asks(context: NodeContext) -> Any:
        return await context.interrupt("sure?")

    async def sleeps(context: NodeContext) -> Any:
        await context.sleep(3600)

    async def fails(context: NodeContext) -> Any:
        raise ValueError

    async def looks(context: NodeContext) -> Any:
        seen.append(graph.progress)
        return {}

    start, join = Does(name="start"), Gather(name="join")
    for number in range(3):
        arrives = Does(name=f"arrives{number}")
        start >> arrives >> join
    for name, work in {"asks": asks, "sleeps": sleeps}.items():
        node = Does(work, name=name)
        start >> node >> join
    failing = Does(fails, name="fails", retry=lambda error, attempt: 3600)
    start >> failing >> join
    for name in ("looks", "later"):
        last = Does(looks, name=name)
        start >> last >> join
    graph = Graph(start, max_concurrency=1)
    await graph.run(wait=False)

    first, second = seen
    assert first is not None
    assert second is not None
    assert (first.running, first.waiting, first.at_joins, first.suspended) == (("looks",), 1, 3, 3)
    assert first.waits == {"question": 1, "timer": 1, "retry": 1}
    assert (second.running, second.waiting, second.at_joins) == (("later",), 0, 4)


async def test_a_map_has_a_total_and_what_has_come_to_its_join_is_no_longer_waiting() -> None:
    seen: list[Any] = []

    async def work(context: NodeContext) -> Any:
        if context.index == 3:
            seen.append(graph.progress)
        return context.inputs

    start = Does(lambda context: gives([*range(6)]), name="start")
    start.each("items", limit=2) >> Does(work, name="work") >> Gather(name="join")
    graph = Graph(start, max_concurrency=1)
    await graph.run()
    (progress,) = seen

    assert (progress.maps[0].done, progress.maps[0].total) == (3, 6)
    assert (progress.running, progress.waiting, progress.at_joins) == (("work",), 2, 0)


async def test_the_items_of_maps_within_a_map_are_counted_together_also_when_some_have_ended() -> None:
    seen: list[Progress] = []

    async def work(context: NodeContext) -> Any:
        assert graph.progress is not None
        seen.append(graph.progress)
        return context.inputs

    start = Does(lambda context: gives([[1, 2], [3, 4], [5, 6]]), name="start")
    outer, inner = Does(lambda context: gives(context.inputs), name="outer"), Does(work, name="inner")
    inner_join, outer_join = Gather(name="inner join"), Gather(name="outer join")
    start.each("items", limit=1) >> outer
    outer.each("items") >> inner >> inner_join >> outer_join
    graph = Graph(start, max_concurrency=1)
    await graph.run()

    inner_maps = [next(map for map in progress.maps if map.node == "inner") for progress in seen]
    assert [(map.done, map.running, map.total) for map in inner_maps] == [
        (0, 1, 2),
        (1, 1, 2),
        (2, 1, 4),
        (3, 1, 4),
        (4, 1, 6),
        (5, 1, 6),
    ]
    assert graph.progress is not None
    assert graph.progress.maps == ()


async def test_ten_thousand_items_are_counted_in_a_moment() -> None:
    gate, all_begun = asyncio.Event(), asyncio.Event()

    async def work(context: NodeContext) -> Any:
        if context.index == 9_999:
            all_begun.set()
        await gate.wait()
        return context.inputs

    start = Does(lambda context: gives([*range(10_000)]), name="start")
    start.each("items") >> Does(work, name="work") >> Does(name="then") >> Gather(name="join")
    graph = Graph(start)
    run = asyncio.create_task(graph.run())
    await all_begun.wait()
    took = []
    for _ in range(5):
        began = time.process_time()
        graph.progress  # noqa: B018
        took.append(time.process_time() - began)
    assert graph.progress is not None
    assert len(graph.progress.running) == 10_000
    gate.set()
    await run

    assert min(took) < 0.05
