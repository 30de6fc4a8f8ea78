"""Every checkpoint is durable before the next step begins (`durability="sync"`), isolated from the run, checksummed and
addressed by compare-and-swap. SQLite with WAL and `synchronous=FULL`, PostgreSQL with `synchronous_commit=on`, files with an
fsync of file and folder. All of the history is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value
from benchmarks.costs.engine import seconds_of_fan_out, seconds_of_loop
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
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


class Append(Node):
    """Adds a message to the list, by the call that is made for it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.laps = Laps()

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.laps.mark()
        number = len(self.laps.marks)
        await self.add(context, state.message(number))
        return {"done": number >= self.job.size}

    async def add(self, context: NodeContext, message: dict[str, Any]) -> None:
        await context.graph_state.append("messages", message)


class Rewrite(Append):
    """The same as one does it with any state: read the list, extend it, set it."""

    async def add(self, context: NodeContext, message: dict[str, Any]) -> None:
        messages = await context.graph_state.get("messages", [])
        await context.graph_state.set("messages", [*messages, message])


class Spread(Node):
    """The start of a fan-out; what it hands on is what a map runs over."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def process(self) -> dict[str, Any]:
        return {"items": list(range(self.size))}


class Branch(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"done": 1}


class Join(JoinNode):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"done": len(context.inputs)}


async def loop(job: Job) -> float:
    return await seconds_of_loop(job.times)


async def memory(job: Job) -> float:
    return await _run(job, InMemoryCheckpointBackend())


async def sqlite(job: Job) -> float:
    return await _run(job, _sqlite(job))


change = sqlite


async def short(job: Job) -> float:
    return await _run(job, _sqlite(job), values=dict(state.SHORT))


async def graphs(job: Job) -> float:
    """All at once, in one store."""
    async with _sqlite(job) as backend:
        await _loop(job, backend, graph_id="warm", steps=3)
        runs = [_loop(job, backend, graph_id=f"{number}") for number in range(job.size)]
        return Laps.seconds_together(await asyncio.gather(*runs))


async def postgresql(job: Job) -> float:
    return await _run(job, DatabaseCheckpointBackend(job.postgresql, job.name))


async def files(job: Job) -> float:
    return await _run(job, FileCheckpointBackend(job.folder))


async def append(job: Job) -> float:
    return await _grow(job, Append(job))


async def rewrite(job: Job) -> float:
    return await _grow(job, Rewrite(job))


async def branches_memory(job: Job) -> float:
    return await _branches(job, InMemoryCheckpointBackend())


async def branches_sqlite(job: Job) -> float:
    return await _branches(job, _sqlite(job))


async def map_memory(job: Job) -> float:
    return await _map(job, InMemoryCheckpointBackend())


async def map_sqlite(job: Job) -> float:
    return await _map(job, _sqlite(job))


peak_memory = memory
peak_sqlite = sqlite
large_sqlite = sqlite
large_postgresql = postgresql


async def fill(job: Job) -> None:
    await _run(job, _sqlite(job), steps=job.history - 1)


async def latest(job: Job) -> float:
    return await _read(job, lambda manager: manager.load_latest(job.name))


async def newest(job: Job) -> float:
    return await _read(job, lambda manager: manager.list_checkpoints(job.name, newest_first=True, limit=10))


async def fan_out(job: Job) -> float:
    return median([await seconds_of_fan_out(job.size) for _ in range(job.times)])


def _sqlite(job: Job) -> CheckpointBackend:
    return DatabaseCheckpointBackend(f"sqlite:///{job.folder / 'checkpoints.db'}")


async def _run(job: Job, backend: CheckpointBackend, *, steps: int = 0, values: dict[str, Any] | None = None) -> float:
    async with backend:
        laps = await _loop(job, backend, graph_id=job.name, steps=steps, values=values)
    return laps.seconds()


async def _loop(
    job: Job, backend: CheckpointBackend, *, graph_id: str, steps: int = 0, values: dict[str, Any] | None = None
) -> Laps:
    step = Step(job.of(steps or job.times))
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    values = job.state if values is None else values
    await Graph(start=step, id=graph_id, state=values, checkpoint_config=_after_each_step(backend)).run()
    return step.laps


async def _grow(job: Job, step: Append) -> float:
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    async with _sqlite(job) as backend:
        graph = Graph(start=step, id=job.name, checkpoint_config=_after_each_step(backend))
        await graph.run()
        assert len(await graph.get_state("messages")) == job.size
    return step.laps.seconds_at_the_end()


async def _branches(job: Job, backend: CheckpointBackend) -> float:
    """Nodes that are wired one by one."""
    start = Spread(job.size)
    start >> [Branch() for _ in range(job.size)] >> Join()
    return await _spread(job, start, backend)


async def _map(job: Job, backend: CheckpointBackend) -> float:
    start = Spread(job.size)
    start.each("items") >> Branch() >> Join()
    return await _spread(job, start, backend)


async def _spread(job: Job, start: Node, backend: CheckpointBackend) -> float:
    async with backend:
        graph = Graph(start=start, id=job.name, checkpoint_config=_after_each_step(backend))
        began = time.perf_counter()
        result = await graph.run()
        seconds = time.perf_counter() - began
    assert result.content == {"done": job.size}
    return seconds / job.size


def _after_each_step(backend: CheckpointBackend) -> CheckpointConfig:
    return CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)


async def _read(job: Job, read: Callable[[CheckpointManager], Awaitable[Any]]) -> float:
    async with _sqlite(job) as backend:
        manager = CheckpointManager(backend)
        assert await read(manager)
        began = time.perf_counter()
        for _ in range(job.times):
            await read(manager)
        return (time.perf_counter() - began) / job.times
