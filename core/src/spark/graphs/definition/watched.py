"""One execution of a node whose time is limited: how much of it is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from spark.graphs.definition.policies import TimeLimits
from spark.graphs.definition.step import StepInput
from spark.graphs.state.step_state import Ended


class WatchedStep(StepInput):
    """The execution, with its limits.

    :param monotonic: the seconds of the graph's clock.
    """

    __slots__ = ("_began", "_limits", "_monotonic", "_seen", "end_context", "task")

    def __init__(self, step: StepInput, limits: TimeLimits, monotonic: Callable[[], float]) -> None:
        super().__init__(step.scope, step.token)
        self._limits = limits
        self._monotonic = monotonic
        self._began = self._seen = monotonic()
        self.end_context: Callable[[Ended], None] | None = None
        """Ends the context of the node, if it has one."""

        self.task: asyncio.Task[Any] | None = None
        """What executes the node; None if that is the task of the step."""

    def is_current(self) -> bool:
        return super().is_current() if self.task is None else asyncio.current_task() is self.task

    def beat(self) -> None:
        self._seen = self._monotonic()

    def seconds_left(self) -> float:
        """Until it is over, if it gives no further sign of life."""
        return min(self._until_timeout(), self._until_idle())

    def why_over(self) -> str:
        """Which limit it has reached, to be followed by the end of a sentence."""
        if self._until_idle() < self._until_timeout():
            return (
                f"Node {self.node!r} gave no sign of life for its idle_timeout of {self._limits.idle_timeout:g} s; work that "
                "takes long calls context.heartbeat()"
            )
        return f"Node {self.node!r} took longer than its timeout of {self._limits.timeout:g} s"

    def _until_timeout(self) -> float:
        timeout = self._limits.timeout
        return float("inf") if timeout is None else self._began + timeout - self._monotonic()

    def _until_idle(self) -> float:
        idle = self._limits.idle_timeout
        return float("inf") if idle is None else self._seen + idle - self._monotonic()
