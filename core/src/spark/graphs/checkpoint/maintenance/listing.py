"""What a store holds of graphs, without the histories beside theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from spark.graphs.checkpoint.ids import DERIVED, is_derived
from spark.graphs.checkpoint.records.query import CheckpointQuery
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import Listing

_BEYOND_DERIVED: Final = DERIVED[:-1] + chr(ord(DERIVED[-1]) + 1)
"""The first text, by code points, after all derived ids."""


async def list_checkpoints(backend: CheckpointBackend, query: CheckpointQuery | None) -> Listing:
    """The checkpoints of graphs that a query asks for, or with None all. What is damaged is reported wherever it is."""
    if query is None:
        return _of_graphs(await backend.list())
    if query.graph_id is not None:
        return Listing([]) if is_derived(query.graph_id) else await backend.query(query)
    limit = query.limit
    while True:
        listing = await backend.query(replace(query, limit=limit))
        found = _of_graphs(listing)
        if query.limit is None or limit is None or len(found.infos) >= query.limit or len(listing.infos) < limit:
            return Listing(found.infos[: query.limit], found.damaged)
        limit = 4 * limit + 16  # derived histories took the place of some


async def list_graph_ids(
    backend: CheckpointBackend, prefix: str = "", *, after: str | None = None, limit: int | None = None
) -> list[str]:
    """The ids of the graphs that have records, as ``CheckpointBackend.graph_ids`` gives them."""
    found: list[str] = []
    while True:
        wanted = None if limit is None else limit - len(found)
        page = await backend.graph_ids(prefix, after=after, limit=wanted)
        found += [each for each in page if not is_derived(each)]
        if wanted is None or len(page) < wanted or len(found) == limit:
            return found
        after = _BEYOND_DERIVED if is_derived(page[-1]) else page[-1]


def _of_graphs(listing: Listing) -> Listing:
    return Listing([info for info in listing.infos if not is_derived(info.graph_id)], listing.damaged)
