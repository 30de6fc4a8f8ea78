"""What a step costs in a worker process, beside a bare call of a ``ProcessPoolExecutor`` with the same bytes."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark_executor_process import ProcessExecutor

STEPS = 1_000
LARGE_STEPS = 10
LARGE = 10_000_000
"""Bytes."""
WORK = 3_000_000
"""Turns of a loop: about 0.1 s."""
SHORT_WORK = 150_000
"""About 5 ms."""
ITEMS = 200


class Pass(Node):
    """Comes round again with what it was given, so many times."""

    def process(self, context: NodeContext) -> dict[str, Any]:
        inputs = context.inputs
        return {"left": inputs["left"] - 1, "done": inputs["left"] <= 1, "value": inputs["value"]}


class Start(Node):
    """Where branches begin."""

    async def process(self) -> None: ...


class Work(Node):
    """Keeps a core busy."""

    def process(self) -> int:
        return work(WORK)


class Split(Node):
    """Where a map begins."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"items": [SHORT_WORK] * context.inputs["items"]}


class ShortWork(Node):
    """Keeps a core busy for some milliseconds."""

    def process(self, context: NodeContext) -> int:
        return work(context.inputs)


def work(turns: int) -> int:
    """Keep a core busy."""
    total = 0
    for number in range(turns):
        total += number & 3
    return total


def give_back(value: bytes) -> bytes:
    """What a bare call does."""
    return value


def compare(effort: Effort) -> Iterator[Comparison]:
    steps, few = effort.of(STEPS), effort.of(LARGE_STEPS)
    turns = effort.of(WORK)
    spawn = multiprocessing.get_context("spawn")
    with ProcessExecutor(2) as executor, ProcessPoolExecutor(2, mp_context=spawn) as pool:
        for size, count in ((100, steps), (10_000, steps)):
            yield in_turns(
                lambda count=count, size=size: asyncio.run(seconds_of_steps(count, "x" * size, executor)) * 1e6,
                lambda count=count, size=size: asyncio.run(seconds_of_calls(count, b"x" * size, pool)) * 1e6,
                rounds=effort.rounds,
                work=f"a step in a worker process, {size:,} bytes there and back",
                unit="us",
                floor_is="a bare call of a ProcessPoolExecutor",
            )
        array = np.arange(LARGE // 8)
        yield in_turns(
            lambda: asyncio.run(seconds_of_steps(few, array, executor)) * 1e3,
            lambda: asyncio.run(seconds_of_calls(few, array.tobytes(), pool)) * 1e3,
            rounds=effort.rounds,
            work="the same with an array of 10 MB",
            unit="ms",
            floor_is="a bare call with as many bytes",
        )
        yield in_turns(
            lambda: asyncio.run(seconds_of_branches(executor)) * 1e3,
            lambda: asyncio.run(seconds_of_two_calls(turns, pool)) * 1e3,
            rounds=effort.rounds,
            work="two branches that keep a core busy each",
            unit="ms",
            floor_is="two bare calls at once",
        )

    items = effort.of(ITEMS)
    with ProcessExecutor(1) as one, ProcessExecutor(2) as two:
        yield in_turns(
            lambda: asyncio.run(seconds_of_items(items, two)) * 1e3,
            lambda: asyncio.run(seconds_of_items(items, one)) * 1e3,
            rounds=effort.rounds,
            work="a CPU-bound item of a map, with two worker processes",
            unit="ms",
            floor_is="with one",
        )


async def seconds_of_items(count: int, executor: ProcessExecutor) -> float:
    """What one item of a map takes."""
    start = Split()
    start.each("items") >> ShortWork(executor=executor) >> JoinNode()
    graph = Graph(start=start)
    began = time.perf_counter()
    await graph.run({"items": count})
    return (time.perf_counter() - began) / count


async def seconds_of_steps(count: int, value: Any, executor: ProcessExecutor) -> float:
    """What one step takes."""
    node = Pass(executor=executor)
    node.on(done=False) >> node
    node.on(done=True) >> ExitNode()
    graph = Graph(start=node)
    began = time.perf_counter()
    await graph.run({"left": count, "value": value})
    return (time.perf_counter() - began) / count


async def seconds_of_calls(count: int, value: bytes, pool: ProcessPoolExecutor) -> float:
    """What one bare call takes."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(count):
        await loop.run_in_executor(pool, give_back, value)
    return (time.perf_counter() - began) / count


async def seconds_of_branches(executor: ProcessExecutor) -> float:
    """What two branches take."""
    start = Start()
    start >> [Work(name="a", executor=executor), Work(name="b", executor=executor)] >> JoinNode()
    graph = Graph(start=start)
    began = time.perf_counter()
    await graph.run()
    return time.perf_counter() - began


async def seconds_of_two_calls(turns: int, pool: ProcessPoolExecutor) -> float:
    """What two bare calls take."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    await asyncio.gather(*(loop.run_in_executor(pool, work, turns) for _ in range(2)))
    return time.perf_counter() - began
