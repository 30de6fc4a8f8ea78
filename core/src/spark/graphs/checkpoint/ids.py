"""What checkpoint ids and graph ids may look like, and how an automatic id is derived from its address."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from spark.errors import InvalidIdError

MAX_GRAPH_ID = 200
MAX_CHECKPOINT_ID = 256
DERIVED: Final = "__spark__."
"""How the ids begin of histories that the core keeps beside that of a graph, and no graph's own."""
INBOX: Final = "inbox"
"""The history of the messages that were sent to a graph."""
CLAIM: Final = "claim"
"""The history of who ran it."""
DERIVED_KINDS: Final = (INBOX, CLAIM)
"""What of a graph is in a history of its own. Forgetting, copying and verifying a graph goes by this."""

_READABLE: Final = 80
_AUTOMATIC = re.compile(r"ckpt_(?P<graph>.+)_(?P<sequence>[0-9]{6,18})\Z", re.DOTALL)


def check_graph_id(graph_id: str) -> str:
    """The graph id itself, when a graph can have it.

    :raises InvalidIdError: it is empty, too long, or holds control characters or text that UTF-8 can't encode; or it is reserved.
    """
    if check_stored_graph_id(graph_id).startswith(DERIVED):
        raise InvalidIdError(
            f"The graph id {graph_id!r} begins with {DERIVED!r}, which is reserved for what is stored beside a graph. Choose "
            "another one."
        )
    return graph_id


def check_stored_graph_id(graph_id: str) -> str:
    """The graph id itself, when a record can have it: that of a graph, or one that ``derived_id`` gives.

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


def derived_id(kind: str, graph_id: str) -> str:
    """The id of one of the histories beside that of a graph, no longer than a graph id may be.

    It is ``"__spark__.<kind>.<graph id>"``. Of a long graph id it holds the beginning and a hash; its records name the graph.

    :param kind: one of ``DERIVED_KINDS``.
    """
    plain = f"{DERIVED}{kind}.{graph_id}"
    if len(plain) <= MAX_GRAPH_ID:
        return plain
    hashed = sha256(graph_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{DERIVED}{kind}~.{graph_id[:_READABLE]}.{hashed}"


def derived_beginnings(kind: str, prefix: str) -> list[str]:
    """What the derived ids begin with of all graph ids that begin with this text, in order; those of some others do, too."""
    if not prefix:
        return [f"{DERIVED}{kind}"]
    return [f"{DERIVED}{kind}.{prefix}", f"{DERIVED}{kind}~.{prefix[:_READABLE]}"]


def is_derived(graph_id: str) -> bool:
    """Whether this is no graph's own id, but one that ``derived_id`` gives."""
    return graph_id.startswith(DERIVED)


def parse_derived_id(graph_id: str) -> tuple[str, str | None] | None:
    """The kind and the graph id that a derived id stands for, or None for another id.

    The graph id is None where it was too long to be spelt out.
    """
    if not is_derived(graph_id):
        return None
    kind, _, rest = graph_id.removeprefix(DERIVED).partition(".")
    return (kind.removesuffix("~"), None) if kind.endswith("~") else (kind, rest)


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
