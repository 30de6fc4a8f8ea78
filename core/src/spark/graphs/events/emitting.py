"""What nodes emit in threads, on its way to the event loop of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Condition
from typing import Any, Final

from spark.graphs.definition.step import Step

_MOST: Final = 16
"""Values that are on their way at the same time; the threads that emit more wait."""


class ThreadEmissions:
    """Hands them over in order. A thread waits while a watcher holds up the run.

    :param emit: called in the event loop, with a step and the value.
    :param is_full: whether a watcher holds up the run.
    :param until_room: waits until none does.
    """

    def __init__(
        self,
        emit: Callable[[Step, Any], object],
        *,
        loop: asyncio.AbstractEventLoop,
        is_full: Callable[[], bool],
        until_room: Callable[[], Awaitable[None]],
    ) -> None:
        self._emit = emit
        self._loop = loop
        self._is_full = is_full
        self._until_room = until_room
        self._changed = Condition()
        self._under_way = 0
        self._is_closed = False
        self._owed = 0
        """How many have arrived of which the threads are to know only when there is room."""
        self._waiting: asyncio.Task[None] | None = None

    def send(self, step: Step, value: Any) -> None:
        """Hand over a value, from any thread. Returns when it is on its way, or nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._under_way < _MOST)
            if self._is_closed:
                return
            self._under_way += 1
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._arrive, step, value)

    def close(self) -> asyncio.Task[None] | None:
        """Nobody wants them any more: let all threads continue. Returns what still has to end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._waiting is not None:
            self._waiting.cancel()
        return self._waiting

    def _arrive(self, step: Step, value: Any) -> None:
        if not self._is_closed:
            self._emit(step, value)
        if not self._is_full():
            self._note_arrived(1)
            return
        self._owed += 1
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._wait(), name="spark-graphs: threads that emit")

    async def _wait(self) -> None:
        await self._until_room()
        owed, self._owed, self._waiting = self._owed, 0, None
        self._note_arrived(owed)

    def _note_arrived(self, count: int) -> None:
        with self._changed:
            self._under_way -= count
            self._changed.notify_all()
