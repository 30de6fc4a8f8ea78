"""Memory that two processes share. It has no name, so nothing is left of it when both have ended, however they ended."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import reduction
from typing import Any, Final

_SMALLEST: Final = 2**20
_KEPT: Final = 64 * 2**20
"""Bytes: more than that is given back to the system after each use, at the price of slower writing."""


class SharedFile:
    """Bytes that one process writes and the other one reads. Passed to a process when that is started.

    :param descriptor: of a file without a name, which this object owns.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory: mmap.mmap | None = None

    @classmethod
    def create(cls) -> SharedFile | None:
        """An empty one; None where the system has none, or no more."""
        if hasattr(os, "memfd_create"):
            with suppress(OSError):
                return cls(os.memfd_create("spark-process"))
        return None

    def write(self, buffers: Sequence[memoryview]) -> bool:
        """Put these one after the other at its beginning. Returns False if there is no memory for it."""
        size = sum(buffer.nbytes for buffer in buffers)
        try:
            os.posix_fallocate(self._descriptor, 0, size)  # or writing there would end the process
            memory = self._mapped(size)
        except (OSError, ValueError, OverflowError):
            return False
        start = 0
        for buffer in buffers:
            memory[start : start + buffer.nbytes] = buffer
            start += buffer.nbytes
        return True

    def read(self, sizes: Sequence[int]) -> list[memoryview]:
        """What was written, without a copy: it changes with the next writing."""
        view = memoryview(self._mapped(sum(sizes)))
        found, start = [], 0
        for size in sizes:
            found.append(view[start : start + size])
            start += size
        return found

    def trim(self) -> None:
        """What was written is not needed any more: what is large is given back to the system."""
        if self._memory is not None and len(self._memory) > _KEPT:
            self._memory = None
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Let go of it."""
        self._memory = None  # what others still see of it stays with them
        with suppress(OSError):
            os.close(self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherited, (reduction.DupFd(self._descriptor),)

    def _mapped(self, size: int) -> mmap.mmap:
        if self._memory is None or len(self._memory) < size:
            room = _SMALLEST
            while room < size:
                room *= 2
            if os.fstat(self._descriptor).st_size < room:
                os.ftruncate(self._descriptor, room)
            self._memory = mmap.mmap(self._descriptor, room)
        return self._memory


def _inherited(descriptor: Any) -> SharedFile:
    number: int = descriptor.detach()
    os.set_inheritable(number, False)
    return SharedFile(number)
