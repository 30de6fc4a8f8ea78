"""Which keys each checkpoint of a history changed: each is read once, and large values that neighbours share are not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spark.errors import BackendError, CheckpointNotFoundError, SparkError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.inspection.entries import HistoryEntry
from spark.graphs.checkpoint.inspection.raw import opened_tree
from spark.graphs.checkpoint.inspection.stored_mappings import stored_differently
from spark.graphs.checkpoint.inspection.stored_tree import LargeValues, StoredTree
from spark.graphs.checkpoint.storage.listing import in_batches
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from spark.graphs.checkpoint.records.record import Record
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

_KEPT: Final = 64
"""So many of the records that were read last are kept: the parent of most is the one before."""


async def with_changed_keys(backend: CheckpointBackend, entries: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """The entries of one graph, by rising sequence, with the keys that each has changed."""
    if not entries:
        return []
    known, found = _Known(backend, entries[0].graph_id), {entry.sequence: entry for entry in entries}
    for batch in in_batches(entry.info for entry in entries if entry.info is not None):
        await known.read([info.sequence for info in batch])
        for info in batch:
            found[info.sequence] = await known.with_changes(found[info.sequence])
    return [*found.values()]


class _Known:
    """The records of a graph that were read last."""

    def __init__(self, backend: CheckpointBackend, graph_id: str) -> None:
        self._backend = backend
        self._graph_id = graph_id
        self._large = LargeValues()
        self._trees: OrderedDict[int, StoredTree | None] = OrderedDict()
        """By sequence; None for what can't be read."""

    async def read(self, sequences: Sequence[int]) -> None:
        """Read records, in one go."""
        with wrapped(self._backend, "reading checkpoints of graph ", self._graph_id):
            records = (await self._backend.get_many(self._graph_id, sequences)).records
        found = await run_blocking(lambda: {sequence: self._opened(each) for sequence, each in records.items()})
        self._trees |= dict.fromkeys(sequences) | found
        for sequence in [*self._trees][: -_KEPT - len(sequences)]:
            del self._trees[sequence]

    async def with_changes(self, entry: HistoryEntry) -> HistoryEntry:
        """The entry with the keys that it has changed, as far as that can be read."""
        before = entry.before if entry.before is not None else entry.parent
        if before is not None and before not in self._trees:
            await self.read([before])
        old, new = self._trees.get(before or 0), self._trees.get(entry.sequence)
        if new is None or (old is None and before is not None):
            return entry
        try:
            state = await self._changed(old, new, "graph_state")
            nodes = await self._changed(old, new, "node_states")
        except (BackendError, CheckpointNotFoundError):
            raise
        except SparkError:
            return entry
        finally:
            self._large.forget_some()
        return replace(entry, changed=state, changed_nodes=nodes)

    async def _changed(self, old: StoredTree | None, new: StoredTree, name: str) -> tuple[str, ...] | None:
        pairs = await stored_differently(self._backend, old, new, name, exactly=False)
        return None if pairs is None else tuple(pairs)

    def _opened(self, record: Record) -> StoredTree | None:
        try:
            return opened_tree(self._backend.record_codec, record, self._large)
        except SparkError:
            return None
