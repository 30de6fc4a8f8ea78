"""A save deletes the few old checkpoints that it makes superfluous: safely, and without waiting for the disk once more."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from spark.errors import SequenceTakenError
from spark_backend_file import deleted_up_to
from spark_backend_file.local_directory import LocalDirectory
from spark_backend_file.threads import BackendThreads
from spark_testing.records import BLOB, make_record
from tests.plugins.support.file_backends import OnAFastDisk
from tests.plugins.support.file_faults import WatchedOs, complaints, is_killed, run_in_child, watching

EARLIER = [
    make_record("g", 1, blobs={BLOB: b"x" * 9_000}),
    make_record("g", 2, checkpoint_id="by hand"),
    make_record("g", 3),
]
NEW = make_record("g", 4)


def filled(path: Path) -> LocalDirectory:
    store = LocalDirectory(str(path))
    for record in EARLIER:
        store.put(record)
    return store


def save(store: LocalDirectory) -> list[int]:
    return store.put(NEW, [1, 2], [BLOB])


def sequences(store: LocalDirectory) -> list[int]:
    return [info.sequence for info in store.listing("g").infos]


def check_store(store: LocalDirectory) -> None:
    """Nothing older is deleted without the new one being there; what is deleted stays so; what is there is whole."""
    there = sequences(store)
    assert 3 in there
    assert 4 in there or there == [1, 2, 3]
    for record in (*EARLIER, NEW):
        if record.sequence in there:
            assert store.get("g", record.sequence) == record
            assert store.get_blobs("g", list(record.blobs)) == record.blobs
        elif record is not NEW:
            with pytest.raises(SequenceTakenError):
                store.put(record)
    assert (store.find("by hand") is not None) is (2 in there)
    assert store.next_sequence("g") == (5 if 4 in there else 4)


@pytest.mark.thorough
def test_a_save_that_deletes_others_can_be_killed_before_any_of_its_calls(tmp_path: Path) -> None:
    seen = set()
    for number in count(1):
        store = filled(tmp_path / str(number))
        killed = is_killed(partial(save, store), before=number)
        check_store(LocalDirectory(store.path))
        seen.add(tuple(sequences(store)))
        if not killed:
            break

    assert seen == {(1, 2, 3), (1, 2, 3, 4), (2, 3, 4), (3, 4)}


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_save_is_done_whatever_becomes_of_the_old_ones(tmp_path: Path, code: int) -> None:
    """It returns which it deleted; the caller deletes the others, and gets the error that says why that can't be done."""
    undisturbed = filled(tmp_path / "undisturbed")
    with watching(WatchedOs()) as watched:
        save(undisturbed)
    saved = [step.name for step in watched.log].index("ftruncate") - 1  # before it, the file is opened
    for number in count(saved):
        store = filled(tmp_path / str(number))
        failed: list[str] = []

        def refuse(name: str, failed: list[str] = failed) -> None:
            failed.append(name)
            raise OSError(code, os.strerror(code))

        with watching(WatchedOs(number, refuse)):
            deleted = save(store)

        check_store(store)
        assert 4 in sequences(store)
        assert not set(deleted) & set(sequences(store))
        if len(deleted) == 2:
            assert store.blob_names("g") == []
        if not failed:
            break
    assert deleted == [1, 2]


def test_the_new_one_is_durable_before_an_old_one_is_deleted_and_deleted_up_to_is_raised_before_that(
    tmp_path: Path,
) -> None:
    store = filled(tmp_path)

    with watching(WatchedOs()) as watched:
        assert save(store) == [1, 2]

    assert complaints(watched.log) == []
    folder = f"{tmp_path}/g"
    steps = [(step.name, step.paths[-1].removeprefix(folder)) for step in watched.log]
    changes = [step for step in steps if step[0] in ("link", "fsync", "ftruncate", "unlink") and ".tmp-" not in step[1]]
    assert changes == [
        ("link", "/000000000004.ckpt"),
        ("fsync", ""),
        ("ftruncate", changes[2][1]),
        ("unlink", "/000000000001.ckpt"),
        ("unlink", "/000000000002.ckpt"),
        ("unlink", "/ids/by%20hand@000000000002"),
        ("unlink", f"/blobs/{BLOB}.blob"),
    ]
    assert changes[2][1].endswith("/floor")


def test_a_deleter_that_was_stopped_does_not_hold_up_a_save(tmp_path: Path) -> None:
    """Deleters take turns, and this one sleeps in its turn."""
    store = filled(tmp_path)
    store.delete("g", 1)
    deleted: list[int] = []
    with (tmp_path / "g" / "floor").open("rb") as floor:
        fcntl.flock(floor, fcntl.LOCK_EX)
        saving = threading.Thread(target=lambda: deleted.extend(store.put(NEW, [2])))
        saving.start()
        saving.join(25)  # waiting for a lock ends after 30
        was_held_up = saving.is_alive()
    saving.join()

    assert (was_held_up, deleted) == (False, [])
    assert sequences(store) == [2, 3, 4]


