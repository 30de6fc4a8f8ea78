"""What a checkpoint costs: of about 10 KB after every step, in memory and in files, and finding the latest of many."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.floors import bare_encode, bare_files
from benchmarks.measure import Comparison, in_turns
from benchmarks.state import SMALL
from benchmarks.workload import disk, encoded, loop, run, seconds_of
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)

STEPS_IN_MEMORY = 2_000
STEPS_TO_FILE = 150
HISTORY = 5_000
KEPT = 10
"""How many checkpoints of a graph are kept when nothing else is said."""


def compare(effort: Effort) -> Iterator[Comparison]:
    yield _in_memory(effort)
    yield _to_file(effort, keep=None)
    yield _to_file(effort, keep=KEPT)
    yield _latest(effort)


def _in_memory(effort: Effort) -> Comparison:
    steps = effort.of(STEPS_IN_MEMORY)

    async def checkpoint_alone() -> float:
        bare = await seconds_of(Graph(start=loop(steps), state=SMALL)) / steps * 1e6
        return await run(InMemoryCheckpointBackend, steps) - bare

    return in_turns(
        lambda: asyncio.run(checkpoint_alone()),
        lambda: bare_encode(SMALL, steps) * 1e6,
        rounds=effort.rounds,
        work="what a checkpoint of 10 KB in memory adds to a step",
        unit="us",
        floor_is="one to_json of the state",
    )


def _to_file(effort: Effort, *, keep: int | None) -> Comparison:
    size, steps = len(encoded()), effort.of(STEPS_TO_FILE)

    def ours() -> float:
        with tempfile.TemporaryDirectory(dir=disk()) as folder:
            return asyncio.run(run(lambda: FileCheckpointBackend(folder), steps, auto_cleanup=keep is not None))

    def floor() -> float:
        with tempfile.TemporaryDirectory(dir=disk()) as folder:
            return bare_files(folder, os.urandom(size), steps, keep=keep) * 1e6

    return in_turns(
        ours,
        floor,
        rounds=effort.rounds,
        work=f"a step and its checkpoint of {size / 1000:.1f} KB, in a file, {f'the last {keep}' if keep else 'all'} kept",
        unit="us",
        floor_is="write, fsync, link, fsync of the folder" + (f", unlink of number {keep + 1}" if keep else ""),
    )


def _latest(effort: Effort) -> Comparison:
    history = effort.of(HISTORY)
    with tempfile.TemporaryDirectory(dir=disk()) as folder:
        asyncio.run(_fill(folder, history))
        return in_turns(
            lambda: asyncio.run(_load_latest(folder, history)),
            lambda: _bare_latest(folder),
            rounds=effort.rounds,
            work=f"loading the latest of {history} checkpoints in a folder",
            unit="ms",
            floor_is="scandir and read of one file",
        )


async def _fill(folder: str, history: int) -> None:
    """A history of real checkpoints, all kept."""
    async with FileCheckpointBackend(folder) as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
        await Graph(start=loop(history - 1), id="bench", state=SMALL, checkpoint_config=config).run()


async def _load_latest(folder: str, history: int) -> float:
    async with FileCheckpointBackend(folder) as backend:
        manager = CheckpointManager(backend)
        began = time.perf_counter()
        checkpoint = await manager.load_latest("bench")
        seconds = time.perf_counter() - began
    assert checkpoint is not None
    assert checkpoint.sequence == history
    return seconds * 1e3


def _bare_latest(folder: str) -> float:
    began = time.perf_counter()
    with os.scandir(Path(folder) / "bench") as entries:
        last = max(entry.name for entry in entries if entry.name.endswith(".ckpt"))
    (Path(folder) / "bench" / last).read_bytes()
    return (time.perf_counter() - began) * 1e3
