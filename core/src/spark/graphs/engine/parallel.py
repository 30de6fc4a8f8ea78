"""Steps that run at the same time, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Any

from spark.graphs.definition.step import Step
from spark.graphs.engine.outcome import Cancelled, Outcome
from spark.graphs.engine.step_runner import StepRunner


class ParallelSteps:
    """Running steps, and steps that have ended and are not taken yet, in the order in which they ended."""

    def __init__(self, runner: StepRunner, *, graph_id: str) -> None:
        self._execute = runner.execute
        self._graph_id = graph_id
        self._steps: dict[asyncio.Task[Outcome], Step] = {}
        self._ended: deque[asyncio.Task[Outcome]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._is_awake = False
        self._is_abandoned = False

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def tasks(self) -> list[asyncio.Task[Outcome]]:
        """The tasks of all of them."""
        return [*self._steps]

    @property
    def have_ended(self) -> bool:
        """Whether there is one to take."""
        return bool(self._ended)

    def start(self, step: Step) -> None:
        """Execute a step beside the others."""
        task = asyncio.create_task(self._execute(step), name=f"{self._graph_id}/{step.node}")
        self._steps[task] = step
        task.add_done_callback(self._on_end)

    async def next(self) -> tuple[Step, Outcome] | None:
        """Wait for a step to end, and take it; None if ``wake`` was called before."""
        if not self._ended and not self._is_awake:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        self._is_awake = False
        return self.take() if self._ended else None

    def wake(self) -> None:
        """Let ``next`` return, now or when it is called."""
        self._is_awake = True
        self._wake_up()

    async def wait(self, *, until: float) -> bool:
        """Wait for a step to end; False if none does in time, or ``wake`` was called before.

        :param until: a time of the event loop's clock.
        """
        loop = asyncio.get_running_loop()
        if not self._ended:
            self._wake = loop.create_future()
            timer = loop.call_at(until, self._wake_up)
            try:
                await self._wake
            finally:
                timer.cancel()
        return self.have_ended

    def take(self) -> tuple[Step, Outcome]:
        """A step that has ended."""
        task = self._ended.popleft()
        # One that was cancelled before it began has no result.
        return self._steps.pop(task), Cancelled(asyncio.CancelledError()) if task.cancelled() else task.result()

    def nodes(self, tasks: Collection[asyncio.Task[Any]]) -> list[str]:
        """The keys of the nodes that some of the tasks execute."""
        return [step.node for task, step in self._steps.items() if task in tasks]

    def step_of(self, task: asyncio.Task[Any] | None) -> Step | None:
        """The step that a task executes, if it is one of these tasks."""
        return self._steps.get(task) if task is not None else None

    def abandon(self) -> None:
        """Forget all steps. Whatever is still running can't be taken any more."""
        self._is_abandoned = True
        self._steps.clear()

    def _on_end(self, task: asyncio.Task[Outcome]) -> None:
        if not self._is_abandoned:
            self._ended.append(task)
            self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
