"""The threads of a backend: cancelled calls, closing, forks, one event loop after another."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import pytest

from spark.errors import BackendError
from spark_backend_file import FileCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.file_backends import file_of
from tests.plugins.support.file_faults import WatchedOs, run_in_child, watching
from tests.plugins.support.threads import no_thread_left


class Gate:
    """Holds a call until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def wait(self, name: str) -> None:
        self.reached.set()
        assert self.opened.wait(60)


async def test_the_event_loop_goes_on_while_the_disk_is_slow(backend: FileCheckpointBackend) -> None:
    gate = Gate()

    with watching(WatchedOs(1, gate.wait)):
        saving = asyncio.create_task(backend.put(make_record()))
        await asyncio.to_thread(gate.reached.wait, 60)
        assert not saving.done()
        gate.opened.set()
        await saving

    assert await backend.get("g", 1) is not None


@pytest.mark.parametrize("before", range(1, 12))
async def test_a_cancelled_save_ends_before_its_caller_goes_on(backend: FileCheckpointBackend, before: int) -> None:
    """Cancelled in the middle of any of its calls, and again while it is waited for."""
    gate, record = Gate(), make_record("g", 2)
    await backend.put(make_record("g", 1))

    with watching(WatchedOs(before, gate.wait)) as watched:
        saving = asyncio.create_task(backend.put(record))
        await asyncio.to_thread(gate.reached.wait, 60)
        for _ in range(3):
            saving.cancel()
            await asyncio.sleep(0)
        assert not saving.done()
        gate.opened.set()
        await asyncio.wait([saving])
        calls = len(watched.log)

    assert saving.cancelled()
    assert len(watched.log) == calls
    assert await backend.get("g", 2) == record
    assert sorted(path.name for path in file_of(backend, 1).parent.iterdir()) == [
        "000000000001.ckpt",
        "000000000002.ckpt",
    ]


async def test_a_save_that_has_not_begun_never_does_when_cancelled(backend: FileCheckpointBackend) -> None:
    """More saves than threads: the last ones wait for their turn."""
    gate = Gate()
    with watching(WatchedOs(1, gate.wait)):
        running = asyncio.create_task(backend.put(make_record("g", 1)))
        await asyncio.to_thread(gate.reached.wait, 60)
        others = [asyncio.create_task(backend._threads.run(gate.opened.wait, 60)) for _ in range(3)]
        queued = asyncio.create_task(backend.put(make_record("queued", 1)))
        for _ in range(3):
            await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait([queued])
        gate.opened.set()
        await asyncio.gather(running, *others)

    assert queued.cancelled()
    assert await backend.get("queued", 1) is None


async def test_a_cancelled_save_that_fails_is_still_cancelled(backend: FileCheckpointBackend) -> None:
    """And asyncio does not complain of an exception that was never retrieved."""
    gate = Gate()

    def fail(name: str) -> None:
        gate.wait(name)
        raise OSError(28, "No space left on device")

    with watching(WatchedOs(1, fail)):
        saving = asyncio.create_task(backend.put(make_record()))
        await asyncio.to_thread(gate.reached.wait, 60)
        saving.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.wait([saving])

    assert saving.cancelled()
    assert (await backend.list()).infos == []


async def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    backend, gate = FileCheckpointBackend(tmp_path), Gate()

    with watching(WatchedOs(1, gate.wait)):
        saving = asyncio.create_task(backend.put(make_record()))
        await asyncio.to_thread(gate.reached.wait, 60)
        closing = asyncio.create_task(backend.close())
        await asyncio.sleep(0)
        assert not closing.done()
        gate.opened.set()
        await closing
        await saving

    with pytest.raises(BackendError, match="is closed"):
        await backend.get("g", 1)


def test_every_call_of_asyncio_run_can_use_it_and_close_leaves_no_thread(tmp_path: Path) -> None:
    backend = FileCheckpointBackend(tmp_path)

    with no_thread_left():
        for sequence in (1, 2):
            asyncio.run(backend.put(make_record("g", sequence)))
        assert len(asyncio.run(backend.list()).infos) == 2
        asyncio.run(backend.close())


def test_threads_of_a_backend_that_nobody_closed_end_with_it(tmp_path: Path) -> None:
    backend = FileCheckpointBackend(tmp_path)
    before = set(threading.enumerate())
    asyncio.run(backend.put(make_record()))
    started = set(threading.enumerate()) - before
    assert started

    del backend
    gc.collect()

    for thread in started:
        thread.join(60)
    assert not any(thread.is_alive() for thread in started)


def test_a_fork_can_go_on_using_it(tmp_path: Path) -> None:
    """The child has the object, but none of its threads: waiting for them would take for ever."""
    backend = FileCheckpointBackend(tmp_path)
    asyncio.run(backend.put(make_record("g", 1)))

    told = run_in_child(lambda: asyncio.run(asyncio.wait_for(backend.put(make_record("g", 2)), 60)))

    assert told == "None"
    assert len(asyncio.run(backend.list()).infos) == 2
    asyncio.run(backend.close())
