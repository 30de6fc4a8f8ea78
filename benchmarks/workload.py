"""The run that our own benchmarks of checkpoints share: a loop over 100 values, one of which changes in each step."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.state import CHANGING, SMALL
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, InMemoryCheckpointBackend


class Count(Node):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get(CHANGING, 0) + 1
        await context.graph_state.set(CHANGING, count)
        return {"done": count >= self.steps}


async def run(make: Callable[[], CheckpointBackend], steps: int, *, auto_cleanup: bool = True) -> float:
    async with make() as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=auto_cleanup)
        graph = Graph(start=loop(steps), id="bench", state=SMALL, checkpoint_config=config)
        return await seconds_of(graph) / steps * 1e6


async def run_in(backend: CheckpointBackend | None, graph_id: str, steps: int, *, keep_all: bool = True) -> None:
    """A run with a checkpoint after each step; without any where there is no backend."""
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=not keep_all) if backend else None
    await Graph(start=loop(steps), id=graph_id, state=SMALL, checkpoint_config=config).run()


async def seconds_of(graph: Graph) -> float:
    began = time.perf_counter()
    await graph.run()
    return time.perf_counter() - began


def loop(steps: int) -> Node:
    count = Count(steps)
    count.on(done=False) >> count
    count.on(done=True) >> ExitNode()
    return count


def encoded() -> bytes:
    """What one checkpoint of the run amounts to."""

    async def last_record() -> bytes:
        backend = InMemoryCheckpointBackend()
        await run(lambda: backend, 3)
        record = await backend.get("bench", 2)
        assert record is not None
        return record.header.to_json() + record.payload

    return asyncio.run(last_record())


def disk() -> str | None:
    """A folder on a real disk, where there is one: an fsync to memory proves nothing."""
    return os.environ.get("SPARK_BENCH_DIR") or None
