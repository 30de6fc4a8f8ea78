"""A fork comes when nobody is inside SQLite, and finds none of its connections open.

The child of a fork has one thread, and SQLite's memory as it stood: a lock inside SQLite that another thread held stays locked in
the child for ever, and what SQLite remembers of its locks on files is no longer true there. So a fork waits for the
threads inside, and has their connections closed, which are made again when they are needed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

LONGEST_WAIT: Final = 10.0
"""Seconds that a fork is held up at most."""


class Gate:
    """Passed by threads on their way into SQLite, and closed by one that forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._is_closed = False

    def __enter__(self) -> None:
        with self._lock:
            while self._is_closed:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._is_closed:
                self._changed.notify_all()

    def close(self) -> bool:
        """Let nobody in, and wait until nobody is inside; False when that took too long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed, LONGEST_WAIT)  # another thread is forking
            self._is_closed = True
            return self._changed.wait_for(lambda: self._inside == 0, LONGEST_WAIT)

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._is_closed = False
            self._changed.notify_all()

    def begin_anew(self) -> None:
        """In a child process, where nobody is inside, whoever was in the parent."""
        self.__init__()  # type: ignore[misc]


no_fork: Final = Gate()


def guard_forks(*, before: Callable[[], None], in_child: Callable[[], None]) -> None:
    """Have these called around each fork of this process from now on.

    :param before: called while nobody is inside SQLite.
    """
    if not hasattr(os, "register_at_fork"):
        return

    def close_and_prepare() -> None:
        if no_fork.close():
            before()

    def start_child() -> None:
        no_fork.begin_anew()
        in_child()

    os.register_at_fork(before=close_and_prepare, after_in_parent=no_fork.open, after_in_child=start_child)
