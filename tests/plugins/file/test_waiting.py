"""Nothing that another process or thread does lets a call of the file backend wait for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, SequenceTakenError
from spark_backend_file import FileCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.remote_stores import remove_from_memory

HOLDS_THE_LOCK = """
import fcntl, os, signal, sys
floor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
fcntl.flock(floor, fcntl.LOCK_EX)
print("held", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
sys.stdin.read()
"""


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that was stopped while it holds the lock of a graph's file `floor`, and four checkpoints of that graph."""

    async def fill() -> None:
        async with FileCheckpointBackend(tmp_path) as backend:
            for sequence in range(1, 5):
                await backend.put(make_record("g", sequence))

    asyncio.run(fill())
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(tmp_path / "g" / "floor")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.send_signal(signal.SIGCONT)
        process.kill()


def test_a_deletion_does_not_wait_for_ever_for_a_process_that_was_stopped(
    tmp_path: Path, stopped: subprocess.Popen[str]
) -> None:
    async def delete() -> list[int]:
        async with FileCheckpointBackend(tmp_path, lock_timeout=0.1) as backend:
            with pytest.raises(BackendError) as caught:
                await backend.delete("g", 2)
            said = str(caught.value)
            assert "could not delete checkpoint 2 of graph 'g'" in said
            assert f"process {stopped.pid} has held the lock of the file 'floor' for 0.1 s" in said
            assert "let it continue, or end it, then retry. Leave the file where it is" in said

            with pytest.raises(BackendError, match=r"forget graph 'g'.*has held the lock"):
                await backend.forget("g")

            # Saving goes on, and what it makes superfluous is left to whoever deletes next.
            assert await backend.put_and_delete(make_record("g", 5), [1]) == []

            stopped.send_signal(signal.SIGCONT)
            stopped.kill()
            stopped.wait()
            assert await backend.delete("g", 2)
            return [info.sequence for info in (await backend.list("g")).infos]

    assert asyncio.run(delete()) == [1, 3, 4, 5]


def test_a_waiting_deletion_can_be_cancelled_and_leaves_the_checkpoint(
    tmp_path: Path, stopped: subprocess.Popen[str]
) -> None:
    async def cancel() -> bool:
        async with FileCheckpointBackend(tmp_path, lock_timeout=3600) as backend:
            deletion = asyncio.create_task(backend.delete("g", 2))
            while not is_open(tmp_path / "g" / "floor"):  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)
            deletion.cancel()
            with pytest.raises(asyncio.CancelledError):
                await deletion
            return await backend.get("g", 2) is not None

    assert asyncio.run(asyncio.wait_for(cancel(), 60))


def test_closing_can_be_cancelled_while_a_call_waits(tmp_path: Path, stopped: subprocess.Popen[str]) -> None:
    async def cancel() -> None:
        backend = FileCheckpointBackend(tmp_path, lock_timeout=3600)
        deletion = asyncio.create_task(backend.delete("g", 2))
        await asyncio.sleep(0)
        rescue = threading.Timer(30, stopped.kill)  # of a call that can't be cancelled
        rescue.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(backend.close(), 0.05)
        rescue.cancel()
        assert not deletion.done()
        stopped.kill()
        assert await deletion
        await backend.close()

    asyncio.run(asyncio.wait_for(cancel(), 60))


def is_open(file: Path) -> bool:
    """Whether this process has the file open: it waits for the lock."""
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}") == str(file):
                return True
    return False


MISPLACED: dict[str, Callable[[Path], Any]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", MISPLACED.values(), ids=MISPLACED)
@pytest.mark.parametrize("place", ["floor", "000000000002.ckpt", "000000000001.ckpt", "blobs", "blobs/x.blob", "ids"])
async def test_what_stands_in_the_place_of_a_file_lets_no_call_wait(
    tmp_path: Path, make: Callable[[Path], Any], place: str
) -> None:
    async with FileCheckpointBackend(tmp_path / "store") as backend:
        await backend.put(make_record("g", 1))
        await backend.put(make_record("g", 3))
        path = tmp_path / "store" / "g" / place
        if place.startswith("blobs/"):
            path.parent.mkdir()
        path.unlink(missing_ok=True)
        make(path)
        calls: list[Callable[[], Any]] = [
            lambda: backend.get("g", 1),
            lambda: backend.get("g", 2),
            lambda: backend.list("g"),
            lambda: backend.find("mine"),
            lambda: backend.next_sequence("g"),
            lambda: backend.get_blobs("g", ["x"]),
            lambda: backend.blob_names("g"),
            lambda: backend.leftovers(),
            lambda: backend.put_and_delete(make_record("g", 4), [1, 2]),
            lambda: backend.delete("g", 1),
            lambda: backend.delete("g", 2),
            lambda: backend.delete_blobs("g", ["x"]),
        ]

        for call in calls:
            try:
                await asyncio.wait_for(call(), 60)
            except TimeoutError:
                pytest.fail(f"it waits for {place}")
            except (BackendError, SequenceTakenError) as error:
                assert "Not a regular file" in str(error) or "Move" in str(error) or "move it away" in str(error)  # noqa: PT017
            except Exception as error:
                assert "Remove it, or restore the file" in str(error)  # noqa: PT017


@pytest.mark.parametrize("directory", ["local", "memory://closing"])
def test_a_backend_that_another_thread_closes_strands_no_call(tmp_path: Path, directory: str) -> None:
    """Each call is made, or refused: between the question whether it is closed and the handing over, it may be."""
    for _ in range(40):
        backend = FileCheckpointBackend(tmp_path if directory == "local" else directory)
        started = threading.Barrier(2)
        outcomes: list[object] = []

        async def call(backend: FileCheckpointBackend = backend, outcomes: list[object] = outcomes) -> None:
            results = await asyncio.gather(*(backend.latest("g") for _ in range(20)), return_exceptions=True)
            outcomes.extend(results)

        def run(call: Callable[[], Any] = call, started: threading.Barrier = started) -> None:
            started.wait()
            asyncio.run(asyncio.wait_for(call(), 60))

        thread = threading.Thread(target=run)
        thread.start()
        started.wait()
        asyncio.run(backend.close())
        thread.join(60)

        assert not thread.is_alive()
        assert len(outcomes) == 20
        assert all(each is None or "is closed" in str(each) for each in outcomes), outcomes
    remove_from_memory("memory://closing")


async def test_one_call_over_a_connection_does_not_hold_others_up_for_ever() -> None:
    """Writers of one place take turns within a process; whoever never gives its turn back is left out of account."""
    from spark_backend_file import remote_directory

    backend = FileCheckpointBackend("memory://turns", lock_timeout=0.01)
    async with backend:
        with (
            remote_directory.WRITER_LOCKS.of(f"{backend.directory}/g"),
            pytest.raises(BackendError, match=r"could not save checkpoint 1 of graph 'g' in memory://turns.*for 0.1 s"),
        ):
            await backend.put(make_record("g", 1))
        await backend.put(make_record("g", 1))
    remove_from_memory("memory://turns")


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), "5", True, None])
def test_a_bound_that_is_none_is_refused(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(ValueError, match="lock_timeout"):
        FileCheckpointBackend(tmp_path, lock_timeout=seconds)
