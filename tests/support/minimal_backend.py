"""A backend of somebody who implemented what is abstract, and nothing else."""

from __future__ import annotations

from typing import Any

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint import CheckpointBackend, CheckpointInfo, Listing
from spark.graphs.checkpoint.storage import Record


class MinimalBackend(CheckpointBackend):
    """Six methods over a mapping. Ids that are longer than a graph's may be are refused."""

    name = "minimal"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.stored: dict[tuple[str, int], Record] = {}
        self._used: dict[str, int] = {}

    async def put(self, record: Record) -> None:
        assert len(record.graph_id) <= 200
        if record.sequence <= self._used.get(record.graph_id, 0):
            raise SequenceTakenError("used before")
        self.stored[record.graph_id, record.sequence] = record
        self._used[record.graph_id] = record.sequence

    async def next_sequence(self, graph_id: str) -> int:
        return self._used.get(graph_id, 0) + 1

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        return self.stored.get((graph_id, sequence))

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        return (await self.list(graph_id)).infos[-1] if (await self.list(graph_id)).infos else None

    async def list(self, graph_id: str | None = None) -> Listing:
        wanted = [address for address in sorted(self.stored) if graph_id in (None, address[0])]
        return Listing([self.stored[address].info() for address in wanted])

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return self.stored.pop((graph_id, sequence), None) is not None
