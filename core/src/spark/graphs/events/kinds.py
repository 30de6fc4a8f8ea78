"""What happens in a run, one class for each kind of event."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

from spark.graphs.message import Interrupt, Message
from spark.graphs.values.failures import message_of

RunStatus: TypeAlias = Literal["completed", "interrupted", "waiting", "drained", "failed", "cancelled"]
"""How a run ended: the ``status`` of its message; or ``"failed"`` or ``"cancelled"``, where ``run()`` raised."""
Then: TypeAlias = Literal["retry", "handled", "collected", "stop"]
"""What follows a failed execution: another one; the nodes that handle the error; the error in the place of an item's result; or
the run stops."""

_DEEPEST: Final = 50
_LONGEST: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run. All watchers of the run share it, so don't change it."""

    kind: ClassVar[str] = "event"
    """The name of its class in lower case, for instance ``"step_started"``."""

    time: datetime
    """When it happened, in UTC, by the clock of the graph."""
    graph_id: str
    """The graph that runs."""
    run_id: str
    """The run; it stays the same when the run is resumed."""
    iteration: int
    """How many steps had been committed since the run began."""
    dropped: int = 0
    """How many events that this watcher asked for were dropped just before this one."""

    def to_data(self) -> dict[str, Any]:
        """The event as plain values, which JSON can write: times in ISO format, errors by type and message."""
        return {"kind": self.kind} | {each.name: plain(getattr(self, each.name)) for each in fields(self)}

    def after_dropped(self, count: int) -> Self:
        """The same event, before which so many more were dropped."""
        return replace(self, dropped=self.dropped + count)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(Event):
    """Something that happened to one step. The events of one step have the same ``step``."""

    kind: ClassVar[str] = "step_event"

    node: str
    """The key of the node."""
    step: str
    """Names the step in its run: the same for each attempt, and when it is repeated."""
    attempt: int
    """1 for the first execution; one more after each that failed."""
    index: int | None = None
    """The place, from 0, of the item of a map that the step belongs to; of nested maps the innermost. None outside."""
    path: tuple[Any, ...] = ()
    """The item's index, or its key, in each map around it, the outermost first; empty outside of a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A new run has begun."""

    kind: ClassVar[str] = "run_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResumed(Event):
    """A run was resumed. A complete one then gives its stored result, and executes nothing."""

    kind: ClassVar[str] = "run_resumed"

    checkpoint_id: str | None = None
    """The checkpoint that it was resumed from; None where it was kept in memory alone."""
    sequence: int | None = None
    """The sequence of that checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """``run()`` returned or raised: the last event. ``status`` says how."""

    kind: ClassVar[str] = "run_finished"

    status: RunStatus
    node: str | None = None
    """The key of the node that finished last; of a failed run, of the node that failed, if it was one."""
    message: Message | None = None
    """What ``run()`` returned; None if it raised."""
    error: BaseException | None = None
    """What it raised; None if it returned."""
    seconds: float = 0.0
    """How long this call of ``run()`` took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(StepEvent):
    """The code of a node is about to be executed."""

    kind: ClassVar[str] = "step_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCommitted(StepEvent):
    """A step has ended, and its effects are committed."""

    kind: ClassVar[str] = "step_committed"

    changed: tuple[str, ...] = ()
    """The keys of the graph's state that it changed."""
    changed_own: tuple[str, ...] = ()
    """The keys of the node's own state that it changed."""
    next: tuple[str, ...] = ()
    """The keys of the nodes that follow; empty where the run, or an item of a map, finishes."""
    seconds: float | None = None
    """How long its execution took; None if that was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepEvent):
    """An execution of a step has failed."""

    kind: ClassVar[str] = "step_failed"

    error: BaseException
    """What was raised."""
    then: Then
    """What follows: ``"retry"``, ``"handled"`` by an edge, ``"collected"`` by a map, or the run has to ``"stop"``."""
    next: tuple[str, ...] = ()
    """The keys of the nodes that handle the error."""
    seconds: float | None = None
    """How long the execution took; None if that was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetrying(StepEvent):
    """A step that failed waits for its next attempt. ``attempt`` is the one that failed."""

    kind: ClassVar[str] = "step_retrying"

    error: BaseException
    due: datetime
    """When the next attempt begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWaiting(StepEvent):
    """A step waits for something outside. It is repeated from its beginning when that is there."""

    kind: ClassVar[str] = "step_waiting"

    waits: tuple[str, ...]
    """What it waits for: ``"question"``, ``"signal"``, ``"timer"``; one for each."""
    due: datetime | None = None
    """When it continues by itself at the latest; None if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMade(Event):
    """A checkpoint is durable."""

    kind: ClassVar[str] = "checkpoint_made"

    checkpoint_id: str
    sequence: int
    reason: str
    """What it was made for, such as ``"trigger"`` or ``"completed"``."""
    seconds: float
    """How long it took to make and store it."""
    bytes: int | None = None
    """The stored size of its record; None if it is not known, as in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Event):
    """The run returns, because questions have to be answered."""

    kind: ClassVar[str] = "interrupted"

    interrupts: tuple[Interrupt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """All that is left waits for a time, a signal or a retry. The run waits with it, or returns."""

    kind: ClassVar[str] = "waiting"

    due: datetime | None = None
    """When it continues by itself at the latest; None if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained(Event):
    """The run returns with work left, because it was asked to stop."""

    kind: ClassVar[str] = "drained"

    reason: str = ""
    """What ``graph.drain`` was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted(StepEvent):
    """What a node sent with ``context.emit(value)``. A step that is repeated sends it again: ``number`` begins at 1 again."""

    kind: ClassVar[str] = "emitted"

    value: Any
    number: int
    """1, 2, 3… in the order in which this execution sent them."""


KINDS: Final[dict[str, type[Event]]] = {
    each.kind: each
    for each in (
        RunStarted,
        RunResumed,
        RunFinished,
        StepStarted,
        StepCommitted,
        StepFailed,
        StepRetrying,
        StepWaiting,
        CheckpointMade,
        Interrupted,
        Waiting,
        Drained,
        Emitted,
    )
}
"""The classes of events by their kinds."""


def plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON can write it; of what has no such form, a short description."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else repr(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {str(key): plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | Set):
            return [plain(each, depth + 1) for each in value]
        if isinstance(value, Interrupt | Message):
            return {each.name: plain(getattr(value, each.name), depth + 1) for each in fields(value)}
    if isinstance(value, BaseException):
        return {"type": type(value).__qualname__, "message": message_of(value)[:_LONGEST]}
    return _described(value)


def _described(value: Any) -> str:
    try:
        return repr(value)[:_LONGEST]
    except Exception:
        return f"<{type(value).__name__}>"
