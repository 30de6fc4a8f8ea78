"""The highest sequence that was ever deleted from a graph's folder, so that it is never used again.

It is the length of a sparse file. Reading it is one ``stat``, which can't see half of an update and waits for nobody;
raising it takes no space, so that checkpoints can be deleted from a full disk.
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

from spark_backend_file.names import FLOOR
from spark_backend_file.waiting import Patience, patience

# O_NONBLOCK, so that a pipe put in its place is found out instead of waited for.
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_floor(folder: int) -> int:
    """The highest sequence deleted so far, 0 for none.

    :param folder: a descriptor of the graph's folder.
    """
    try:
        status = os.stat(FLOOR, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if not S_ISREG(status.st_mode):
        raise OSError(EISDIR, "Not a regular file", FLOOR)
    return status.st_size


def raise_floor(folder: int, sequence: int, *, durable: bool, wait: bool = True) -> None:
    """Make the floor at least ``sequence``; on return every process sees it.

    :param durable: also after a power failure. Only needed when no higher record remains to be counted on from:
        otherwise nobody who holds a stale sequence outlives the failure.
    :param wait: for other deleters, one of which may have been stopped, as long as this call may.
    :raises TimeoutError: one of them held the lock for too long, or it was not to be waited for.
    """
    floor = os.open(FLOOR, _WRITE, 0o600, dir_fd=folder)
    try:
        if not S_ISREG(os.fstat(floor).st_mode):
            raise OSError(EISDIR, "Not a regular file", FLOOR)
        if os.fstat(floor).st_size < sequence:
            _raise(floor, sequence, patience() if wait else Patience(0))
        if durable:
            os.fsync(floor)
            os.fsync(folder)
    finally:
        os.close(floor)


def _raise(floor: int, sequence: int, allowed: Patience) -> None:
    # The lock is between deleters only, so that the floor never sinks. Closing the descriptor releases it.
    if not allowed.lasts(partial(_lock, floor)):
        raise TimeoutError(
            ETIMEDOUT, f"{_holder(floor)} has held the lock of the file {FLOOR!r} for {allowed.seconds:g} s"
        )
    if os.fstat(floor).st_size < sequence:
        os.ftruncate(floor, sequence)


def _lock(floor: int, seconds: float) -> bool:
    time.sleep(seconds)
    try:
        fcntl.flock(floor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(floor: int) -> str:
    """Who holds the lock, as far as this machine knows."""
    inode = os.fstat(floor).st_ino
    with suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        # "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234567 0 EOF"
        for words in map(str.split, locks):
            if words[1:2] == ["FLOCK"] and words[5].endswith(f":{inode}") and words[4] not in ("0", "-1"):
                return f"process {words[4]}"
    return "another process"
