"""A lone graph's saves are written where they are made, while the disk is fast."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import Record
from spark.graphs.concurrency import latency_gate
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.directory import CheckpointDirectory
from spark_testing.records import make_record

HERE = "the event loop's thread"
THERE = "a thread of the backend's"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    async with FileCheckpointBackend(tmp_path) as backend:
        yield backend


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each save was made."""
    monkeypatch.setattr(latency_gate, "TOLERABLE", 60.0)
    monkeypatch.setattr(latency_gate, "LONGEST", 60.0)  # however slow the disk is that the tests run on
    seen: list[str] = []
    put, loop_thread = CheckpointDirectory.put, threading.get_ident()

    def watched(self: CheckpointDirectory, record: Record, *arguments: Any, **options: Any) -> Any:
        seen.append(HERE if threading.get_ident() == loop_thread else THERE)
        return put(self, record, *arguments, **options)

    monkeypatch.setattr(CheckpointDirectory, "put", watched)
    return seen


async def test_a_lone_graph_saves_without_another_thread(backend: FileCheckpointBackend, places: list[str]) -> None:
    for sequence in range(1, 6):
        await backend.put(make_record("g", sequence))

    assert places == [THERE, HERE, HERE, HERE, HERE]
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3, 4, 5]


async def test_graphs_that_save_by_turns_use_the_threads(backend: FileCheckpointBackend, places: list[str]) -> None:
    for sequence in range(1, 4):
        await backend.put(make_record("g", sequence))
        await backend.put(make_record("h", sequence))

    assert places == [THERE] * 6


async def test_a_large_save_does_not_hold_up_the_event_loop(backend: FileCheckpointBackend, places: list[str]) -> None:
    small = make_record("g", 3)
    await backend.put(make_record("g", 1))
    await backend.put(make_record("g", 2, payload=b"x" * (latency_gate.LARGEST + 1)))
    await backend.put(Record(small.header, small.payload, blobs={"000000000003-w-1": b"x" * latency_gate.LARGEST}))

    assert places == [THERE] * 3


async def test_a_slow_disk_does_not_hold_up_the_event_loop(
    backend: FileCheckpointBackend, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency_gate, "LONGEST", 0.0)
    monkeypatch.setattr(latency_gate, "TOLERABLE", 0.0)

    for sequence in range(1, 5):
        await backend.put(make_record("g", sequence))

    assert places == [THERE] * 4


async def test_a_closed_backend_refuses_such_a_save_too(backend: FileCheckpointBackend, places: list[str]) -> None:
    await backend.put(make_record("g", 1))
    await backend.close()

    with pytest.raises(BackendError, match="is closed"):
        await backend.put(make_record("g", 2))
    assert places == [THERE]
