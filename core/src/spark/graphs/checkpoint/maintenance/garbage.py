"""Which large values does no record of a graph need any more? Asked where nobody has kept account of them."""

from __future__ import annotations

import logging
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

from spark.errors import CheckpointDamagedError, SparkError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.records.blobs import garbage, is_of
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

_LOG = logging.getLogger("spark.checkpoint")


async def collect_garbage(backend: CheckpointBackend, graph_id: str, *, but: str = "") -> int:
    """Remove the blobs of a graph that no record refers to, also beside a run; returns how many.

    When a record can't be read, everything stays: it may need any of them.

    :param but: a writer whose blobs are left alone, since it keeps account of them.
    """
    try:
        return await remove(backend, graph_id, await orphans(backend, graph_id, but=but))
    except SparkError as error:
        _LOG.warning("Large values of graph %r that nobody needs were left for a later time: %s", graph_id, error)
        return 0


async def remove(backend: CheckpointBackend, graph_id: str, names: Sequence[str]) -> int:
    """Remove these blobs of a graph; returns how many.

    :raises BackendError: the storage failed.
    """
    if names:
        with wrapped(backend, "removing large values of graph ", graph_id):
            await backend.delete_blobs(graph_id, names)
    return len(names)


async def orphans(
    backend: CheckpointBackend,
    graph_id: str,
    *,
    but: str = "",
    at_rest: bool = False,
    known: Mapping[int, Collection[str]] = MappingProxyType({}),
) -> list[str]:
    """The names of the blobs that no record refers to, nor ever will.

    :param known: what records that were read already refer to, by sequence.
    :param at_rest: no run of the graph is under way, so what no record refers to now, none ever will.
    :raises CheckpointDamagedError: a record can't be read, so that it is not known what it refers to.
    """
    with wrapped(backend, "listing the large values of graph ", graph_id):
        names = [name for name in await backend.blob_names(graph_id) if not is_of(name, but)]
    if not names:
        return []
    with wrapped(backend, "listing the checkpoints of graph ", graph_id):
        listing = await backend.list(graph_id)
    for damaged in listing.damaged:
        raise CheckpointDamagedError(
            f"It is not known which large values graph {graph_id!r} needs, since a checkpoint of it can't be read. "
            f"{damaged.reason}"
        )
    unreferenced = [*set(names).difference(chain.from_iterable(known.values()))]
    if not at_rest:
        automatic = [info.sequence for info in listing.infos if not info.manual]
        unreferenced = garbage(unreferenced, latest=automatic[-1] if automatic else 0)
    # Those made by hand come last: they are large, and refer to nothing unless they are somebody else's.
    for info in sorted(listing.infos, key=attrgetter("manual")):
        if unreferenced and info.sequence not in known:
            needed = await _needed(backend, info)
            unreferenced = [] if needed is None else [name for name in unreferenced if name not in needed]
    return unreferenced


async def _needed(backend: CheckpointBackend, info: CheckpointInfo) -> set[str] | None:
    """What a record refers to; None when that can't be told, since something else than the core has made it."""
    with wrapped(backend, "reading checkpoint ", info.checkpoint_id):
        record = await backend.get(info.graph_id, info.sequence)
    if record is None:
        return set()  # it was deleted meanwhile
    if not record.header.references_in_payload:
        return None
    return {ref.name for ref in await run_blocking(backend.codec.references, record)}
