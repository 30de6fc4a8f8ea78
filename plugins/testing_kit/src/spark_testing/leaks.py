"""What is left behind: tasks, threads, file descriptors."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

LONGEST_WAIT = 20
"""Seconds that a thread, a task or a connection may take to end."""


@dataclass(frozen=True)
class Held:
    """What this process holds at one moment."""

    threads: frozenset[threading.Thread]
    tasks: frozenset[asyncio.Task[object]]
    descriptors: frozenset[str]
    """Open file descriptors, each as ``number -> what it is``; empty where the system does not tell."""

    @classmethod
    def now(cls) -> Held:
        """What is held, seen from within an event loop."""
        return cls(frozenset(threading.enumerate()), frozenset(asyncio.all_tasks()), frozenset(_descriptors()))

    def leaked_since(self, before: Held, *, lasting: Sequence[str] = ()) -> list[str]:
        """What came since, and is still there."""
        threads = [f"thread {thread.name}" for thread in self.threads - before.threads if not _lasts(thread, lasting)]
        tasks = [f"task {task.get_name()}" for task in self.tasks - before.tasks]
        return sorted([*threads, *tasks, *(f"descriptor {one}" for one in self.descriptors - before.descriptors)])


async def leaked_since(before: Held, *, lasting: Sequence[str] = ()) -> list[str]:
    """What came since, and does not end in a while: threads and connections may take a moment to do so."""
    deadline = asyncio.get_running_loop().time() + LONGEST_WAIT
    while True:
        leaked = Held.now().leaked_since(before, lasting=lasting)
        if not leaked or asyncio.get_running_loop().time() > deadline:
            return leaked
        await asyncio.sleep(0.001)


@contextmanager
def no_thread_left(*, lasting: Sequence[str] = ()) -> Iterator[None]:
    """Fail if a thread that was started within does not end.

    :param lasting: how the names of threads begin that may stay.
    """
    before = set(threading.enumerate())
    yield
    started = [thread for thread in set(threading.enumerate()) - before if not _lasts(thread, lasting)]
    deadline = time.monotonic() + LONGEST_WAIT
    for thread in started:
        thread.join(max(0, deadline - time.monotonic()))
    left = sorted(thread.name for thread in started if thread.is_alive())
    assert left == [], f"these threads were left behind: {', '.join(left)}"


def _lasts(thread: threading.Thread, lasting: Sequence[str]) -> bool:
    # The event loop's own pool of threads ends with the loop, and so do those that checkpoints have in it.
    return thread.name.startswith(("asyncio_", "spark-checkpoint", *lasting))


def _descriptors() -> Iterator[str]:
    folder = next((folder for folder in ("/proc/self/fd", "/dev/fd") if os.path.isdir(folder)), None)
    for number in os.listdir(folder) if folder else ():
        try:
            yield f"{number} -> {os.readlink(f'{folder}/{number}')}"
        except OSError:
            continue  # the one through which the folder was listed
