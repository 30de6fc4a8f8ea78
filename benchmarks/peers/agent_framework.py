# /// script
# dependencies = ["agent-framework-core==1.23.0"]
# ///
"""A checkpoint after each superstep: in memory a deep copy of the state; in files one JSON text for each, renamed into place with
no fsync, so that it survives the process, but not the machine.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from agent_framework import (
    CheckpointStorage,
    Executor,
    FileCheckpointStorage,
    InMemoryCheckpointStorage,
    WorkflowBuilder,
    WorkflowContext,
    handler,
)

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value

NAME = "agent-framework"
IMPORTS = "import agent_framework"
LEFT_OUT = {
    "sqlite": "its core has no checkpoints in databases",
    "postgresql": "its core has no checkpoints in databases",
    "large_sqlite": "its core has no checkpoints in databases",
    "large_postgresql": "its core has no checkpoints in databases",
    "latest": "its core has no checkpoints in databases",
    "newest": "its core has no checkpoints in databases",
    "change": "its core has no checkpoints in databases",
    "short": "its core has no checkpoints in databases",
    "graphs": "its core has no checkpoints in databases",
    "append": "its core has no checkpoints in databases",
    "rewrite": "its core has no checkpoints in databases",
    "branches_sqlite": "its core has no checkpoints in databases",
    "map_sqlite": "its core has no checkpoints in databases",
    "peak_sqlite": "its core has no checkpoints in databases",
    "branches_memory": "its checkpoints come after each superstep, not after each branch",
    "map_memory": "its checkpoints come after each superstep, not after each branch",
    "peak_memory": "it keeps a deep copy of the state for each superstep, as `memory` shows",
}


class Step(Executor):
    """Sets the key that changes, after the first message has set them all."""

    def __init__(self, job: Job) -> None:
        super().__init__(id="step")
        self._job = job
        self.laps = Laps()

    @handler
    async def step(self, message: int, ctx: WorkflowContext[int]) -> None:
        self.laps.mark()
        if message == 0:
            for key, value in self._job.state.items():
                ctx.set_state(key, value)
        value = next_value(ctx.get_state(state.CHANGING))
        ctx.set_state(state.CHANGING, value)
        if not self._job.is_done(value):
            await ctx.send_message(message + 1)


class Echo(Executor):
    @handler
    async def echo(self, message: int, ctx: WorkflowContext[int]) -> None:
        await ctx.send_message(message)


class Join(Executor):
    @handler
    async def join(self, messages: list[int], ctx: WorkflowContext[int]) -> None:
        assert messages


async def loop(job: Job) -> float:
    return await _run(job, None)


async def memory(job: Job) -> float:
    return await _run(job, InMemoryCheckpointStorage())


async def files(job: Job) -> float:
    return await _run(job, FileCheckpointStorage(job.folder))


async def fan_out(job: Job) -> float:
    start, join = Echo(id="start"), Join(id="join")
    echoes = [Echo(id=f"echo_{number}") for number in range(job.size)]

    async def once() -> float:
        builder = WorkflowBuilder(start_executor=start)
        workflow = builder.add_fan_out_edges(start, echoes).add_fan_in_edges(echoes, join).build()
        began = time.perf_counter()
        await workflow.run(1)
        return time.perf_counter() - began

    return median([await once() for _ in range(job.times)])


async def _run(job: Job, storage: CheckpointStorage | None) -> float:
    step = Step(job)
    options: dict[str, Any] = {"max_iterations": job.times + 10, "checkpoint_storage": storage}
    workflow = WorkflowBuilder(start_executor=step, **options).add_edge(step, step).build()
    await workflow.run(0)
    return step.laps.seconds()