def test_a_save_does_not_sleep_for_a_lock_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for no time either, which gives the processor away: on a busy machine, a millisecond of the event loop's."""
    store = filled(tmp_path)
    slept: list[float] = []
    monkeypatch.setattr(deleted_up_to, "time", SimpleNamespace(sleep=slept.append))

    assert save(store) == [1, 2]

    assert slept == []


@pytest.mark.parametrize("to_delete", [[1, 2, 3] * 3, [5], [1, 5], [9]])
def test_many_old_ones_and_newer_ones_are_left_to_the_caller(tmp_path: Path, to_delete: list[int]) -> None:
    store = filled(tmp_path)
    store.put(make_record("g", 5))

    assert store.put(NEW, to_delete) == []
    assert sequences(store) == [1, 2, 3, 4, 5]


class CloseClock:
    """A clock by which closing a file takes so many seconds, and which threads asked it: those that close one."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.threads: list[int] = []

    def __call__(self) -> float:
        self.now += self.seconds
        self.threads.append(threading.get_ident())
        return self.now

    @property
    def closers(self) -> list[int]:
        """The thread of each closing, which asks before and after."""
        return self.threads[::2]


def removed_files_held(path: Path) -> list[str]:
    """The files below a path that have no name any more, and are open in this process."""
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [name for name in found if name.startswith(str(path)) and name.endswith("(deleted)")]


async def save_30_and_keep_one(path: Path, threads: BackendThreads) -> None:
    store = LocalDirectory(str(path))
    await threads.run(store.put, make_record("g", 1))  # starts a thread
    for sequence in range(2, 31):
        assert store.put(make_record("g", sequence), [sequence - 1], close_file=threads.close_file) == [sequence - 1]
    await threads.close()


async def test_another_thread_waits_until_the_disk_has_taken_space_back(tmp_path: Path) -> None:
    """On a disk that is told of free blocks, that takes as long as a write; the saving thread does not wait for it."""
    clock = CloseClock(1.0)

    await save_30_and_keep_one(tmp_path, BackendThreads("test", clock=clock))

    assert len(clock.threads) == 2 * 29
    assert clock.threads[0] == threading.get_ident()  # finds out how long it takes
    assert len(set(clock.threads)) >= 2
    assert removed_files_held(tmp_path) == []


async def test_on_other_disks_no_thread_is_asked(tmp_path: Path) -> None:
    """Most give blocks back in memory, in less time than it takes to wake a thread."""
    clock = CloseClock(0.00001)

    await save_30_and_keep_one(tmp_path, BackendThreads("test", clock=clock))

    assert clock.closers == [threading.get_ident()] * 29
    assert removed_files_held(tmp_path) == []


async def test_a_backend_has_its_threads_close_what_a_save_deletes(tmp_path: Path) -> None:
    async with OnAFastDisk(tmp_path) as backend:
        for sequence in range(1, 31):
            deleted = await backend.put_and_delete(make_record("g", sequence), [sequence - 1] if sequence > 1 else [])
            assert deleted == ([sequence - 1] if sequence > 1 else [])

        assert backend._threads._last_close > 0
    assert removed_files_held(tmp_path) == []


async def slow_to_close(path: Path) -> tuple[BackendThreads, CloseClock]:
    """Threads that have found out that closing takes long."""
    clock = CloseClock(1.0)
    threads = BackendThreads("test", clock=clock)
    await threads.run(os.getpid)
    threads.close_file(os.open(path, os.O_RDONLY))
    clock.threads.clear()
    return threads, clock


async def test_a_file_given_back_after_the_backend_was_closed_is_closed_at_once(tmp_path: Path) -> None:
    """As by a save that was under way: the threads were told to end, and take nothing up any more."""
    threads, clock = await slow_to_close(tmp_path)
    await threads.close()

    threads.close_file(os.open(tmp_path, os.O_RDONLY))

    assert clock.closers == [threading.get_ident()]


def test_a_file_given_back_in_another_process_is_closed_at_once(tmp_path: Path) -> None:
    """A fork has none of the threads, and perhaps a lock that one of them held."""
    threads, clock = asyncio.run(slow_to_close(tmp_path))

    def give_back() -> bool:
        threads.close_file(os.open(tmp_path, os.O_RDONLY))
        asyncio.run(threads.close())
        return clock.closers == [threading.get_ident()]

    with threads._lock:
        told = run_in_child(give_back)
    asyncio.run(threads.close())

    assert told == "True"


def test_of_two_deleters_the_higher_sequence_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one raises it between the first look and the lock."""
    lock = fcntl.flock

    def lock_after_another(file: int, operation: int) -> None:
        os.ftruncate(file, 9)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", lock_after_another)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        deleted_up_to.raise_deleted_up_to(folder, 3, durable=False)
        assert deleted_up_to.read_deleted_up_to(folder) == 9
    finally:
        os.close(folder)
