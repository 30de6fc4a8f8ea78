"""What a fork must wait for, and what starts afresh in its child.

A child has one thread, and every lock and connection of its parent in the state that it had at that moment: what another
thread held stays locked for ever, and a socket is the parent's as well.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakSet

LONGEST_WAIT: Final = 10.0
"""Seconds that a fork is held up at most."""


class Renewable(Protocol):
    """Something with threads, locks or connections."""

    def after_fork(self) -> None:
        """In a child process: start afresh, and leave to the parent what belongs to it."""


def renew_after_fork(thing: Renewable) -> None:
    """Have ``thing.after_fork`` called in the child of each fork, for as long as somebody else holds the thing."""
    _RENEWED.add(thing)


class ForkGate:
    """Passed by threads on their way into something that no fork may interrupt; a fork waits until nobody is inside."""

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

    def guard(self, before: Callable[[], None]) -> None:
        """Hold up the forks of this process from now on, while somebody is inside, and have this called before each of them.

        If somebody stays inside for too long, the fork takes place nevertheless, without that call.
        """

        def close_and_prepare() -> None:
            if self._close():
                before()

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=close_and_prepare,
                after_in_parent=self._open,
                after_in_child=self.__init__,  # type: ignore[misc]  # nobody is inside, whoever was in the parent
            )

    def _close(self) -> bool:
        """Let nobody in, and wait until nobody is inside; False when that took too long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed, LONGEST_WAIT)  # another thread is forking
            self._is_closed = True
            return self._changed.wait_for(lambda: self._inside == 0, LONGEST_WAIT)

    def _open(self) -> None:
        with self._changed:
            self._is_closed = False
            self._changed.notify_all()


_RENEWED: Final[WeakSet[Renewable]] = WeakSet()


def _renew() -> None:
    for thing in [*_RENEWED]:
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
