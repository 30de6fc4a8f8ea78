"""Which large values of a graph does no record refer to? Asked where no run has kept track of them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from types import MappingProxyType

from spark.errors import CheckpointDamagedError, SparkError
from spark.graphs.checkpoint.calls import ATTEMPTS, wrapped
from spark.graphs.checkpoint.maintenance.loading import read_batch
from spark.graphs.checkpoint.records.blobs import garbage, is_of
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import Listing, in_batches
from spark.graphs.concurrency.blocking import run_blocking

_LOG = logging.getLogger("spark.checkpoint")


async def collect_garbage(
    backend: CheckpointBackend, graph_id: str, *, except_writer: str = "", except_names: Collection[str] = ()
) -> int:
    """Delete the blobs of a graph that no record refers to, which is safe beside a run. Returns how many.

    If a record can't be read, all stay: it may refer to any of them.

    :param except_writer: a run whose blobs are left alone, since it keeps track of them;
    :param except_names: and others that it keeps track of.
    """
    try:
        orphans = await find_orphans(backend, graph_id, except_writer=except_writer, except_names=except_names)
        return await delete_blobs(backend, graph_id, orphans)
    except SparkError as error:
        _LOG.warning("Unreferenced large values of graph %r were not deleted this time: %s", graph_id, error)
        return 0


async def delete_blobs(backend: CheckpointBackend, graph_id: str, names: Sequence[str]) -> int:
    """Delete these blobs of a graph. Returns how many.

    :raises BackendError: the storage failed.
    """
    if names:
        with wrapped(backend, "deleting large values of graph ", graph_id):
            await backend.delete_blobs(graph_id, names)
    return len(names)


async def find_orphans(
    backend: CheckpointBackend,
    graph_id: str,
    *,
    except_writer: str = "",
    except_names: Collection[str] = (),
    at_rest: bool = False,
    known: Mapping[int, Collection[str]] = MappingProxyType({}),
) -> list[str]:
    """The names of the blobs that no record refers to, now or later.

    :param at_rest: no run of the graph is under way, so what no record refers to now, none will later.
    :param known: what records that were read already refer to, by sequence.
    :raises CheckpointDamagedError: a record can't be read, so that it is not known what it refers to.
    """
    with wrapped(backend, "listing the large values of graph ", graph_id):
        names = [name for name in await backend.blob_names(graph_id) if name not in except_names]
    orphans = [name for name in names if not is_of(name, except_writer)]
    if not orphans:
        return []
    listing = await _listing(backend, graph_id)
    orphans = [*set(orphans).difference(chain.from_iterable(known.values()))]
    if not at_rest:
        automatic = [info.sequence for info in listing.infos if not info.manual]
        orphans = garbage(orphans, latest=automatic[-1] if automatic else 0)
    done = set(known)
    for _ in range(ATTEMPTS):
        # Those made by hand come last: they are large, and refer to nothing unless something else has made them.
        unknown = [info for info in sorted(listing.infos, key=attrgetter("manual")) if info.sequence not in done]
        orphans, vanished = await _without_referenced(backend, orphans, unknown)
        if not (orphans and vanished):
            return orphans
        # What one that was deleted meanwhile referred to, one that was written meanwhile may refer to as well.
        done.update(info.sequence for info in unknown)
        listing = await _listing(backend, graph_id)
    return []


async def _without_referenced(
    backend: CheckpointBackend, names: list[str], infos: Sequence[CheckpointInfo]
) -> tuple[list[str], bool]:
    """Those of the names to which none of these records refers, and whether one of them has been deleted meanwhile."""
    has_vanished = False
    for batch in in_batches(infos):
        if not names:
            break
        found = await read_batch(backend, batch)
        has_vanished = has_vanished or len(found) < len(batch)
        for record in found.values():
            referenced = await _references(backend, record)
            names = [] if referenced is None else [name for name in names if name not in referenced]
    return names, has_vanished


async def _listing(backend: CheckpointBackend, graph_id: str) -> Listing:
    with wrapped(backend, "listing the checkpoints of graph ", graph_id):
        listing = await backend.list(graph_id)
    for damaged in listing.damaged:
        raise CheckpointDamagedError(
            f"It is not known which large values graph {graph_id!r} needs, because one of its checkpoints can't be read. "
            f"{damaged.reason}"
        )
    return listing


async def _references(backend: CheckpointBackend, record: Record | CheckpointDamagedError) -> set[str] | None:
    """The blobs that a record refers to; None when that can't be told, since something else than the core has made it."""
    if isinstance(record, CheckpointDamagedError):
        raise record
    if not record.header.references_in_payload:
        return None
    return {ref.name for ref in await run_blocking(backend.record_codec.references, record)}
