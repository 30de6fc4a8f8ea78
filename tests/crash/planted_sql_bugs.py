"""SQL backends that are wrong on purpose: a crash harness that accepts one of them proves nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from spark.graphs.checkpoint import Record
from spark_backend_sql import DatabaseCheckpointBackend


class AcknowledgesEarly(DatabaseCheckpointBackend):
    """Returns from ``put`` before the transaction is committed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._saving: set[asyncio.Task[None]] = set()

    async def put(self, record: Record) -> None:
        self._saving.add(asyncio.create_task(super().put(record)))


class CommitsTwice(DatabaseCheckpointBackend):
    """Writes the first half of a record in one transaction, and the whole in another."""

    async def put(self, record: Record) -> None:
        half = record.payload[: len(record.payload) // 2]
        await super().put(Record(record.header, half))
        records, header = self.database.tables.checkpoints, record.header
        statement = records.update().where(records.c.graph_id == header.graph_id, records.c.sequence == header.sequence)
        with self.database.writing.begin() as connection:
            connection.execute(statement.values(payload=record.payload))


class PrunesFirst(DatabaseCheckpointBackend):
    """Deletes the checkpoint before, which the new one replaces, before the new one is stored."""

    async def put(self, record: Record) -> None:
        await self.delete(record.header.graph_id, record.header.sequence - 1)
        await super().put(record)
