"""The logger ``spark.graphs``: the life of a run at the level INFO, its steps at DEBUG; never a value."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from spark.graphs.events.kinds import (
    CheckpointMade,
    Drained,
    Event,
    Interrupted,
    RunFinished,
    RunResumed,
    RunStarted,
    StepCommitted,
    StepEvent,
    StepFailed,
    StepRetrying,
    StepStarted,
    StepWaiting,
    Waiting,
)
from spark.graphs.values.failures import brief
from spark.graphs.values.log_fields import log_fields

_LOG = logging.getLogger("spark.graphs")
_Line: TypeAlias = tuple[str, tuple[Any, ...]]
_FIELDS: Final = ("node", "attempt", "checkpoint_id", "seconds")


def log(event: Event) -> None:
    """Log an event, if it is one to log."""
    level, words = _LINES.get(type(event), (logging.DEBUG, None))
    if words is None or not _LOG.isEnabledFor(level):
        return
    text, values = words(event)
    own = {name: getattr(event, name, None) for name in _FIELDS}
    extra = log_fields(event.graph_id, run_id=event.run_id, iteration=event.iteration, **own)
    _LOG.log(level, f"Graph %r: {text}", event.graph_id, *values, extra=extra)
    if isinstance(event, StepFailed | RunFinished) and event.error is not None:  # a message may hold values
        _LOG.debug("Graph %r: the error was %s", event.graph_id, brief(event.error), extra=extra)


def _started(event: RunStarted) -> _Line:
    return "run %s began.", (event.run_id,)


def _resumed(event: RunResumed) -> _Line:
    return "run %s was resumed from checkpoint %s, after %d steps.", (
        event.run_id,
        event.checkpoint_id,
        event.iteration,
    )


def _interrupted(event: Interrupted) -> _Line:
    ids = ", ".join(f"{interrupt.id!r}: …" for interrupt in event.interrupts)
    asks = ", ".join(dict.fromkeys(interrupt.node for interrupt in event.interrupts))
    return "interrupted, because node %s asks. To answer: graph.run(resume={%s})", (asks, ids)


def _waiting(event: Waiting) -> _Line:
    if event.due is None:
        return "waiting for a signal or an answer.", ()
    return "waiting until %s.", (event.due.isoformat(),)


def _drained(event: Drained) -> _Line:
    return "drained after %d steps; run(resume=True) continues it.", (event.iteration,)


def _finished(event: RunFinished) -> _Line:
    if event.error is None:
        return "run %s returned %r after %d steps, in %.3f s.", (
            event.run_id,
            event.status,
            event.iteration,
            event.seconds,
        )
    where = f" in node {event.node!r}" if event.node is not None else ""
    return f"run %s {event.status}{where.replace('%', '%%')} with %s after %d steps, in %.3f s.", (
        event.run_id,
        type(event.error).__qualname__,
        event.iteration,
        event.seconds,
    )


def _step_started(event: StepStarted) -> _Line:
    return "node %r began%s.", (event.node, _which(event))


def _committed(event: StepCommitted) -> _Line:
    return "node %r was committed%s, in %.6f s.", (event.node, _which(event), event.seconds or 0.0)


def _failed(event: StepFailed) -> _Line:
    return "node %r failed%s with %s; then: %s.", (
        event.node,
        _which(event),
        type(event.error).__qualname__,
        event.then,
    )


def _retrying(event: StepRetrying) -> _Line:
    return "node %r will be retried%s at %s.", (event.node, _which(event), event.due.isoformat())


def _step_waiting(event: StepWaiting) -> _Line:
    return "node %r waits%s for: %s.", (event.node, _which(event), ", ".join(event.waits))


def _made(event: CheckpointMade) -> _Line:
    return "checkpoint %s was made (%s), in %.6f s.", (event.checkpoint_id, event.reason, event.seconds)


def _which(event: StepEvent) -> str:
    item = f", item {event.index}" if event.index is not None else ""
    return f", attempt {event.attempt}{item}" if event.attempt > 1 else item


_LINES: Final[dict[type[Event], tuple[int, Callable[[Any], _Line]]]] = {
    RunStarted: (logging.INFO, _started),
    RunResumed: (logging.INFO, _resumed),
    Interrupted: (logging.INFO, _interrupted),
    Waiting: (logging.INFO, _waiting),
    Drained: (logging.INFO, _drained),
    RunFinished: (logging.INFO, _finished),
    StepStarted: (logging.DEBUG, _step_started),
    StepCommitted: (logging.DEBUG, _committed),
    StepFailed: (logging.DEBUG, _failed),
    StepRetrying: (logging.DEBUG, _retrying),
    StepWaiting: (logging.DEBUG, _step_waiting),
    CheckpointMade: (logging.DEBUG, _made),
}
"""At which level an event is logged, and in which words."""
