"""Checkpoints in this process's memory: for tests, for development, and for short runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self, TypeAlias

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.records.deferred import DeferredRecord
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import LatestHeaders, Listing, Records, page_of
from spark.graphs.checkpoint.storage.url_options import split_options
from spark.graphs.concurrency.blocking import run_blocking

Sequences: TypeAlias = list[int]
Names: TypeAlias = list[str]


class InMemoryCheckpointBackend(CheckpointBackend):
    """Keeps records in memory, for as long as the object exists.

    A history here is as isolated from the run as one on disk, and what can't be saved is found while testing. But a checkpoint
    is only encoded when it is read: until then it shares its values, which never change, with those before and after it.
    """

    name = "memory"
    persistent: ClassVar[bool] = False
    keeps_records = True
    keeps_blobs = True
    blob_cost = 512 * 1024
    """Encoded bytes are shared by all records that have them. What costs is to go through many of them for each checkpoint."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.creates:
            from spark.graphs.checkpoint.storage.absent import store_not_found  # after a mistake only

            raise store_not_found("memory://", "what is in memory ends with the process that made it", cure=_LASTS)
        self._graphs: dict[str, dict[int, Record]] = {}
        """Records by graph id and sequence, in the order of sequences."""
        self._deleted_up_to: dict[str, int] = {}
        """Graph id to the highest sequence that was deleted. Neither it nor any below it is used again."""
        self._blobs: dict[str, dict[str, bytes]] = {}
        """Large values by graph id and name."""
        self._does_all_at_once = all(getattr(type(self), name) is method for name, method in _OWN.items())
        """No subclass stores or deletes in a way of its own."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """A new store for ``memory://``."""
        address, common = split_options(url)
        if address.rstrip("/:") != "memory":
            raise ValueError("An in-memory store has no address; write memory://")
        return cls(**common | options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def put(self, record: Record) -> None:
        self._put(record)

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> Sequences:
        if not self._does_all_at_once:
            return await super().put_and_delete(record, to_delete, blobs)
        self._put(record)
        graph_id = record.graph_id
        deleted = [sequence for sequence in to_delete if self._delete(graph_id, sequence)]
        if blobs and len(deleted) == len(to_delete):
            self._delete_blobs(graph_id, blobs)
        return deleted

    def _put(self, record: Record) -> None:
        graph_id, sequence = record.graph_id, record.sequence
        records = self._graphs.get(graph_id, {})
        if sequence in records or sequence <= self._deleted_up_to.get(graph_id, 0):
            raise SequenceTakenError(f"Sequence {sequence} of graph {graph_id!r} was used before.")
        is_latest = not records or sequence > next(reversed(records))
        if record.blobs:
            self._blobs.setdefault(graph_id, {}).update(record.blobs)
            record = record.with_blobs({})
        records[sequence] = record
        self._graphs[graph_id] = records if is_latest else dict(sorted(records.items()))

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        record = self._graphs.get(graph_id, {}).get(sequence)
        return None if record is None else await _encoded(record)

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        records = self._graphs.get(graph_id, {})
        there = records if isinstance(sequences, range) else sorted({*sequences})
        found = {sequence: records[sequence] for sequence in there if sequence in sequences and sequence in records}
        return Records({sequence: await _encoded(record) for sequence, record in found.items()})

    async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        histories = {graph_id: self._graphs.get(graph_id) for graph_id in graph_ids}
        latest = {graph_id: next(reversed(records.values())) for graph_id, records in histories.items() if records}
        return LatestHeaders({graph_id: (await _encoded(record)).header for graph_id, record in latest.items()})

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Names:
        there = (graph_id for graph_id, records in self._graphs.items() if records)
        return page_of(there, prefix, after=after, limit=limit)

    async def list(self, graph_id: str | None = None) -> Listing:
        graphs = sorted(self._graphs) if graph_id is None else [graph_id]
        return Listing([record.info() for graph in graphs for record in self._graphs.get(graph, {}).values()])

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        records = self._graphs.get(graph_id)
        return next(reversed(records.values())).info() if records else None

    async def next_sequence(self, graph_id: str) -> int:
        return max(next(reversed(self._graphs.get(graph_id, {})), 0), self._deleted_up_to.get(graph_id, 0)) + 1

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return self._delete(graph_id, sequence)

    def _delete(self, graph_id: str, sequence: int) -> bool:
        records = self._graphs.get(graph_id)
        if records is None or records.pop(sequence, None) is None:
            return False
        if sequence > self._deleted_up_to.get(graph_id, 0):
            self._deleted_up_to[graph_id] = sequence
        return True

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        self._blobs.setdefault(graph_id, {}).update(blobs)
        return True

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        blobs = self._blobs.get(graph_id, {})
        return {name: blobs[name] for name in names if name in blobs}

    async def blob_names(self, graph_id: str) -> Names:
        return [*self._blobs.get(graph_id, {})]

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        self._delete_blobs(graph_id, names)

    def _delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        blobs = self._blobs.get(graph_id, {})
        for name in names:
            blobs.pop(name, None)

    async def forget(self, graph_id: str) -> Sequences:
        self._deleted_up_to.pop(graph_id, None)
        self._blobs.pop(graph_id, None)
        return [*self._graphs.pop(graph_id, {})]


_LASTS: Final = "Name a store that lasts, for instance sqlite:///runs.db."
_OWN: Final[Mapping[str, Any]] = {
    name: getattr(InMemoryCheckpointBackend, name) for name in ("put", "delete", "delete_many", "delete_blobs")
}


async def _encoded(record: Record) -> Record:
    """The record for somebody who reads it. It is not kept encoded: reading a long history does not undo the sharing."""
    if not isinstance(record, DeferredRecord):
        return record
    try:
        return record.copy().encoded(cost_budget=CostBudget(last_cost=0))
    except CostExceededError:
        return await run_blocking(record.copy().encoded)
