"""What the writer is asked to do: plain values, and the answers to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from spark.graphs.checkpoint import Record

Address: TypeAlias = tuple[str, int]
"""Graph id and sequence."""


@dataclass(frozen=True, slots=True, eq=False)
class Put:
    """Store a record; the answer is None."""

    record: Record

    @property
    def address(self) -> Address:
        return self.record.header.graph_id, self.record.header.sequence

    @property
    def weight(self) -> int:
        """How many bytes it adds to a transaction, about."""
        return len(self.record.payload)


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """Remove a record; the answer says whether there was one."""

    address: Address
    weight: int = 0


Operation: TypeAlias = Put | Delete
Outcome: TypeAlias = bool | Exception | None
"""The answer, or the error to raise in the caller."""
