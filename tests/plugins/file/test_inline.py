"""A lone graph's saves are written where they are made, while the disk is fast."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import InlineLimits, Record
from spark_backend_file import FileCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.file_backends import OnAFastDisk
from tests.plugins.support.file_faults import WatchedOs, watching

HERE = "the event loop's thread"
THERE = "a thread of the backend's"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    async with OnAFastDisk(tmp_path) as backend:
        yield backend


@pytest.fixture
def saves() -> Iterator[WatchedOs]:
    """The calls to the system that are made meanwhile."""
    with watching(WatchedOs()) as watched:
        yield watched


def places(saves: WatchedOs) -> list[str]:
    """Where each save was made: the thread that linked the record."""
    return [HERE if call.thread == threading.get_ident() else THERE for call in saves.log if call.name == "link"]


async def test_a_lone_graph_saves_without_another_thread(backend: FileCheckpointBackend, saves: WatchedOs) -> None:
    for sequence in range(1, 6):
        await backend.put(make_record("g", sequence))

    assert places(saves) == [THERE, HERE, HERE, HERE, HERE]
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3, 4, 5]


async def test_graphs_that_save_by_turns_use_the_threads(backend: FileCheckpointBackend, saves: WatchedOs) -> None:
    for sequence in range(1, 4):
        await backend.put(make_record("g", sequence))
        await backend.put(make_record("h", sequence))

    assert places(saves) == [THERE] * 6


async def test_a_large_save_does_not_hold_up_the_event_loop(backend: FileCheckpointBackend, saves: WatchedOs) -> None:
    small = make_record("g", 3)
    await backend.put(make_record("g", 1))
    await backend.put(make_record("g", 2, payload=b"x" * (InlineLimits().nbytes + 1)))
    await backend.put(Record(small.header, small.payload, blobs={"000000000003-w-1": b"x" * InlineLimits().nbytes}))

    assert places(saves) == [THERE] * 3


async def test_a_closed_backend_refuses_such_a_save_too(backend: FileCheckpointBackend, saves: WatchedOs) -> None:
    await backend.put(make_record("g", 1))
    await backend.close()

    with pytest.raises(BackendError, match="is closed"):
        await backend.put(make_record("g", 2))
    assert places(saves) == [THERE]


async def use(backend: FileCheckpointBackend) -> None:
    """Everything that a backend does, with small records."""
    large = {"000000000001-w-1": b"x"}
    for sequence in range(1, 6):
        await backend.put(make_record("g", sequence, blobs=large if sequence == 1 else {}))
    await backend.put_and_delete(make_record("g", 6, checkpoint_id="by hand"), [2])
    await backend.get("g", 6)
    await backend.get_latest("g")
    await backend.list()
    await backend.find("by hand")
    await backend.next_sequence("g")
    await backend.get_blobs("g", [*large])
    await backend.delete_blobs("g", await backend.blob_names("g"))
    await backend.delete("g", 1)
    await backend.leftovers(remove=True)
    await backend.forget("g")


@pytest.mark.parametrize("how", ["argument", "url"])
async def test_with_inline_io_off_the_event_loops_thread_makes_no_call_to_the_system(tmp_path: Path, how: str) -> None:
    url = f"file://{tmp_path}?inline_io=false"
    backend = OnAFastDisk(tmp_path, inline_io=False) if how == "argument" else OnAFastDisk.from_url(url)
    async with backend:
        with watching(WatchedOs()) as watched:
            await use(backend)

    assert {"open", "write", "fsync", "link", "unlink", "stat", "mkdir"} <= {call.name for call in watched.log}
    assert threading.get_ident() not in {call.thread for call in watched.log}


async def test_by_default_it_makes_those_of_a_small_save(backend: FileCheckpointBackend) -> None:
    with watching(WatchedOs()) as watched:
        await use(backend)

    here = [call.name for call in watched.log if call.thread == threading.get_ident()]
    assert {"open", "write", "fsync", "link", "unlink"} <= set(here)
    assert here.count("link") == 5
