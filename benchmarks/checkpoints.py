"""What a checkpoint costs: of about 10 KB after every step, in memory and in files, and finding the latest of many."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from pydantic_core import to_json

from benchmarks.measure import Comparison, in_turns
from benchmarks.workload import STATE, disk, encoded, loop, run, seconds_of
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


def compare(rounds: int) -> list[Comparison]:
    return [_in_memory(rounds), _to_file(rounds), _latest(rounds)]


def _in_memory(rounds: int) -> Comparison:
    async def checkpoint_alone() -> float:
        bare = await seconds_of(Graph(start=loop(STEPS_IN_MEMORY), state=STATE)) / STEPS_IN_MEMORY * 1e6
        return await run(InMemoryCheckpointBackend, STEPS_IN_MEMORY) - bare

    return in_turns(
        lambda: asyncio.run(checkpoint_alone()),
        _bare_encode,
        rounds=rounds,
        work="what a checkpoint of 10 KB in memory adds to a step",
        unit="us",
        floor_is="one to_json of the state",
    )


def _to_file(rounds: int) -> Comparison:
    size = len(encoded())

    def ours() -> float:
        with tempfile.TemporaryDirectory(dir=disk()) as folder:
            return asyncio.run(run(lambda: FileCheckpointBackend(folder), STEPS_TO_FILE))

    return in_turns(
        ours,
        lambda: _bare_files(size),
        rounds=rounds,
        work=f"a step and its checkpoint of {size / 1000:.1f} KB, in a file",
        unit="us",
        floor_is="write, fsync, link, fsync of the folder",
    )


def _latest(rounds: int) -> Comparison:
    with tempfile.TemporaryDirectory(dir=disk()) as folder:
        asyncio.run(_fill(folder))
        return in_turns(
            lambda: asyncio.run(_load_latest(folder)),
            lambda: _bare_latest(folder),
            rounds=rounds,
            work=f"loading the latest of {HISTORY} checkpoints in a folder",
            unit="ms",
            floor_is="scandir and read of one file",
        )


def _bare_encode() -> float:
    began = time.perf_counter()
    for _ in range(STEPS_IN_MEMORY):
        to_json(STATE)
    return (time.perf_counter() - began) / STEPS_IN_MEMORY * 1e6


def _bare_files(size: int) -> float:
    content = os.urandom(size)
    with tempfile.TemporaryDirectory(dir=disk()) as folder:
        began = time.perf_counter()
        for number in range(STEPS_TO_FILE):
            _write_file(folder, f"{number}", content)
        return (time.perf_counter() - began) / STEPS_TO_FILE * 1e6


def _write_file(folder: str, name: str, content: bytes) -> None:
    temporary = f"{folder}/temporary"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, content)
    os.fsync(file)
    os.close(file)
    os.link(temporary, f"{folder}/{name}")
    os.unlink(temporary)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


async def _fill(folder: str) -> None:
    """A history of real checkpoints, all kept."""
    async with FileCheckpointBackend(folder) as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
        await Graph(start=loop(HISTORY - 1), id="bench", state=STATE, checkpoint_config=config).run()


async def _load_latest(folder: str) -> float:
    async with FileCheckpointBackend(folder) as backend:
        manager = CheckpointManager(backend)
        began = time.perf_counter()
        checkpoint = await manager.load_latest("bench")
        seconds = time.perf_counter() - began
    assert checkpoint is not None
    assert checkpoint.sequence == HISTORY
    return seconds * 1e3


def _bare_latest(folder: str) -> float:
    began = time.perf_counter()
    with os.scandir(Path(folder) / "bench") as entries:
        last = max(entry.name for entry in entries if entry.name.endswith(".ckpt"))
    (Path(folder) / "bench" / last).read_bytes()
    return (time.perf_counter() - began) * 1e3
