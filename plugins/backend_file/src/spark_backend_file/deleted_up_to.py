"""The highest sequence that was ever deleted from a graph's folder, so that it is never used again.

It is the length of a sparse file. Reading it is one ``stat``, which never sees half of an update and never waits; raising it
takes no space, so that checkpoints can be deleted from a full disk.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from errno import EISDIR, ETIMEDOUT
from functools import partial
from stat import S_ISREG
from typing import Final

from spark_backend_file.names import DELETED_UP_TO
from spark_backend_file.threads import LockTimeout, lock_timeout

# O_NONBLOCK, so that a pipe put in its place is found out instead of waited for.
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_deleted_up_to(folder: int) -> int:
    """The highest sequence deleted so far, 0 for none.

    :param folder: a descriptor of the graph's folder.
    """
    try:
        status = os.stat(DELETED_UP_TO, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if not S_ISREG(status.st_mode):
        raise OSError(EISDIR, "Not a regular file", DELETED_UP_TO)
    return status.st_size


def raise_deleted_up_to(folder: int, sequence: int, *, durable: bool, wait: bool = True) -> None:
    """Make it at least ``sequence``; on return every process sees it.

    :param durable: even after a power failure. Only needed when no higher record remains to be counted on from:
        otherwise no process that holds a stale sequence outlives the failure.
    :param wait: for other deleters, one of which may have been stopped, as long as this call may.
    :raises TimeoutError: one of them held the lock for too long, or it was not to be waited for.
    """
    file = os.open(DELETED_UP_TO, _WRITE, 0o600, dir_fd=folder)
    try:
        status = os.fstat(file)
        if not S_ISREG(status.st_mode):
            raise OSError(EISDIR, "Not a regular file", DELETED_UP_TO)
        if status.st_size < sequence:
            _raise(file, sequence, lock_timeout() if wait else LockTimeout(0))
        if durable:
            os.fsync(file)
            os.fsync(folder)
    finally:
        os.close(file)


def _raise(file: int, sequence: int, timeout: LockTimeout) -> None:
    # The lock is between deleters only, so that the length never sinks. Closing the descriptor releases it.
    if not timeout.acquire(partial(_lock, file)):
        raise TimeoutError(
            ETIMEDOUT, f"{_holder(file)} has held the lock of the file {DELETED_UP_TO!r} for {timeout.seconds:g} s"
        )
    if os.fstat(file).st_size < sequence:
        os.ftruncate(file, sequence)


def _lock(file: int, seconds: float) -> bool:
    if seconds:  # even sleep(0) lets other processes take their turn
        time.sleep(seconds)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: int) -> str:
    """Who holds the lock, as far as this machine knows."""
    inode = os.fstat(file).st_ino
    with suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        # "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234567 0 EOF"
        for words in map(str.split, locks):
            if words[1:2] == ["FLOCK"] and words[5].endswith(f":{inode}") and words[4] not in ("0", "-1"):
                return f"process {words[4]}"
    return "another process"
