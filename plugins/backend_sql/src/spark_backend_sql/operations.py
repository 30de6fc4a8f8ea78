"""What the writer is asked to do: plain values, and the answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spark.graphs.checkpoint.storage import Record

Address: TypeAlias = tuple[str, int]
"""Graph id and sequence."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Put:
    """Store a record and, with it or not at all, remove others of its graph. Never changed, but for ``is_wanted``."""

    record: Record
    values: Mapping[str, Any]
    """What is inserted, by column; made by the caller, so that the writer need only hand it on."""
    to_delete: Sequence[int] = ()
    """The sequences that go when the record is stored,"""
    blobs_to_delete: Sequence[str] = ()
    """and the names of the large values that go with them."""
    nbytes: int = field(init=False)
    """How many bytes it adds to a transaction, about."""
    is_wanted: bool = True
    """False when the caller was cancelled after its transaction had begun: one that failed need not be tried again."""

    def __post_init__(self) -> None:
        self.nbytes = self.record.nbytes

    @property
    def graph_id(self) -> str:
        """The graph that all this is about."""
        return self.record.graph_id

    @property
    def address(self) -> Address:
        """Where the record is stored."""
        return self.record.graph_id, self.record.sequence

    @property
    def touched(self) -> list[Address]:
        """Every address that this changes."""
        return [self.address, *((self.graph_id, sequence) for sequence in self.to_delete)]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Delete:
    """Remove records of a graph, or large values. Never changed, but for ``is_wanted``."""

    graph_id: str
    to_delete: Sequence[int] = ()
    """The sequences that go."""
    blobs_to_delete: Sequence[str] = ()
    """The names of the large values that go."""
    nbytes: int = 0
    is_wanted: bool = True
    """As with ``Put``."""

    @property
    def touched(self) -> list[Address]:
        """Every address that this changes."""
        return [(self.graph_id, sequence) for sequence in self.to_delete]


@dataclass(slots=True, frozen=True)
class Blocked:
    """An operation that met somebody's lock. It may succeed when that is gone."""

    error: Exception
    """What to raise when nobody waits for that any longer."""
    is_in_doubt: bool
    """An earlier try of it may have taken effect; otherwise it has not happened."""


@dataclass(slots=True, eq=False)
class Forget(Delete):
    """Remove every row of a graph. Never changed."""


Operation: TypeAlias = Put | Delete
Outcome: TypeAlias = list[int] | Exception
"""Those of ``to_delete`` that there were, or the error to raise in the caller."""
