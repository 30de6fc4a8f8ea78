"""How many steps an executor has at a time, of all runs, in all event loops."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from contextlib import suppress
from threading import Lock
from weakref import WeakKeyDictionary

from spark.graphs.executors.contract import Executor


class _Turn:
    """Somebody who waits, or has waited, for room."""

    __slots__ = ("future", "is_gone", "is_in", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.is_in = False
        self.is_gone = False

    def give(self) -> None:
        """Within the event loop."""
        if not self.future.done():
            self.future.set_result(None)


class Room:
    """Lets as many steps to an executor as it takes, in the order in which they came."""

    def __init__(self, executor: Executor) -> None:
        self._executor = weakref.ref(executor)
        self._lock = Lock()
        self._inside = 0
        self._waiting: deque[_Turn] = deque()

    async def enter(self) -> None:
        """Wait until there is room for one more step. ``leave`` makes room again."""
        with self._lock:
            if not self._waiting and self._inside < self._most():
                self._inside += 1
                return
            turn = _Turn()
            self._waiting.append(turn)
        try:
            await turn.future
        except BaseException:  # also the GeneratorExit of a run whose event loop has ended
            with self._lock:
                turn.is_gone = True
                if turn.is_in:  # it was just let in
                    self._inside -= 1
                    self._let_in()
            raise

    def leave(self) -> None:
        """A step is done. May be called from any thread."""
        with self._lock:
            self._inside -= 1
            self._let_in()

    def _let_in(self) -> None:
        most = self._most()
        while self._waiting and self._inside < most:
            turn = self._waiting.popleft()
            if turn.is_gone:
                continue
            with suppress(RuntimeError):  # its loop is closed
                turn.loop.call_soon_threadsafe(turn.give)
                turn.is_in = True
                self._inside += 1

    def _most(self) -> int:
        executor = self._executor()
        return max(1, executor.max_in_flight) if executor is not None else 1


_ROOMS: WeakKeyDictionary[Executor, Room] = WeakKeyDictionary()
_LOCK = Lock()


def room_of(executor: Executor) -> Room:
    """The room of an executor, the same for all runs."""
    with _LOCK:
        room = _ROOMS.get(executor)
        if room is None:
            room = _ROOMS[executor] = Room(executor)
        return room


def _forget_all() -> None:
    """This process was forked: what is inside, and whoever holds the lock, is in the other one."""
    global _LOCK
    _LOCK = Lock()
    _ROOMS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
