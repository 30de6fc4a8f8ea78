"""How a step ends, and why a run stops: as values, so that no code has to infer it from an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from enum import Enum, auto
from typing import Any, ClassVar, Protocol, Self, TypeAlias

from spark.errors import NodeError
from spark.graphs.definition.step import Step
from spark.graphs.state.journal import Entry
from spark.graphs.state.transactions import StateWrites


class Held(Protocol):
    """What is kept elsewhere for a result."""

    def release(self) -> None:
        """It may go."""


class Finished:
    """The node returned. Its writes take effect when the step is committed."""

    kind: ClassVar[str] = "finished"
    held: ClassVar[Held | None] = None
    """What is kept elsewhere for its result, until that is committed."""
    __slots__ = ("graph_writes", "node_writes", "output")

    def __init__(
        self, output: Any, graph_writes: StateWrites | None = None, node_writes: StateWrites | None = None
    ) -> None:
        self.output: Any = output
        self.graph_writes: StateWrites | None = graph_writes
        """Its writes to the graph's state; None if it used none."""
        self.node_writes: StateWrites | None = node_writes
        """The same for the node's own state."""


class FinishedElsewhere(Finished):
    """The same of a node that an executor has executed."""

    __slots__ = ("held",)

    def __init__(
        self, output: Any, graph_writes: StateWrites | None, node_writes: StateWrites | None, *, held: Held
    ) -> None:
        super().__init__(output, graph_writes, node_writes)
        self.held: Held = held  # type: ignore[misc]


class Failed:
    """The node raised."""

    kind: ClassVar[str] = "failed"
    __slots__ = ("began", "error")

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error
        self.began: datetime | None = None
        """When the execution began, where a rule for retries asks for that."""

    @classmethod
    def escaped(cls, node: str, error: asyncio.CancelledError) -> Self:
        """The node let a ``CancelledError`` escape that nobody sent to it."""
        failure = NodeError(
            f"Node {node!r} ended in CancelledError, although nobody cancelled the run: a task or future that it awaited was "
            "cancelled. Catch the error where the node awaits it, or don't await what you cancel."
        )
        failure.__cause__ = error
        return cls(failure)

    @classmethod
    def caught(cls, node: str) -> Self:
        """The node returned although it waits for something."""
        return cls(
            NodeError(
                f"Node {node!r} caught StepSuspended, which ends a step that waits for something, and returned. Let it pass: "
                "catch Exception instead of BaseException, leave return_exceptions=True out of gather(), and await what waits "
                "instead of leaving it to a task of its own."
            )
        )


class Cancelled:
    """The step was stopped."""

    kind: ClassVar[str] = "cancelled"
    __slots__ = ("error",)

    def __init__(self, error: asyncio.CancelledError) -> None:
        self.error: asyncio.CancelledError = error


class NotBegun(Cancelled):
    """The run stopped while the step waited for its turn elsewhere: it is pending again."""

    def __init__(self) -> None:
        super().__init__(asyncio.CancelledError())


class Suspended:
    """The step waits for something outside. Its writes are dropped: it is repeated from its beginning."""

    kind: ClassVar[str] = "suspended"
    __slots__ = ("waits",)

    def __init__(self, waits: Mapping[str, Entry]) -> None:
        self.waits: Mapping[str, Entry] = waits
        """What it waits for: open entries of its journal, by key."""


Outcome: TypeAlias = Finished | Failed | Cancelled | Suspended
"""How a step ends."""


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
    PAUSE = auto()
    """All that is left waits for something outside."""
    DRAIN = auto()
    """The run was asked to stop at a boundary."""


class Drain:
    """A request to stop a run at a boundary.

    :param grace: seconds that running steps get to finish.
    """

    __slots__ = ("grace", "reason")

    def __init__(self, reason: str, grace: float) -> None:
        self.reason: str = reason
        self.grace: float = grace

    def after(self, first: Drain | None) -> Drain:
        """The two requests as one: the reason of the first, and the shorter time."""
        return self if first is None else Drain(first.reason, min(first.grace, self.grace))


class Stop:
    """Why a run stops although work is left.

    :param error: what ``run()`` raises for it.
    :param step: the step that failed, if it was one.
    """

    __slots__ = ("cause", "error", "step")

    def __init__(self, cause: Cause, error: BaseException, step: Step | None = None) -> None:
        self.cause: Cause = cause
        self.error: BaseException = error
        self.step: Step | None = step

    def drop_error(self) -> None:
        """Let go of the error, which has been raised.

        From Python 3.12 on, its traceback keeps the frames of callers alive, and they refer to this object.
        """
        del self.error

    def as_failure(self) -> Stop:
        """The same for a run that nobody cancelled: a step that was cancelled anyway has failed."""
        if self.step is None or not isinstance(self.error, asyncio.CancelledError):
            return self
        return Stop(Cause.FAILURE, Failed.escaped(self.step.node, self.error).error, self.step)
