"""What a checkpoint costs in MessagePack, beside the same in JSON: encoded, decoded, stored, and after every step of a run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from benchmarks.state import SMALL
from benchmarks.workload import disk, run
from spark.graphs.checkpoint import CheckpointBackend, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record, RecordCodec
from spark_backend_sql import DatabaseCheckpointBackend

KEYS = 10_000
BYTES = 1_000_000
STEPS_IN_MEMORY = 2_000
STEPS_IN_SQLITE = 300
NAMES = ("msgpack", "json")


def compare(effort: Effort) -> Iterator[Comparison]:
    random = Random(7)
    states = {
        "100 mixed values": SMALL,
        f"{KEYS:,} keys": {f"key {number}": [number, random.random(), None] for number in range(effort.of(KEYS))},
        "a value of many bytes": {"bytes": random.randbytes(effort.of(BYTES))},
    }
    for what, state in states.items():
        yield from _of_state(what, state, effort)
    yield _steps(
        "in memory", effort, effort.of(STEPS_IN_MEMORY), lambda name, _: InMemoryCheckpointBackend(format=name)
    )
    yield _steps("in SQLite", effort, effort.of(STEPS_IN_SQLITE), _sqlite)


def _of_state(what: str, state: dict[str, Any], effort: Effort) -> Iterator[Comparison]:
    checkpoint = GraphCheckpoint("bench", "bench", datetime(2024, 5, 1, tzinfo=UTC), state, {}, {})
    codecs = [RecordCodec(name) for name in NAMES]
    ours, floor = (_encoded(codec, checkpoint) for codec in codecs)
    yield Comparison(
        f"size of a checkpoint of {what}, in MessagePack",
        "KB",
        [len(ours.payload) / 1e3],
        [len(floor.payload) / 1e3],
        "in JSON",
    )
    yield from _of_trees(what, [(codec, codec.tree(state)) for codec in codecs], effort)
    yield in_turns(
        *(lambda codec=codec: _milliseconds(lambda: _encoded(codec, checkpoint)) for codec in codecs),  # type: ignore[misc]
        rounds=effort.rounds,
        work=f"encoding a checkpoint of {what}, in MessagePack",
        unit="ms",
        floor_is="in JSON",
    )
    yield in_turns(
        *(
            lambda codec=codec, record=record: _milliseconds(lambda: codec.decode(record))  # type: ignore[misc]
            for codec, record in zip(codecs, (ours, floor), strict=True)
        ),
        rounds=effort.rounds,
        work="decoding it",
        unit="ms",
        floor_is="in JSON",
    )


def _of_trees(what: str, trees: list[tuple[RecordCodec, Any]], effort: Effort) -> Iterator[Comparison]:
    """The format alone, without turning objects into plain trees and back."""
    yield in_turns(
        *(lambda codec=codec, tree=tree: _milliseconds(lambda: codec.format.dumps(tree)) for codec, tree in trees),  # type: ignore[misc]
        rounds=effort.rounds,
        work=f"dumps of {what}, in MessagePack",
        unit="ms",
        floor_is="in JSON",
    )
    written = [(codec, codec.format.dumps(tree)) for codec, tree in trees]
    yield in_turns(
        *(lambda codec=codec, data=data: _milliseconds(lambda: codec.format.loads(data)) for codec, data in written),  # type: ignore[misc]
        rounds=effort.rounds,
        work="loads of it",
        unit="ms",
        floor_is="in JSON",
    )


def _steps(where: str, effort: Effort, steps: int, make: Callable[[str, str], CheckpointBackend]) -> Comparison:
    def of(name: str) -> float:
        with tempfile.TemporaryDirectory(dir=disk()) as folder:
            return asyncio.run(run(lambda: make(name, folder), steps))

    return in_turns(
        *(lambda name=name: of(name) for name in NAMES),  # type: ignore[misc]
        rounds=effort.rounds,
        work=f"a step and its checkpoint {where}, in MessagePack",
        unit="us",
        floor_is="in JSON",
    )


def _sqlite(name: str, folder: str) -> CheckpointBackend:
    return DatabaseCheckpointBackend(f"sqlite:///{folder}/bench.db", format=name)


def _encoded(codec: RecordCodec, checkpoint: GraphCheckpoint) -> Record:
    return codec.encode(checkpoint, sequence=1, manual=True, nonce="n")


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3
