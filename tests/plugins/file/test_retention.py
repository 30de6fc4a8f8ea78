"""A save takes along the few old checkpoints that it makes superfluous: safely, and without waiting for the disk once more."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from spark.errors import SequenceTakenError
from spark_backend_file import FileCheckpointBackend, worker
from spark_backend_file.directory import CheckpointDirectory
from spark_testing.records import BLOB, make_record
from tests.plugins.support.disks import OnAFastDisk
from tests.plugins.support.file_faults import WatchedOs, complaints, is_killed, run_in_child, watching

EARLIER = [
    make_record("g", 1, blobs={BLOB: b"x" * 9_000}),
    make_record("g", 2, checkpoint_id="by hand"),
    make_record("g", 3),
]
NEW = make_record("g", 4)


def filled(path: Path) -> CheckpointDirectory:
    store = CheckpointDirectory(str(path))
    for record in EARLIER:
        store.put(record)
    return store


def save(store: CheckpointDirectory) -> list[int]:
    return store.put(NEW, [1, 2], [BLOB])


def sequences(store: CheckpointDirectory) -> list[int]:
    return [info.sequence for info in store.listing("g").infos]


def check_store(store: CheckpointDirectory) -> None:
    """Nothing older is gone without the new one; what is gone is so for ever; what is there is whole."""
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


def test_a_save_that_makes_room_can_be_killed_before_any_of_its_calls(tmp_path: Path) -> None:
    seen = set()
    for number in count(1):
        store = filled(tmp_path / str(number))
        killed = is_killed(partial(save, store), before=number)
        check_store(CheckpointDirectory(store.path))
        seen.add(tuple(sequences(store)))
        if not killed:
            break

    assert seen == {(1, 2, 3), (1, 2, 3, 4), (2, 3, 4), (3, 4)}


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_save_is_done_whatever_becomes_of_the_old_ones(tmp_path: Path, code: int) -> None:
    """It says which are gone; what it does not name, its caller deletes, and hears why that can't be done."""
    undisturbed = filled(tmp_path / "undisturbed")
    with watching(WatchedOs()) as watched:
        save(undisturbed)
    saved = [step.name for step in watched.log].index("ftruncate") - 1  # before it, the floor is opened
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


def test_the_new_one_is_durable_before_an_old_one_goes_and_the_floor_is_up_before_that(tmp_path: Path) -> None:
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
        saving.join(10)
        was_held_up = saving.is_alive()
    saving.join()

    assert (was_held_up, deleted) == (False, [])
    assert sequences(store) == [2, 3, 4]


@pytest.mark.parametrize("to_delete", [[1, 2, 3] * 3, [5], [1, 5], [9]])
def test_many_old_ones_and_newer_ones_are_left_to_the_caller(tmp_path: Path, to_delete: list[int]) -> None:
    store = filled(tmp_path)
    store.put(make_record("g", 5))

    assert store.put(NEW, to_delete) == []
    assert sequences(store) == [1, 2, 3, 4, 5]


@pytest.fixture
def closers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that closed removed files, of which each takes long."""
    monkeypatch.setattr(worker, "LONG", -1.0)
    seen: list[int] = []
    close = worker.Worker._close

    def watched(self: worker.Worker, file: int) -> None:
        seen.append(threading.get_ident())
        close(self, file)

    monkeypatch.setattr(worker.Worker, "_close", watched)
    return seen


def removed_files_held(path: Path) -> list[str]:
    """The files below a path that have no name any more, and are open in this process."""
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [name for name in found if name.startswith(str(path)) and name.endswith("(deleted)")]


async def test_another_thread_waits_until_the_disk_has_taken_space_back(tmp_path: Path, closers: list[int]) -> None:
    """On a disk that is told of free blocks that takes as long as a write, and here nobody else is to wait for it."""
    async with OnAFastDisk(tmp_path) as backend:
        for sequence in range(1, 31):
            deleted = await backend.put_and_delete(make_record("g", sequence), [sequence - 1] if sequence > 1 else [])

        assert deleted == [29]

    assert len(closers) == 29
    assert threading.get_ident() not in closers[:1]
    assert removed_files_held(tmp_path) == []


async def test_on_other_disks_no_thread_is_asked(
    tmp_path: Path, closers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most give blocks back in memory, in less time than it takes to wake a thread."""
    monkeypatch.setattr(worker, "LONG", 60.0)
    async with OnAFastDisk(tmp_path) as backend:
        for sequence in range(1, 6):
            await backend.put_and_delete(make_record("g", sequence), [sequence - 1] if sequence > 1 else [])

    assert closers == [threading.get_ident()] * 4


async def test_a_file_given_back_after_the_backend_was_closed_is_closed_at_once(
    tmp_path: Path, closers: list[int]
) -> None:
    """As by a save that was under way: the threads were told to end, and take nothing up any more."""
    backend = FileCheckpointBackend(tmp_path)
    await backend.put(make_record("g", 1))
    await backend.close()

    backend._worker.release(os.open(tmp_path, os.O_RDONLY))

    assert closers == [threading.get_ident()]


def test_a_file_given_back_in_another_process_is_closed_at_once(tmp_path: Path, closers: list[int]) -> None:
    """A fork has none of the threads, and perhaps a lock that one of them held."""
    backend = FileCheckpointBackend(tmp_path)
    asyncio.run(backend.put(make_record("g", 1)))

    def give_back() -> bool:
        backend._worker.release(os.open(tmp_path, os.O_RDONLY))
        asyncio.run(backend.close())
        return closers == [threading.get_ident()]

    with backend._worker._lock:
        told = run_in_child(give_back)
    asyncio.run(backend.close())

    assert told == "True"
