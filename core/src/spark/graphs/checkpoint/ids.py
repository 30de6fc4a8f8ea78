"""What checkpoint ids and graph ids may look like, and how an automatic id is derived from its address."""

from __future__ import annotations

import re

from spark.errors import InvalidIdError

MAX_GRAPH_ID = 200
MAX_CHECKPOINT_ID = 256

_AUTOMATIC = re.compile(r"ckpt_(?P<graph>.+)_(?P<sequence>[0-9]{6,18})\Z", re.DOTALL)


def check_graph_id(graph_id: str) -> str:
    """The graph id itself, when it can be used.

    :raises InvalidIdError: it is empty, too long, or holds control characters or text that UTF-8 can't encode.
    """
    if isinstance(graph_id, str) and 0 < len(graph_id) <= MAX_GRAPH_ID and graph_id.isprintable():
        return graph_id
    raise _invalid("graph id", graph_id, MAX_GRAPH_ID)


def check_checkpoint_id(checkpoint_id: str) -> str:
    """The checkpoint id itself, when it can be used.

    :raises InvalidIdError: it is empty, too long, or holds control characters or text that UTF-8 can't encode.
    """
    if isinstance(checkpoint_id, str) and 0 < len(checkpoint_id) <= MAX_CHECKPOINT_ID and checkpoint_id.isprintable():
        return checkpoint_id
    raise _invalid("checkpoint id", checkpoint_id, MAX_CHECKPOINT_ID)


def automatic_id(graph_id: str, sequence: int) -> str:
    """The id of a checkpoint that a run made by itself; ``parse_automatic_id`` is its inverse."""
    return f"ckpt_{graph_id}_{sequence:06d}"


def parse_automatic_id(checkpoint_id: str) -> tuple[str, int] | None:
    """The graph id and sequence that an automatic id stands for, or None for an id given by hand."""
    match = _AUTOMATIC.match(checkpoint_id)
    if match is None:
        return None
    graph_id, sequence = match["graph"], int(match["sequence"])
    return (graph_id, sequence) if automatic_id(graph_id, sequence) == checkpoint_id else None


def _invalid(kind: str, value: object, longest: int) -> InvalidIdError:
    if not isinstance(value, str):
        return InvalidIdError(f"A {kind} is a string, not {type(value).__name__}.")
    if not value:
        return InvalidIdError(f"The {kind} is empty; give it at least one character.")
    if len(value) > longest:
        return InvalidIdError(f"The {kind} {value[:40]!r}… has {len(value)} characters; at most {longest} are allowed.")
    return InvalidIdError(
        f"The {kind} {value!r} holds a control character or text that can't be encoded; use printable text."
    )
