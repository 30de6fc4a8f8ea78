"""A database that counts what is read of large values."""

from __future__ import annotations

from collections.abc import Sequence

from spark_backend_sql import DatabaseCheckpointBackend


class CountingReads(DatabaseCheckpointBackend):
    """Counts the bytes of large values that are read."""

    read = 0

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        found = await super().get_blobs(graph_id, names)
        self.read += sum(map(len, found.values()))
        return found
