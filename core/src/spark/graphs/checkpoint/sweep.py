"""Which large values does no record of a graph need any more? Asked where nobody has kept account of them."""

from __future__ import annotations

import logging
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from spark.errors import CheckpointDamagedError, SparkError
from spark.graphs.blocking import run_blocking
from spark.graphs.checkpoint.blobs import garbage, is_of
from spark.graphs.checkpoint.store import wrapped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from spark.graphs.checkpoint.backend import CheckpointBackend
    from spark.graphs.checkpoint.model import CheckpointInfo

_LOG = logging.getLogger("spark.checkpoint")


async def sweep(backend: CheckpointBackend, graph_id: str, *, but: str = "") -> int:
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
    infos = [info for info in listing.infos if not info.manual]
    referenced = set(chain.from_iterable(known.values()))
    referenced |= await _referenced(backend, [info for info in infos if info.sequence not in known])
    if at_rest:
        return [name for name in names if name not in referenced]
    return garbage(names, referenced=referenced, latest=infos[-1].sequence if infos else 0)


async def _referenced(backend: CheckpointBackend, infos: Sequence[CheckpointInfo]) -> set[str]:
    found: set[str] = set()
    for info in infos:
        with wrapped(backend, "reading checkpoint ", info.checkpoint_id):
            record = await backend.get(info.graph_id, info.sequence)
        if record is not None:  # else it was deleted meanwhile
            found.update(ref.name for ref in await run_blocking(backend.codec.references, record))
    return found
