"""SQL backends that are wrong on purpose: a crash harness that accepts one of them proves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from spark.graphs.checkpoint.storage import Record
from spark_backend_sql import DatabaseCheckpointBackend


class AcknowledgesEarly(DatabaseCheckpointBackend):
    """Acknowledges a save before its transaction is committed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._saving: set[asyncio.Task[list[int]]] = set()

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        self._saving.add(asyncio.create_task(super().put_and_delete(record, to_delete, blobs)))
        return list(to_delete)


class CommitsTwice(DatabaseCheckpointBackend):
    """Writes the first half of a record in one transaction, and the whole in another."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        half = record.payload[: len(record.payload) // 2]
        deleted = await super().put_and_delete(Record(record.header, half, blobs=record.blobs), to_delete, blobs)
        records, header = self.database.tables.checkpoints, record.header
        statement = records.update().where(records.c.graph_id == header.graph_id, records.c.sequence == header.sequence)
        with self.database.writing.begin() as connection:
            connection.execute(statement.values(payload=record.payload))
        return deleted


class PrunesFirst(DatabaseCheckpointBackend):
    """Deletes what a save makes room for before the save is durable."""

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> list[int]:
        deleted = await self.delete_many(record.graph_id, to_delete)
        await super().put_and_delete(record, (), blobs)
        return deleted
