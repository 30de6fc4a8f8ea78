"""What the writer is asked to do, as plain values, and the outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import Record

Address: TypeAlias = tuple[str, int]
"""Graph id and sequence."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Put:
    """Store a record and, if it is stored, delete others of its graph. Never changed, except for ``is_wanted``."""

    record: Record
    values: Mapping[str, Any]
    """What is inserted, by column. The caller makes them, so the writer only passes them on."""
    to_delete: Sequence[int] = ()
    """The sequences to delete when the record is stored."""
    blobs_to_delete: Sequence[str] = ()
    """The names of the large values to delete with them."""
    nbytes: int = field(init=False)
    """About how many bytes it adds to a transaction."""
    is_wanted: bool = True
    """False once the caller was cancelled after the transaction had begun: if that one fails, it need not be tried again."""

    def __post_init__(self) -> None:
        self.nbytes = self.record.nbytes

    @property
    def graph_id(self) -> str:
        """The graph that the record belongs to."""
        return self.record.graph_id

    @property
    def touched(self) -> list[Address]:
        """Every address that this changes."""
        graph_id = self.record.graph_id
        return [(graph_id, self.record.sequence), *((graph_id, sequence) for sequence in self.to_delete)]

    @property
    def blobs(self) -> Iterator[dict[str, Any]]:
        """What inserting the record's large values binds, by column: one after the other, as there may be much in memory."""
        return _rows(self.graph_id, self.record.blobs)

    def __str__(self) -> str:
        return f"save {self.subject}"

    @property
    def subject(self) -> str:
        """The checkpoint, as messages name it."""
        return f"checkpoint {self.record.sequence} of graph {self.graph_id[:80]!r}"


@dataclass(slots=True, eq=False, weakref_slot=True)
class PutBlobs:
    """Store large values, before the record that will refer to them. Never changed, except for ``is_wanted``."""

    graph_id: str
    contents: Mapping[str, bytes]
    """By name."""
    to_delete: Sequence[int] = ()
    blobs_to_delete: Sequence[str] = ()
    nbytes: int = field(init=False)
    is_wanted: bool = True
    """As with ``Put``."""

    def __post_init__(self) -> None:
        self.nbytes = sum(map(len, self.contents.values()))

    @property
    def touched(self) -> list[Address]:
        """It changes no record."""
        return []

    @property
    def blobs(self) -> Iterator[dict[str, Any]]:
        """What inserting them binds, by column."""
        return _rows(self.graph_id, self.contents)

    def __str__(self) -> str:
        return f"save {self.subject}"

    @property
    def subject(self) -> str:
        """What is saved, as messages name it."""
        return f"large values of graph {self.graph_id[:80]!r}"


@dataclass(slots=True, eq=False, weakref_slot=True)
class Delete:
    """Delete records of a graph, or large values. Never changed, except for ``is_wanted``."""

    graph_id: str
    to_delete: Sequence[int] = ()
    """The sequences."""
    blobs_to_delete: Sequence[str] = ()
    """The names of the large values."""
    nbytes: int = 0
    is_wanted: bool = True
    """As with ``Put``."""

    @property
    def touched(self) -> list[Address]:
        """Every address that this changes."""
        return [(self.graph_id, sequence) for sequence in self.to_delete]

    def __str__(self) -> str:
        return f"delete {self.subject}"

    @property
    def subject(self) -> str:
        """What is deleted, as messages name it."""
        if not self.to_delete:
            return f"large values of graph {self.graph_id[:80]!r}"
        first, *more = self.to_delete
        return f"checkpoint {first}{f' and {len(more)} more' if more else ''} of graph {self.graph_id[:80]!r}"


@dataclass(slots=True, eq=False)
class Forget(Delete):
    """Delete every row of a graph."""

    @property
    def subject(self) -> str:
        """What is deleted, as messages name it."""
        return f"every row of graph {self.graph_id[:80]!r}"


@dataclass(slots=True, frozen=True)
class Blocked:
    """An operation that met a lock. It may succeed once that lock is released."""

    error: Exception
    """What to raise when its caller has waited long enough."""
    is_in_doubt: bool
    """An earlier try of it may have taken effect. Otherwise it has not happened."""


Operation: TypeAlias = Put | PutBlobs | Delete
Outcome: TypeAlias = list[int] | Exception
"""The sequences of ``to_delete`` that existed and are deleted now, or the error to raise in the caller."""
Outcomes: TypeAlias = dict[Operation, Outcome]


def _rows(graph_id: str, blobs: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    return ({"graph_id": graph_id, "name": name, "content": content} for name, content in blobs.items())


def taken(put: Put, reason: str) -> SequenceTakenError:
    """The error for a record whose sequence can't be used.

    :param reason: what is said of the sequence, for instance "is in use".
    """
    return SequenceTakenError(
        f"The sql backend did not save {put.subject}: this sequence {reason}. Nothing was written. Read the latest "
        "checkpoint and continue from there."
    )
