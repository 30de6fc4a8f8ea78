"""Names and attributes of spans and measurements."""

from __future__ import annotations

from traceback import format_exception
from typing import TypeAlias

from spark.graphs.events import Activity

Attributes: TypeAlias = dict[str, str | int]

_LONGEST = 16_000


def name_of(activity: Activity) -> str:
    """The name of a span: no graph id, run id or key of a call, of which there are too many to group spans by."""
    return activity.kind if activity.node is None else f"{activity.kind} {clean(activity.node)}"


def known_at_start(activity: Activity) -> Attributes:
    """What a sampler may decide by."""
    found: Attributes = {
        "spark.graph_id": clean(activity.graph_id),
        "spark.run_id": clean(activity.run_id),
        "spark.iteration": activity.iteration,
    }
    if activity.node is not None:
        found["spark.node"] = clean(activity.node)
        found["spark.attempt"] = activity.attempt or 1
        found["spark.idempotency_key"] = clean(activity.idempotency_key or "")
        if activity.index is not None:
            found["spark.map.index"] = activity.index
    if activity.kind == "call":
        found["spark.call.key"] = clean(activity.name)
    elif activity.kind == "checkpoint":
        found["spark.checkpoint.reason"] = clean(activity.name)
    elif activity.resumed_from is not None:
        found["spark.resumed_from"] = clean(activity.resumed_from)
    return found


def known_at_end(activity: Activity) -> Attributes:
    """What is known only now."""
    found = outcome_of(activity)
    if activity.checkpoint_id is not None:
        found["spark.checkpoint.id"] = clean(activity.checkpoint_id)
        found["spark.checkpoint.sequence"] = activity.sequence or 0
        if activity.bytes is not None:
            found["spark.checkpoint.size"] = activity.bytes
    return found


def outcome_of(activity: Activity) -> Attributes:
    """How it ended, in few different words."""
    found: Attributes = {"spark.outcome": activity.outcome or "finished"}
    if activity.outcome == "failed":
        found["error.type"] = type_of(activity.error)
    return found


def type_of(error: BaseException | None) -> str:
    """The full name of the class of an error."""
    if error is None:
        return "_OTHER"
    module, name = type(error).__module__, type(error).__qualname__
    return clean(name if module == "builtins" else f"{module}.{name}")


def exception_of(error: BaseException) -> Attributes:
    """The event that records an error. At most its first, and of the stack its last, 16,000 characters."""
    return {
        "exception.type": type_of(error),
        "exception.message": clean(_message(error)[:_LONGEST]),
        "exception.stacktrace": clean("".join(format_exception(error))[-_LONGEST:]),
    }


def clean(text: str) -> str:
    """The text without lone surrogates: no exporter can write them, and it would lose all that it sends with them."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its message can't be shown"
