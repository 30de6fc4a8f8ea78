"""What a backend finds when it is asked for many records at once: what can be read, and beside it what is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record, RecordHeader

_BATCH: Final = 64
_BATCH_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """Something that is in the place of a record but can't be read as one. It may be of use once it is repaired."""

    graph_id: str | None
    """The graph that it belongs to, or None if that is unknown."""
    sequence: int | None
    """Its place in the history of that graph, or None if that is unknown."""
    place: str
    """Where it is in the store: a path, a key, a row."""
    reason: str
    """What is wrong with it and what to do: a sentence that names the place, too."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to ``CheckpointBackend.list`` and ``query``.

    It is not a sequence of infos, so that nobody takes these for all there is.
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

    def sequences(self) -> list[int]:
        """The sequences of all records of one graph, even of those that are damaged, rising."""
        damaged = (each.sequence for each in self.damaged if each.sequence is not None)
        return sorted({*damaged, *(info.sequence for info in self.infos)})


@dataclass(frozen=True, slots=True)
class Records:
    """The answer to ``CheckpointBackend.get_many``."""

    records: dict[int, Record]
    """By sequence, rising."""
    damaged: list[DamagedRecord] = field(default_factory=list)
    """What is at one of the requested sequences and can't be read."""


@dataclass(frozen=True, slots=True)
class LatestHeaders:
    """The answer to ``CheckpointBackend.latest_headers``."""

    headers: dict[str, RecordHeader]
    """By graph id."""
    damaged: list[DamagedRecord] = field(default_factory=list)
    """For each graph whose latest record can't be read, that record. An older one is not given in its place."""


def page_of(graph_ids: Iterable[str], prefix: str, *, after: str | None, limit: int | None) -> list[str]:
    """Those of these different ids that ``CheckpointBackend.graph_ids`` is asked for, in order."""
    wanted = [each for each in graph_ids if each.startswith(prefix) and (after is None or each > after)]
    return sorted(wanted)[:limit]


def in_batches(infos: Iterable[CheckpointInfo]) -> Iterator[list[CheckpointInfo]]:
    """The same lines in the same order, in groups that ``get_many`` can read at once.

    A group is of one graph, of at most 64 records, and of 16 MiB or a single record that is larger.
    """
    batch: list[CheckpointInfo] = []
    size = 0
    for info in infos:
        size += info.size
        if batch and (info.graph_id != batch[0].graph_id or len(batch) == _BATCH or size > _BATCH_BYTES):
            yield batch
            batch, size = [], info.size
        batch.append(info)
    if batch:
        yield batch
