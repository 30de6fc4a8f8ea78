"""One step that was given to the pool: where it stands, and how its end reaches the event loop of its run."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Final

from spark.graphs.executors import StepChannel, StepInput, StepResult
from spark_executor_process import kinds
from spark_executor_process.line import Packet, packed

_INLINE: Final = 64 * 1024
"""Bytes of a message that is sent from within the event loop: they fit into the pipe, so that this does not wait."""
_NUMBERS: Final = itertools.count(1)


class Job:
    """A step on its way. Made, and waited for, in the event loop of its run."""

    def __init__(self, step: StepInput, channel: StepChannel) -> None:
        self.key = step.key
        self.is_async = step.is_async
        self.channel = channel
        self.number: int = next(_NUMBERS)
        self.packet: Packet = packed((kinds.STEP, self.number, *step))
        self.is_wanted = True
        """Nobody has cancelled it. The pool sets it."""
        self.is_undelivered = False
        """The worker that was given it ended before it had all of it."""
        self._has_moved = False
        self.is_settled = False
        """How it ended is known, in its event loop."""
        self.error_if_lost: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[StepResult | Exception] = self._loop.create_future()

    @property
    def is_small(self) -> bool:
        """Sending it does not wait for the worker."""
        return self.packet.size <= _INLINE

    @property
    def is_abandoned(self) -> bool:
        """Its event loop was closed before it ended, so nobody waits for it or will cancel it."""
        return self._loop.is_closed()

    def moves(self) -> bool:
        """Whether another worker is to begin it, because this one can't have begun it. That is so once at most."""
        moves = self.is_undelivered and self.is_wanted and self.error_if_lost is None and not self._has_moved
        self._has_moved, self.is_undelivered = True, False
        return moves

    def settle(self, end: StepResult | Exception) -> None:
        """It has ended. Called once, from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._set, end)

    async def result(self) -> StepResult:
        """How it ended."""
        end = await self._end
        if isinstance(end, Exception):
            raise end
        return end

    async def until_settled(self, seconds: float | None = None) -> bool:
        """Wait for its end, whoever waited for it before; False if it does not come within the time."""
        if not self.is_settled:
            if self._end.done():  # who waited was cancelled
                self._end = self._loop.create_future()
            await asyncio.wait([self._end], timeout=seconds)
        return self.is_settled

    def _set(self, end: StepResult | Exception) -> None:
        self.is_settled = True
        if not self._end.done():
            self._end.set_result(end)
