"""What a run is asked to do, and how much it may use for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from spark.errors import GraphDefinitionError


class TaskType(StrEnum):
    """What kind of work a task is; recorded in its checkpoints, for people and tools to read."""

    STANDARD = "STANDARD"
    LONG_RUNNING = "LONG_RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one call of ``run``. A run that reaches one makes a checkpoint and raises ``BudgetExceededError``."""

    max_seconds: float | None = None
    """Wall-clock seconds; steps that still run when they are over are cancelled and stay pending. None: no limit."""
    max_iterations: int | None = None
    """Node executions, counted on across a resume. None: no limit."""

    def __post_init__(self) -> None:
        _check_limit("max_seconds", self.max_seconds, (int, float))
        _check_limit("max_iterations", self.max_iterations, (int,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The input of one run."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What the start node receives as ``context.inputs``."""
    type: TaskType = TaskType.STANDARD
    """What kind of work it is."""
    budget: Budget | None = None
    """How much it may use; None: no limits."""

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Mapping):
            raise GraphDefinitionError(
                f"Task(inputs={self.inputs!r}): inputs are a mapping, for instance {{'input': …}}."
            )
        if self.budget is not None and not isinstance(self.budget, Budget):
            raise GraphDefinitionError(
                f"Task(budget={self.budget!r}): give a Budget, for instance Budget(max_seconds=60)."
            )

    @classmethod
    def of(cls, task: Task | Mapping[str, Any] | None) -> Task:
        """The task that ``run`` was given: a ``Task``, the inputs of one, or nothing.

        :raises GraphDefinitionError: it is something else.
        """
        if task is None:
            return cls()
        if isinstance(task, Task):
            return task
        if isinstance(task, Mapping):
            return cls(inputs=dict(task))
        raise GraphDefinitionError(
            f"A run takes a Task, a mapping of inputs, or nothing, not {type(task).__name__}; try {{'input': …}}."
        )


def _check_limit(name: str, value: float | None, kinds: tuple[type, ...]) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, kinds) or not value > 0 or math.isnan(value):
        raise GraphDefinitionError(f"Budget({name}={value!r}): give a positive number, or None for no limit.")
