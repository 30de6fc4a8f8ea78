"""Stores in memory that suites look into: one where chunks come early, and one whose records hold everything."""

from __future__ import annotations

from collections.abc import Mapping

from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record


class BlobMemory(InMemoryCheckpointBackend):
    """Notes for each record how many bytes it added. Chunks pay off early in it, so that a short run has some."""

    blob_cost = 4096
    keeps_records = False

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.contents: dict[str, bytes] = {}
        """Name to content of all large values that were ever stored."""
        self.written: list[int] = []
        """The bytes of each record with the large values that came with it, or before it."""
        self._ahead = 0

    async def put(self, record: Record) -> None:
        """Store it with its large values."""
        brought = {name: bytes(content) for name, content in record.blobs.items()}
        self.contents |= brought
        self.written.append(len(record.payload) + sum(map(len, brought.values())) + self._ahead)
        self._ahead = 0
        await super().put(record.with_blobs(brought))

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        """Store them, and count them as brought by the next record."""
        self.contents |= blobs
        self._ahead += sum(map(len, blobs.values()))
        return await super().put_blobs(graph_id, blobs)


class PlainMemory(InMemoryCheckpointBackend):
    """Keeps large values in its records, as a store without blobs does."""

    keeps_blobs = False
