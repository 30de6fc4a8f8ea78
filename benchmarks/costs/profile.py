"""Where the processor's time of a step goes: the same step with more and more of a checkpoint done, each beside the one before.

The processor's time of the whole process is counted, without the waits for a disk. The database is where ``SPARK_BENCH_DIR``
says, or else in memory where the system has a place for files there.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import floors
from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from benchmarks.workload import disk, encoded, run_in
from spark.graphs.checkpoint import CheckpointBackend, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record
from spark_backend_sql import DatabaseCheckpointBackend

STEPS = 2_000
GRAPHS = 50
_IN_MEMORY = Path("/dev/shm")
_NUMBERS = itertools.count(1)

Make = Callable[[], CheckpointBackend] | None


class Nowhere(InMemoryCheckpointBackend):
    """Is given records as they leave a process, put together and with their checksums, and throws them away."""

    persistent = True

    async def put(self, record: Record) -> None:
        pass


def compare(effort: Effort) -> Iterator[Comparison]:
    steps = effort.of(STEPS)
    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk() or _in_memory()) as folder:

        def in_sqlite() -> CheckpointBackend:
            return DatabaseCheckpointBackend(f"sqlite:///{folder}/{next(_NUMBERS)}.db")

        def bare() -> float:
            content, file = encoded(), Path(folder) / f"{next(_NUMBERS)}.db"
            began = time.process_time()
            floors.bare_sqlite(file, content, steps)
            return (time.process_time() - began) / steps * 1e6

        def step(make: Make, *, graphs: int = 1) -> Callable[[], float]:
            return lambda: asyncio.run(_processor_time(make, max(steps // graphs, 3), graphs))

        for work, ours, floor_is, floor in (
            ("with a checkpoint in memory", step(InMemoryCheckpointBackend), "without a checkpoint", step(None)),
            (
                "with one put together, with its checksum, and thrown away",
                step(Nowhere),
                "with one in memory",
                step(InMemoryCheckpointBackend),
            ),
            ("with one in SQLite", step(in_sqlite), "with one thrown away", step(Nowhere)),
            ("with one in SQLite", step(in_sqlite), "bare INSERT + COMMIT", bare),
            (
                f"with one in SQLite, {GRAPHS} graphs at once",
                step(in_sqlite, graphs=GRAPHS),
                "one graph",
                step(in_sqlite),
            ),
        ):
            yield in_turns(
                ours,
                floor,
                rounds=effort.rounds,
                work=f"the processor's time of a step {work}",
                unit="us",
                floor_is=floor_is,
            )


async def _processor_time(make: Make, steps: int, graphs: int) -> float:
    """Microseconds of a step."""
    backend = make() if make else None
    try:
        await run_in(backend, "warm", 3)
        began = time.process_time()
        await asyncio.gather(*(run_in(backend, f"bench {number}", steps) for number in range(graphs)))
        return (time.process_time() - began) / (steps * graphs) * 1e6
    finally:
        if backend is not None:
            await backend.close()


def _in_memory() -> str | None:
    return str(_IN_MEMORY) if os.access(_IN_MEMORY, os.W_OK) else None
