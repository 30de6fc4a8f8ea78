"""What a backend finds when it looks at what it stores: a line for each record, and all that can't be read as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from spark.graphs.checkpoint.records.info import CheckpointInfo


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """Something that stands in the place of a record and can't be read as one. It may be of use once it is repaired."""

    graph_id: str | None
    """The graph that it belongs to, or None where that can't be told."""
    sequence: int | None
    """Its place in the history of that graph, or None where that can't be told."""
    place: str
    """Where it is in the store: a path, a key, a row."""
    reason: str
    """What is wrong with it and what to do: a sentence that names the place, too."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to ``CheckpointBackend.list`` and ``query``.

    It is no sequence of lines, so that nobody takes those for all there is.
    """

    infos: list[CheckpointInfo]
    """A line for each record that can be read, in order."""
    damaged: list[DamagedRecord] = field(default_factory=list)
    """What can't, in any order. As long as there is any, nobody knows which large values its graph needs."""

    @classmethod
    def of(cls, found: Iterable[CheckpointInfo | DamagedRecord]) -> Self:
        """The listing of all this, in the order given."""
        listing = cls([])
        for each in found:
            if isinstance(each, DamagedRecord):
                listing.damaged.append(each)
            else:
                listing.infos.append(each)
        return listing
