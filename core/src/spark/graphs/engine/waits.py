"""While steps of a run wait for something outside: what lets them go on, and whether the run waits with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from spark.graphs.clock import Clock
from spark.graphs.message import Interrupt
from spark.graphs.state.frontier import Frontier
from spark.graphs.values.snapshots import snapshot


class OpenWaits(NamedTuple):
    """What a run waits for that has returned."""

    interrupts: tuple[Interrupt, ...]
    """The questions that are open, in the order in which they were asked."""
    due: datetime | None
    """When the first step goes on by itself."""


def open_waits(frontier: Frontier) -> OpenWaits:
    """What the suspended steps wait for."""
    interrupts = [
        Interrupt(
            id=entry["id"],
            node=token.node,
            payload=snapshot(entry["payload"]),
            since=datetime.fromisoformat(entry["since"]),
        )
        for token in frontier.suspended.tokens.values()
        for key, entry in frontier.journal.open_entries(token.id)
        if key.startswith("interrupt:")
    ]
    interrupts.sort(key=lambda interrupt: interrupt.since)
    return OpenWaits(tuple(interrupts), frontier.suspended.next_due())


class Waits:
    """What the suspended steps of one run wait for.

    :param wake: called when some of them may go on.
    """

    def __init__(self, frontier: Frontier, clock: Clock, *, wake: Callable[[], None]) -> None:
        self._frontier = frontier
        self._clock = clock
        self._wake = wake
        self._timer: asyncio.Task[None] | None = None
        self._timer_due: datetime | None = None

    def resume_due(self) -> None:
        """Let those go on whose time has come, and set the timer for the next."""
        self._frontier.resume_due(self._clock.utc_now())
        due = self._frontier.suspended.next_due()
        if due != self._timer_due:
            self._stop_timer()
            self._timer_due = due
        if due is not None and self._timer is None:
            self._timer = asyncio.create_task(self._ring(due), name="spark-graphs: timer")

    def go_on_by_themselves(self) -> bool:
        """Whether the run waits for them, instead of returning."""
        return self._timer_due is not None

    async def close(self) -> None:
        """The run has ended."""
        timer = self._stop_timer()
        if timer is not None:
            with suppress(asyncio.CancelledError):
                await timer

    def _stop_timer(self) -> asyncio.Task[None] | None:
        timer, self._timer, self._timer_due = self._timer, None, None
        if timer is not None:
            timer.cancel()
        return timer

    async def _ring(self, due: datetime) -> None:
        while (left := (due - self._clock.utc_now()).total_seconds()) > 0:
            await self._clock.sleep(left)
        self._timer = self._timer_due = None
        self._wake()
