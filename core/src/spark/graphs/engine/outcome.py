"""What becomes of a step, and of a run: values, so that nobody has to guess from an exception what it means."""

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
    """The node returned. What it wrote counts when its step is committed."""

    output: Any
    graph_writes: StateWrites | None = None
    """What it did in the graph's state; None while it touched nothing."""
    node_writes: StateWrites | None = None
    """The same for the node's own state."""


@dataclass(slots=True, eq=False)
class Failed:
    """The node raised."""

    error: BaseException

    @classmethod
    def escaped(cls, node: str, error: asyncio.CancelledError) -> Self:
        """A node let a ``CancelledError`` out, although nobody cancelled it."""
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
"""What an executor makes of a step."""


class Cause(Enum):
    """What kept a run from taking more steps."""

    FAILURE = auto()
    """A step, a trigger, a rule of retention or a handler raised."""
    SAVING = auto()
    """A checkpoint could not be saved."""
    BUDGET = auto()
    """A limit of the task's budget was reached."""
    CANCELLATION = auto()
    """Somebody cancelled it."""


@dataclass(slots=True, eq=False)
class Stop:
    """Why a run takes no more steps although work is left."""

    cause: Cause
    error: BaseException
    """What ``run()`` raises for it."""
    step: StepInput | None = None
    """The step that failed, if it was one."""

    def as_failure(self) -> Stop:
        """The same where nobody cancelled the run, so that a node whose step was cancelled has failed."""
        if self.step is None or not isinstance(self.error, asyncio.CancelledError):
            return self
        return Stop(Cause.FAILURE, Failed.escaped(self.step.node, self.error).error, self.step)
