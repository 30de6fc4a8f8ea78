"""Reading the history of a graph, and comparing checkpoints of it, from a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark.errors import CheckpointNotFoundError
from spark.graphs.checkpoint.calls import not_found, wrapped
from spark.graphs.checkpoint.ids import automatic_id, is_derived
from spark.graphs.checkpoint.inspection.changes import with_changed_keys
from spark.graphs.checkpoint.inspection.diffing import differences, stored_differences
from spark.graphs.checkpoint.inspection.entries import HistoryEntry, entries_of
from spark.graphs.checkpoint.inspection.raw import load_raw, open_tree
from spark.graphs.checkpoint.inspection.stored_tree import LargeValues
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.query import CheckpointQuery
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from spark.graphs.checkpoint.inspection.difference import Difference
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend


async def read_history(
    backend: CheckpointBackend, query: CheckpointQuery, *, with_changes: bool = False
) -> list[HistoryEntry]:
    """The entries that a query with metadata about one graph asks for, in its order."""
    assert query.graph_id is not None
    if is_derived(query.graph_id):
        return []
    with wrapped(backend, "reading the history of graph ", query.graph_id):
        listing = await backend.query(query)
    entries = entries_of(query.graph_id, listing)
    if with_changes:
        entries = await with_changed_keys(backend, entries)
    return entries[::-1] if query.newest_first else entries


async def diff(
    backend: CheckpointBackend, before: GraphCheckpoint | CheckpointInfo, after: GraphCheckpoint | CheckpointInfo
) -> list[Difference]:
    """What differs between two checkpoints; ``CheckpointManager.diff`` says the rest."""
    old, new = await _read(backend, before), await _read(backend, after)
    if isinstance(old, Record) and isinstance(new, Record):
        return await diff_records(backend, old, new)
    return await run_blocking(differences, await _raw(backend, old), await _raw(backend, new))


async def diff_records(backend: CheckpointBackend, before: Record, after: Record) -> list[Difference]:
    """What differs between two records."""
    large = LargeValues()
    old = await open_tree(backend, before, large)
    new = await open_tree(backend, after, large if before.graph_id == after.graph_id else None)
    return await stored_differences(backend, old, new)


async def diff_to_parent(backend: CheckpointBackend, graph_id: str, sequence: int) -> list[Difference]:
    """What one checkpoint changed; ``CheckpointManager.changes`` says the rest."""
    parent, record = await with_parent(backend, graph_id, sequence)
    if parent is not None:
        return await diff_records(backend, parent, record)
    after = await load_raw(backend, record)
    return await run_blocking(differences, nothing_before(after), after)


async def with_parent(backend: CheckpointBackend, graph_id: str, sequence: int) -> tuple[Record | None, Record]:
    """The record that one continues, None at the beginning of a line, and that one.

    :raises CheckpointNotFoundError: there is no such checkpoint, or what it continues has been deleted.
    """
    with wrapped(backend, "reading the history of graph ", graph_id):
        record = None if is_derived(graph_id) else await backend.get(graph_id, sequence)
        if record is None:
            raise not_found(automatic_id(graph_id, sequence), backend)
        parent = None if record.header.parent is None else await backend.get(graph_id, record.header.parent)
    if parent is None and (before := await _before(backend, record)) is not None:
        with wrapped(backend, "reading the history of graph ", graph_id):
            parent = await backend.get(graph_id, before)
    return parent, record


def nothing_before(first: GraphCheckpoint) -> GraphCheckpoint:
    """What the first checkpoint of a line is compared with."""
    return GraphCheckpoint(first.checkpoint_id, first.graph_id, first.timestamp, version=first.version)


async def _before(backend: CheckpointBackend, record: Record) -> int | None:
    """The checkpoint that is left before this one in its line, if its parent was deleted; None at the beginning of a line."""
    query = CheckpointQuery(graph_id=record.graph_id, with_metadata=True)
    entries = {entry.sequence: entry for entry in await read_history(backend, query)}
    entry = entries.get(record.sequence)
    if entry is None or entry.parent is None or entry.before is not None:
        return None if entry is None else entry.before
    raise CheckpointNotFoundError(
        f"What checkpoint {record.header.checkpoint_id!r} changed is not known: checkpoint {entry.parent} of graph "
        f"{record.graph_id!r}, which it continues, has been deleted. Compare it with another checkpoint: manager.diff(a, b)."
    )


async def _read(backend: CheckpointBackend, given: GraphCheckpoint | CheckpointInfo) -> GraphCheckpoint | Record:
    if isinstance(given, GraphCheckpoint):
        return given
    with wrapped(backend, "loading checkpoint ", given.checkpoint_id):
        record = await backend.get(given.graph_id, given.sequence)
    if record is None:
        raise not_found(given.checkpoint_id, backend)
    return record


async def _raw(backend: CheckpointBackend, given: GraphCheckpoint | Record) -> GraphCheckpoint:
    return given if isinstance(given, GraphCheckpoint) else await load_raw(backend, given)
