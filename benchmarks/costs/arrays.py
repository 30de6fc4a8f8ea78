"""What arrays cost: one of float64 encoded, handed over, loaded, beside ``numpy.save`` into memory and one copy of its bytes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.storage import Record, RecordCodec

MEGABYTES = 128
SMALL = 1_000
"""Bytes of a small array."""


def compare(effort: Effort) -> Iterator[Comparison]:
    array = np.random.default_rng(7).random(effort.of(MEGABYTES * 2**20 // 8))
    size = f"{array.nbytes / 1e6:.0f} MB of float64"
    codec = RecordCodec()
    record, blobs = _encoded(codec, array), {}
    blobs |= record.blobs
    saved = _saved(array)
    for work, ours, floor, floor_is in (
        (f"encoding {size}", lambda: _encoded(codec, array), lambda: _saved(array), "numpy.save into memory"),
        (f"encoding {size}", lambda: _encoded(codec, array), array.copy, "one copy"),
        (
            f"what a store gets of {size}",
            lambda: _handed_over(codec, array),
            lambda: _saved(array),
            "numpy.save into memory",
        ),
        ("loading it", lambda: _loaded(codec, record, blobs), lambda: _read(saved), "numpy.load from memory"),
    ):
        yield _compared(ours, floor, effort, work=work, unit="ms", floor_is=floor_is)
    small = array[: SMALL // 8].copy()
    yield _compared(
        lambda: _encoded(codec, small),
        lambda: _saved(small),
        effort,
        work=f"encoding {SMALL} bytes",
        unit="ms",
        floor_is="numpy.save into memory",
    )


def _compared(ours: Callable[[], Any], floor: Callable[[], Any], effort: Effort, **words: Any) -> Comparison:
    return in_turns(lambda: _milliseconds(ours), lambda: _milliseconds(floor), rounds=effort.rounds, **words)


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    made = work()
    taken = (time.perf_counter() - began) * 1e3
    del made
    return taken


def _encoded(codec: RecordCodec, array: Any) -> Record:
    """As a run encodes a checkpoint that has the array in its state."""
    checkpoint = GraphCheckpoint("c", "g", datetime(2024, 1, 1, tzinfo=UTC), graph_state={"array": array})
    return codec.encode(checkpoint, sequence=1, manual=False, nonce="n", cache=EncodingCache(), blobs=NewBlobs("w"))


def _handed_over(codec: RecordCodec, array: Any) -> int:
    """Encoded, and each chunk made into the bytes that a backend writes, one after the other."""
    return sum(len(content) for content in _encoded(codec, array).blobs.values())


def _loaded(codec: RecordCodec, record: Record, blobs: dict[str, bytes]) -> Any:
    return codec.read(codec.open(record), blobs).graph_state["array"]


def _saved(array: Any) -> io.BytesIO:
    file = io.BytesIO()
    np.save(file, array)
    return file


def _read(file: io.BytesIO) -> Any:
    file.seek(0)
    return np.load(file)
