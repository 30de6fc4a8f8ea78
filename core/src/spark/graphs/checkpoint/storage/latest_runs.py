"""The latest runs of many graphs, found with what every backend has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.storage.listing import LatestHeaders, Listing

_AT_ONCE: Final = 1000
"""Graphs whose headers are asked for at once."""


class Searchable(Protocol):
    """A ``CheckpointBackend``, as far as this search needs it."""

    async def graph_ids(self, prefix: str, /, *, after: str | None, limit: int | None) -> Sequence[str]: ...

    async def latest_headers(self, graph_ids: Sequence[str], /) -> LatestHeaders: ...

    async def list(self, graph_id: str, /) -> Listing: ...

    async def get(self, graph_id: str, sequence: int, /) -> Record | None: ...


async def latest_runs(
    backend: Searchable, prefix: str, *, after: str | None, limit: int | None, reasons: Collection[str] | None
) -> LatestHeaders:
    """What ``CheckpointBackend.latest_runs`` promises. Graphs that are deleted meanwhile make room for later ones."""
    found = LatestHeaders({})
    while True:
        wanted = None if limit is None or reasons is not None else limit - len(found.headers) - len(found.damaged)
        ids = await backend.graph_ids(prefix, after=after, limit=wanted)
        for start in range(0, len(ids), _AT_ONCE):
            latest = await backend.latest_headers(ids[start : start + _AT_ONCE])
            found.damaged.extend(latest.damaged)
            for graph_id, header in sorted(latest.headers.items()):
                if limit is not None and len(found.headers) >= limit:
                    return found
                made_by_run = await _before_those_by_hand(backend, header) if header.manual else header
                if reasons is None or made_by_run.metadata.get("reason") in reasons:
                    found.headers[graph_id] = made_by_run
        if wanted is None or len(ids) < wanted or len(found.headers) + len(found.damaged) >= (limit or 0):
            return found
        after = ids[-1]


async def _before_those_by_hand(backend: Searchable, latest: RecordHeader) -> RecordHeader:
    """The header of the latest record of a graph that was not made by hand; the given one when there is none."""
    listing = await backend.list(latest.graph_id)
    for info in reversed(listing.infos):
        record = await backend.get(info.graph_id, info.sequence) if not info.manual else None
        if record is not None:
            return record.header
    return latest
