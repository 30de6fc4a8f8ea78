"""Every checkpoint is durable before the next step begins (`durability="sync"`), isolated from the run, checksummed and
addressed by compare-and-swap. SQLite with WAL and `synchronous=FULL`, PostgreSQL with `synchronous_commit=on`, files with an
fsync of file and folder. All of the history is kept.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value
from benchmarks.costs.engine import seconds_of_fan_out, seconds_of_loop
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    DatabaseCheckpointBackend,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)

NAME = "spark-graphs"
IMPORTS = "import spark.graphs"


class Step(Node):
    """Sets the key that changes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.laps = Laps()

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.laps.mark()
        value = next_value(await context.graph_state.get(state.CHANGING))
        await context.graph_state.set(state.CHANGING, value)
        return {"done": self.job.is_done(value)}


async def loop(job: Job) -> float:
    return await seconds_of_loop(job.times)


async def memory(job: Job) -> float:
    return await _run(job, InMemoryCheckpointBackend())


async def sqlite(job: Job) -> float:
    return await _run(job, _sqlite(job))


async def postgresql(job: Job) -> float:
    return await _run(job, DatabaseCheckpointBackend(job.postgresql, job.name))


async def files(job: Job) -> float:
    return await _run(job, FileCheckpointBackend(job.folder))


large_sqlite = sqlite
large_postgresql = postgresql


async def fill(job: Job) -> None:
    await _run(job, _sqlite(job), steps=job.history - 1)


async def latest(job: Job) -> float:
    return await _read(job, lambda manager: manager.load_latest(job.name))


async def newest(job: Job) -> float:
    return await _read(job, lambda manager: manager.list_checkpoints(job.name, newest_first=True, limit=10))


async def fan_out(job: Job) -> float:
    return median([await seconds_of_fan_out(job.branches) for _ in range(job.times)])


def _sqlite(job: Job) -> CheckpointBackend:
    return DatabaseCheckpointBackend(f"sqlite:///{job.folder / 'checkpoints.db'}")


async def _run(job: Job, backend: CheckpointBackend, *, steps: int = 0) -> float:
    step = Step(job.of(steps or job.times))
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    async with backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
        await Graph(start=step, id=job.name, state=job.state, checkpoint_config=config).run()
    return step.laps.seconds()


async def _read(job: Job, read: Callable[[CheckpointManager], Awaitable[Any]]) -> float:
    async with _sqlite(job) as backend:
        manager = CheckpointManager(backend)
        assert await read(manager)
        began = time.perf_counter()
        for _ in range(job.times):
            await read(manager)
        return (time.perf_counter() - began) / job.times
