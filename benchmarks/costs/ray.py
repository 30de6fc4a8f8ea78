"""What a step on Ray costs beside a bare call of the same bytes: in a chain, and of a map with many at a time.

Uses the cluster at ``RAY_ADDRESS``, or else starts Ray on this machine.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.executors import StepInput
from spark_executor_ray import RayExecutor

STEPS = 300
ITEMS = 1_000
AT_A_TIME = 64
RESULT = b"x" * 250
"""About what the result of a step takes."""


class Rounds(Node):
    """A plain node that comes round again until it is done."""

    def process(self, context: NodeContext) -> dict[str, Any]:
        left = context.inputs["left"] - 1
        return {"left": left, "done": left <= 0}


class AsyncRounds(Node):
    """The same as an async node."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        left = context.inputs["left"] - 1
        return {"left": left, "done": left <= 0}


class Items(Node):
    """Runs here, and gives the map its items."""

    executor = "loop"

    def process(self, context: NodeContext) -> dict[str, Any]:
        return {"items": [*range(context.inputs["items"])]}


class Item(Node):
    def process(self, context: NodeContext) -> dict[str, Any]:
        return {"item": context.inputs}


class AsyncItem(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"item": context.inputs}


def compare(effort: Effort) -> Iterator[Comparison]:
    with Recording(init={"log_to_driver": False}, actors=1) as ray, asyncio.Runner() as runner:
        yield from _compare(Rounds, Item, ray, runner, effort, how="a task", bare=bare_task)
        yield from _compare(AsyncRounds, AsyncItem, ray, runner, effort, how="an actor", bare=bare_actor)


def _compare(
    rounds: type[Node],
    item: type[Node],
    ray: Recording,
    runner: asyncio.Runner,
    effort: Effort,
    *,
    how: str,
    bare: Callable[[StepInput], Callable[[], Awaitable[Any]]],
) -> Iterator[Comparison]:
    steps, items = effort.of(STEPS), effort.of(ITEMS)
    runner.run(chain(rounds, ray, 1))
    call = bare(ray.last)
    yield in_turns(
        lambda: runner.run(chain(rounds, ray, steps)),
        lambda: runner.run(bare_chain(call, steps)),
        rounds=effort.rounds,
        work=f"a step in {how} of Ray, one after the other",
        unit="us",
        floor_is=f"{how} with the same bytes",
    )
    yield in_turns(
        lambda: runner.run(mapped(item, ray, items)),
        lambda: runner.run(bare_many(call, items)),
        rounds=effort.rounds,
        work=f"a step in {how} of Ray, {AT_A_TIME} at a time",
        unit="us",
        floor_is=f"{how} with the same bytes",
    )


class Recording(RayExecutor):
    """Knows what it was last given."""

    last: StepInput

    async def submit(self, step: StepInput, channel: Any) -> Any:
        self.last = step
        return await super().submit(step, channel)


async def chain(rounds: type[Node], ray: RayExecutor, steps: int) -> float:
    node = rounds()
    node.on(done=False) >> node
    began = time.perf_counter()
    await Graph(node, executor=ray).run({"left": steps})
    return (time.perf_counter() - began) / steps * 1e6


async def mapped(item: type[Node], ray: RayExecutor, items: int) -> float:
    first = Items()
    first.each("items", limit=AT_A_TIME) >> item(executor=ray)
    began = time.perf_counter()
    await Graph(first).run({"items": items})
    return (time.perf_counter() - began) / items * 1e6


def bare_task(step: StepInput) -> Callable[[], Awaitable[Any]]:
    import ray

    task: Any = ray.remote(max_retries=0)(_answer)
    call = pickle.dumps(tuple(step))
    return lambda: task.remote(call)


def bare_actor(step: StepInput) -> Callable[[], Awaitable[Any]]:
    import ray

    cls: Any = ray.remote(num_cpus=0)(_Answers)
    actor, call = cls.remote(), pickle.dumps(tuple(step))
    return lambda: actor.answer.remote(call)


async def bare_chain(call: Callable[[], Awaitable[Any]], steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        await call()
    return (time.perf_counter() - began) / steps * 1e6


async def bare_many(call: Callable[[], Awaitable[Any]], items: int) -> float:
    room = asyncio.Semaphore(AT_A_TIME)

    async def one() -> None:
        async with room:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(items)))
    return (time.perf_counter() - began) / items * 1e6


def _answer(call: bytes) -> bytes:
    return RESULT


class _Answers:
    async def answer(self, call: bytes) -> bytes:
        return RESULT
