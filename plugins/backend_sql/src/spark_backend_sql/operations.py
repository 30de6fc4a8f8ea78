"""What the writer is asked to do: plain values, and the answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from spark.graphs.checkpoint import Record

Address: TypeAlias = tuple[str, int]
"""Graph id and sequence."""


@dataclass(frozen=True, slots=True, eq=False)
class Put:
    """Store a record and, with it or not at all, remove others; the answer is the list of those that there were."""

    record: Record
    values: Mapping[str, Any]
    """What is inserted, by column; made by the caller, so that the writer need only hand it on."""
    going: Sequence[int] = ()
    """Sequences of the same graph that go when the record is stored."""

    @property
    def address(self) -> Address:
        return self.record.graph_id, self.record.sequence

    @property
    def weight(self) -> int:
        """How many bytes it adds to a transaction, about."""
        return self.record.header.size


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Remove a record; the answer says whether there was one."""

    address: Address
    weight: int = 0


Operation: TypeAlias = Put | Delete
Answer: TypeAlias = list[int] | bool
Outcome: TypeAlias = Answer | Exception
"""The answer, or the error to raise in the caller."""
