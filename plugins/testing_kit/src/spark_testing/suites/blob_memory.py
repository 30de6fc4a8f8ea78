"""A store in memory that keeps large values and chunks by themselves, as files, databases and S3 do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record

Names: TypeAlias = list[str]


class BlobMemory(InMemoryCheckpointBackend):
    """Notes for each record how many bytes it added. Chunks pay off early in it, so that a short run has some."""

    keeps_blobs = True
    blob_cost = 4096

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.contents: dict[str, bytes] = {}
        """Name to content of all large values that were ever stored."""
        self.written: list[int] = []
        """The bytes of each record with the large values that came with it."""

    async def put(self, record: Record) -> None:
        """Store it with its large values."""
        brought = {name: bytes(content) for name, content in record.blobs.items()}
        self.contents |= brought
        self.written.append(len(record.payload) + sum(map(len, brought.values())))
        await super().put(record.with_blobs({}))

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        """Those of one graph, which is the only one."""
        return {name: self.contents[name] for name in names if name in self.contents}

    async def blob_names(self, graph_id: str) -> Names:
        """As above."""
        return [*self.contents]
