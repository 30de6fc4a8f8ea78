"""The highest sequence that was ever deleted from a graph's folder, so that it is never used again.

It is the length of a sparse file. Reading it is one ``stat``, which can't see half of an update and waits for nobody;
raising it takes no space, so that checkpoints can be deleted from a full disk.
"""

from __future__ import annotations

import fcntl
import os
from errno import EISDIR
from stat import S_ISREG

from spark_backend_file.names import FLOOR


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
    :param wait: for other deleters, one of which may have been stopped.
    :raises BlockingIOError: it would have to wait, and was not to.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    floor = os.open(FLOOR, flags, 0o600, dir_fd=folder)
    try:
        # The lock is between deleters only, so that the floor never sinks. Closing the descriptor releases it.
        fcntl.flock(floor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(floor).st_size < sequence:
            os.ftruncate(floor, sequence)
        if durable:
            os.fsync(floor)
            os.fsync(folder)
    finally:
        os.close(floor)
