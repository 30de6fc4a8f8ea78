"""How a step ends, and why a run stops: as values, so that no code has to infer it from an exception."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self, TypeAlias

from spark.errors import NodeError
from spark.graphs.definition.step import StepInput
from spark.graphs.state.transactions import StateWrites


@dataclass(slots=True, eq=False)
class Finished:
    """The node returned. Its writes take effect when the step is committed."""

    output: Any
    graph_writes: StateWrites | None = None
    """Its writes to the graph's state; None if it used none."""
    node_writes: StateWrites | None = None
    """The same for the node's own state."""


@dataclass(slots=True, eq=False)
class Failed:
    """The node raised."""

    error: BaseException

    @classmethod
    def escaped(cls, node: str, error: asyncio.CancelledError) -> Self:
        """The node let a ``CancelledError`` escape that nobody sent to it."""
        failure = NodeError(
            f"Node {node!r} ended in CancelledError, although nobody cancelled the run: a task or future that it awaited was "
            "cancelled. Catch the error where the node awaits it, or don't await what you cancel."
        )
        failure.__cause__ = error
        return cls(failure)


@dataclass(slots=True, eq=False)
class Cancelled:
    """The step was stopped."""

    error: asyncio.CancelledError


Outcome: TypeAlias = Finished | Failed | Cancelled
"""How a step ends: what an executor returns."""


class Cause(Enum):
    """Why a run stops before all work is done."""

    FAILURE = auto()
    """A step, a trigger, a rule of retention or a handler raised."""
    SAVING = auto()
    """A checkpoint could not be saved."""
    BUDGET = auto()
    """A limit of the task's budget was reached."""
    CANCELLATION = auto()
    """The run was cancelled."""


@dataclass(slots=True, eq=False)
class Stop:
    """Why a run stops although work is left."""

    cause: Cause
    error: BaseException
    """What ``run()`` raises for it."""
    step: StepInput | None = None
    """The step that failed, if it was one."""

    def as_failure(self) -> Stop:
        """The same for a run that nobody cancelled: a step that was cancelled all the same has failed."""
        if self.step is None or not isinstance(self.error, asyncio.CancelledError):
            return self
        return Stop(Cause.FAILURE, Failed.escaped(self.step.node, self.error).error, self.step)
