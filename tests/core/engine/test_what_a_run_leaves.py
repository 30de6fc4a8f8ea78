"""What a run leaves in memory when it has ended, whatever ended it: nothing that waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from spark.errors import BackendError, SparkError
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Task
from spark.graphs.checkpoint import Boundary, CheckpointConfig, InMemoryCheckpointBackend, Trigger
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import SkippingClock
from tests.support.running import Does, Failure


class Full(InMemoryCheckpointBackend):
    """Stores so many records, and no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    async def put(self, record: Record) -> None:
        self._room -= 1
        if self._room < 0:
            raise BackendError("the disk is full")
        await super().put(record)


class Raises(Trigger):
    def is_due(self, boundary: Boundary) -> bool:
        raise Failure


async def fail(context: NodeContext) -> Any:
    await asyncio.sleep(0)
    raise Failure


async def leave(context: NodeContext) -> Any:
    raise SystemExit(3)


async def wait(context: NodeContext) -> Any:
    await asyncio.Event().wait()


async def let_helper_be_cancelled(context: NodeContext) -> Any:
    helper = asyncio.create_task(asyncio.sleep(60))
    helper.cancel()
    await helper


async def run(graph: Graph) -> None:
    await graph.run()


async def run_for_a_moment(graph: Graph) -> None:
    async with asyncio.timeout(0.01):
        await graph.run()


def within(**limits: Any) -> Callable[[Graph], Awaitable[object]]:
    return lambda graph: graph.run(Task(budget=Budget(**limits)))


async def load_and_run_again(graph: Graph) -> None:
    await graph.run()
    await graph.load()
    await graph.run(resume=True)
    await graph.run(resume="state")


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("is_parallel", [False, True])
@pytest.mark.parametrize(
    ("work", "how", "config"),
    [
        (lambda context: {}, run, {}),
        (lambda context: {}, load_and_run_again, {}),
        (fail, run, {}),
        (leave, run, {}),
        (let_helper_be_cancelled, run, {}),
        (wait, run_for_a_moment, {}),
        (wait, within(max_seconds=0.01), {}),
        (wait, within(max_iterations=1), {}),
        (fail, run, {"backend": 0}),
        (wait, run_for_a_moment, {"backend": 0}),
        (lambda context: {}, run, {"backend": 0}),
        (lambda context: {}, run, {"backend": 1}),
        (lambda context: {}, run, {"trigger": Raises()}),
    ],
)
async def test_what_is_left_of_it_goes_with_the_graph(
    work: Any, how: Callable[[Graph], Awaitable[object]], config: dict[str, Any], is_parallel: bool, durability: str
) -> None:
    first, second = Does(lambda context: {}, name="first"), Does(work, name="second")
    others: list[Node] = [Does(lambda context: {}, name="third")] if is_parallel else []
    first >> [second, *others] >> JoinNode()
    backend = Full(config["backend"]) if "backend" in config else InMemoryCheckpointBackend()
    settings: dict[str, Any] = {"trigger_on_iteration": 1, "durability": durability, **config, "backend": backend}
    graph = Graph(first, checkpoint_config=CheckpointConfig(**settings))
    left = weakref.ref(graph)
    gc.disable()
    try:
        with suppress(SparkError, Failure, TimeoutError, SystemExit):
            await how(graph)
        del graph
        await asyncio.sleep(0)  # the event loop tells of tasks that have ended

        assert left() is None
        assert len(asyncio.all_tasks()) == 1
    finally:
        gc.enable()


@pytest.mark.parametrize("waits", [False, True])
async def test_what_ran_needs_no_garbage_collector(waits: bool) -> None:
    async def work(context: NodeContext) -> Any:
        if waits:
            await context.sleep(1)
            await context.run("call", int)

    async def run() -> None:
        await Graph(Does(work, name="work"), clock=SkippingClock()).run()

    await run()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await run()
        gc.collect()
        left = {type(each) for each in gc.garbage if type(each).__module__.startswith("spark.graphs.engine")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left
