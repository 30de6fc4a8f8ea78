"""A process of its own that writes to a database: ``python -m tests.plugins.sql_writer URL TABLE NUMBER``.

It says ``ready``, waits for a line, then saves checkpoints of its own graph and races the others for those of a shared one.
"""

from __future__ import annotations

import asyncio
import json
import sys

from spark.errors import SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record

SAVES = 20


async def write(url: str, table: str, number: str) -> list[int]:
    """The sequences of the shared graph that this process won."""
    won = []
    async with DatabaseCheckpointBackend(url, table) as backend:
        for sequence in range(1, SAVES + 1):
            await backend.put(make_record(f"own-{number}", sequence))
            try:
                await backend.put(make_record("shared", sequence, payload=number.encode()))
                won.append(sequence)
            except SequenceTakenError:
                continue
    return won


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(write(*sys.argv[1:]))))
