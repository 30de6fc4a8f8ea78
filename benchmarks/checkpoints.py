"""What a checkpoint costs: of about 10 KB after every step, in memory and in files, and finding the latest of many."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from benchmarks.measure import Comparison, in_turns
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)

STEPS_IN_MEMORY = 2_000
STEPS_TO_FILE = 150
HISTORY = 5_000
STATE: dict[str, Any] = {
    f"key_{number:02}": ["x" * 80, [1, 2, 3, "abc" * 24], {"a": 1, "b": "y" * 90}, "z" * 110, number][number % 5]
    for number in range(100)
} | {"key_04": 0}
"""100 small mixed values; about 10 KB as JSON, with what else a checkpoint holds."""


class Count(Node):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("key_04", 0) + 1
        await context.graph_state.set("key_04", count)
        return {"done": count >= self.steps}


def compare(rounds: int) -> list[Comparison]:
    return [_in_memory(rounds), _to_file(rounds), _latest(rounds)]


def _in_memory(rounds: int) -> Comparison:
    async def checkpoint_alone() -> float:
        bare = await _seconds(Graph(start=_loop(STEPS_IN_MEMORY), state=STATE)) / STEPS_IN_MEMORY * 1e6
        return await _run(InMemoryCheckpointBackend, STEPS_IN_MEMORY) - bare

    return in_turns(
        lambda: asyncio.run(checkpoint_alone()),
        _bare_encode,
        rounds=rounds,
        work="what a checkpoint of 10 KB in memory adds to a step",
        unit="us",
        floor_is="one to_json of the state",
    )


def _to_file(rounds: int) -> Comparison:
    size = len(_encoded())

    def ours() -> float:
        with tempfile.TemporaryDirectory(dir=_disk()) as folder:
            return asyncio.run(_run(lambda: FileCheckpointBackend(folder), STEPS_TO_FILE))

    return in_turns(
        ours,
        lambda: _bare_files(size),
        rounds=rounds,
        work=f"a step and its checkpoint of {size / 1000:.1f} KB, in a file",
        unit="us",
        floor_is="write, fsync, link, fsync of the folder",
    )


def _latest(rounds: int) -> Comparison:
    with tempfile.TemporaryDirectory(dir=_disk()) as folder:
        asyncio.run(_fill(folder))
        return in_turns(
            lambda: asyncio.run(_load_latest(folder)),
            lambda: _bare_latest(folder),
            rounds=rounds,
            work=f"loading the latest of {HISTORY} checkpoints in a folder",
            unit="ms",
            floor_is="scandir and read of one file",
        )


async def _run(make: Callable[[], CheckpointBackend], steps: int) -> float:
    async with make() as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        graph = Graph(start=_loop(steps), id="bench", state=STATE, checkpoint_config=config)
        return await _seconds(graph) / steps * 1e6


async def _seconds(graph: Graph) -> float:
    began = time.perf_counter()
    await graph.run()
    return time.perf_counter() - began


def _loop(steps: int) -> Node:
    count = Count(steps)
    count.on(done=False) >> count
    count.on(done=True) >> ExitNode()
    return count


def _encoded() -> bytes:
    """What one checkpoint of the run amounts to."""

    async def last_record() -> bytes:
        backend = InMemoryCheckpointBackend()
        await _run(lambda: backend, 3)
        record = await backend.get("bench", 2)
        assert record is not None
        return record.header.to_json() + record.payload

    return asyncio.run(last_record())


def _bare_encode() -> float:
    began = time.perf_counter()
    for _ in range(STEPS_IN_MEMORY):
        to_json(STATE)
    return (time.perf_counter() - began) / STEPS_IN_MEMORY * 1e6


def _bare_files(size: int) -> float:
    content = os.urandom(size)
    with tempfile.TemporaryDirectory(dir=_disk()) as folder:
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
        await Graph(start=_loop(HISTORY - 1), id="bench", state=STATE, checkpoint_config=config).run()


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


def _disk() -> str | None:
    """A folder on a real disk, where there is one: an fsync to memory proves nothing."""
    return os.environ.get("SPARK_BENCH_DIR") or None
