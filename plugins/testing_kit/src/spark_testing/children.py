"""Work in child processes that answer one question, or that are killed."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Tell = Callable[[str], None]
"""Says one line to the parent."""
Work = Callable[[Tell], Awaitable[Any]]

LONGEST: Final = 60
"""Seconds after which a child gives up, unless it says otherwise."""
_STDERR: Final = 2
_OF_LIBRARIES: Final[set[int]] = set()
"""Threads of this process that are none of Python's, and stay."""
_FAILED: Final = "failed: "


@dataclass
class Child:
    """A forked process that runs a coroutine in an event loop of its own, and says lines."""

    pid: int
    _lines: Any
    """The other end of its pipe, by lines."""

    @classmethod
    def start(cls, work: Work) -> Child:
        """Fork; what the coroutine raises is the last line that the child says."""
        of_python = {thread.native_id for thread in threading.enumerate() if thread.native_id is not None}
        _OF_LIBRARIES.update(threads_left(of_python | _OF_LIBRARIES, seconds=1))
        readable, writable = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the parent's threads do not matter to the child
            pid = os.fork()
        if pid == 0:
            os.close(readable)
            _be_a_child(work, writable)
        os.close(writable)
        return cls(pid, os.fdopen(readable, encoding="utf-8"))

    def next_line(self) -> str:
        """The next line that it says; empty when it has ended.

        :raises AssertionError: its work failed.
        """
        line: str = self._lines.readline().rstrip("\n")
        assert not line.startswith(_FAILED), f"a child process {line}"
        return line

    def kill(self) -> list[str]:
        """Kill it with SIGKILL; what it had said until then."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> list[str]:
        """What it still says until its end."""
        lines = []
        try:
            while line := self.next_line():
                lines.append(line)
        finally:
            self._lines.close()
            os.waitpid(self.pid, 0)
        return lines


def threads_left(lasting: Set[int], *, seconds: float) -> set[int]:
    """The threads of this process, besides these, that do not end within so many seconds. To be called before a fork.

    A thread that Python has joined may still be cleaning up in a C library. If the process forks at that instant, the
    library's lock stays locked in the child: with OpenSSL's, for instance, the child can open no connection any more.
    """
    ends = time.monotonic() + seconds
    while (left := threads_now() - lasting) and time.monotonic() < ends:
        time.sleep(0.001)
    return left


def threads_now() -> set[int]:
    """The threads that the system knows; empty where it does not tell, and there a child may hang, until it gives up."""
    tasks = Path("/proc/self/task")
    return set(map(int, os.listdir(tasks))) if tasks.exists() else set()


def give_up_after(seconds: float) -> None:
    """Have this process end after so many seconds, counted from the latest call, and show what each of its threads waits for.

    A timeout of asyncio is not enough: a thread that waits for a lock of a C library keeps the event loop from ending.
    """
    faulthandler.unregister(signal.SIGALRM)  # or a second call would show no stacks
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # this is what ends it, after the stacks were shown
    faulthandler.register(signal.SIGALRM, file=_STDERR, chain=True)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _be_a_child(work: Work, writable: int) -> None:
    def tell(line: str) -> None:
        os.write(writable, f"{line}\n".encode())

    give_up_after(LONGEST)
    try:
        asyncio.run(_bounded(work, tell))
    except BaseException as error:
        tell(f"{_FAILED}{type(error).__name__}: {str(error) or repr(error)}".replace("\n", " "))
    finally:
        os._exit(0)


async def _bounded(work: Work, tell: Tell) -> None:
    # A backend that does not survive a fork may hang, and nobody would notice.
    async with asyncio.timeout(50):
        await work(tell)
