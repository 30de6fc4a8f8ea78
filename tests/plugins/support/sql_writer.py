"""The work of a process that shares a database: it saves checkpoints of its own graph and races others for a shared one's."""

from __future__ import annotations

import asyncio
from multiprocessing.synchronize import Barrier

from spark.errors import SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.children import Tell, Work
from spark_testing.records import make_record

SAVES = 20


def racing(url: str, table: str, number: int, start: Barrier) -> Work:
    """Tells the sequences of the shared graph that it won; begins when all who race are there."""

    async def work(tell: Tell) -> None:
        await asyncio.to_thread(start.wait, 60)
        async with DatabaseCheckpointBackend(url, table) as backend:
            for sequence in range(1, SAVES + 1):
                await backend.put(make_record(f"own-{number}", sequence))
                try:
                    await backend.put(make_record("shared", sequence, payload=str(number).encode()))
                    tell(str(sequence))
                except SequenceTakenError:
                    continue

    return work
