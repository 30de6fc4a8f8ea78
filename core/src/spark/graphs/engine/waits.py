"""While steps of a run wait for something outside: what lets them go on, and whether the run waits with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final, NamedTuple

from spark.graphs.clock import Clock
from spark.graphs.message import Interrupt, open_questions
from spark.graphs.state.frontier import Frontier


class OpenWaits(NamedTuple):
    """What a run waits for that has returned."""

    interrupts: tuple[Interrupt, ...]
    """The questions that are open, in the order in which they were asked."""
    due: datetime | None
    """When the first step goes on by itself."""


def open_waits(frontier: Frontier) -> OpenWaits:
    """What the suspended steps wait for."""
    return OpenWaits(open_questions(frontier.capture()), frontier.suspended.next_due())


class Waits:
    """What the suspended steps of one run wait for.

    :param wake: called when some of them may go on.
    :param may_wait: whether the run waits for them, or returns once nothing else is left.
    """

    def __init__(self, frontier: Frontier, clock: Clock, *, wake: Callable[[], None], may_wait: bool) -> None:
        self._frontier = frontier
        self._clock = clock
        self._wake = wake
        self._may_wait = may_wait
        self._timer: asyncio.Task[None] | None = None
        self._timer_due: datetime | None = None
        self._timers: set[asyncio.Task[None]] = set()
        """That one, and those that were cancelled and have not ended yet."""
        self._failure: BaseException | None = None
        """What the clock raised."""

    def resume_due(self) -> None:
        """Let those go on whose time has come, and set the timer for the next."""
        if self._failure is not None:
            raise self._failure
        self._frontier.resume_due(self._clock.utc_now())
        due = self._frontier.suspended.next_due()
        if due != self._timer_due:
            self._stop_timer()
            self._timer_due = due
        if due is not None and self._timer is None:
            self._timer = asyncio.create_task(self._ring(due), name="spark-graphs: timer")
            self._timers.add(self._timer)
            self._timer.add_done_callback(self._on_end)

    def go_on_by_themselves(self) -> bool:
        """Whether the run waits for them, instead of returning: for retries always, for all else while no question is open."""
        open = self._frontier.suspended.counts
        return self._may_wait and (open["retry"] > 0 or not open["interrupt"])

    def close(self) -> Collection[asyncio.Task[None]]:
        """The run has ended. Returns what still has to end."""
        self._stop_timer()
        self._failure = None
        return [*self._timers]

    def _stop_timer(self) -> None:
        timer, self._timer, self._timer_due = self._timer, None, None
        if timer is not None:
            timer.cancel()

    async def _ring(self, due: datetime) -> None:
        while (left := (due - self._clock.utc_now()).total_seconds()) > 0:
            await self._clock.sleep(min(left, max(_LEAST_PIECE, left // _PIECES)))
        self._timer = self._timer_due = None
        self._wake()

    def _on_end(self, timer: asyncio.Task[None]) -> None:
        self._timers.discard(timer)
        if not timer.cancelled() and timer.exception() is not None:
            self._failure = timer.exception()
            self._wake()


_LEAST_PIECE: Final = 60.0
_PIECES: Final = 100
"""A clock that was set, or a machine that was suspended, is noticed after a minute, or a hundredth of the time that was left."""
