"""What do graphs take up in a store?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spark.graphs.checkpoint.storage.listing import Listing


@dataclass(frozen=True, slots=True)
class Usage:
    """How much space one graph takes in a store."""

    checkpoints: int = 0
    """How many there are that can be read, those made by hand among them."""
    bytes: int = 0
    """What is stored for them: records, and large values."""
    damaged: int = 0
    """How many records can't be read. A store that counts records without reading any, as S3 does, can't tell: there, damaged
    ones count as ``checkpoints``, and this is 0. ``CheckpointManager.verify`` finds them."""


class Measurable(Protocol):
    """A ``CheckpointBackend``, as far as measuring needs it."""

    async def list(self, graph_id: str, /) -> Listing: ...

    async def blob_names(self, graph_id: str, /) -> Sequence[str]: ...

    async def get_blobs(self, graph_id: str, names: Sequence[str], /) -> dict[str, bytes]: ...


async def measured(backend: Measurable, graph_ids: Iterable[str]) -> dict[str, Usage]:
    """What graphs take up that have anything, found with what every backend has: large values are read, one at a time."""
    found = {graph_id: await _of_graph(backend, graph_id) for graph_id in dict.fromkeys(graph_ids)}
    return {graph_id: usage for graph_id, usage in found.items() if usage is not None}


async def _of_graph(backend: Measurable, graph_id: str) -> Usage | None:
    listing = await backend.list(graph_id)
    if not (listing.infos or listing.damaged):
        return None
    size = sum(info.size for info in listing.infos)
    for name in await backend.blob_names(graph_id):
        size += sum(map(len, (await backend.get_blobs(graph_id, [name])).values()))
    return Usage(len(listing.infos), size, len(listing.damaged))
