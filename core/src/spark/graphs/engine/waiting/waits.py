"""While steps of a run wait for something outside: what lets them continue, and whether the run waits with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from datetime import datetime
from typing import Any, Final

from spark.errors import BackendError
from spark.graphs.engine.spec import RunSpec, Services
from spark.graphs.engine.waiting.inbox import RunInbox
from spark.graphs.state.frontier import Frontier
from spark.graphs.values.log_fields import log_fields

_LOG = logging.getLogger("spark.graphs")


class Waits:
    """What the suspended steps of one run wait for.

    :param wake: called when some of them may continue.
    """

    def __init__(self, spec: RunSpec, frontier: Frontier, services: Services, *, wake: Callable[[], None]) -> None:
        self._spec = spec
        self._frontier = frontier
        self._clock = services.clock
        self._wake = wake
        self._may_wait = spec.may_wait
        self.inbox: RunInbox = RunInbox(spec, frontier, services, hears=wake)
        """The messages that some of them wait for."""
        backend = services.backend
        # Where nobody outside of this process can send a message, the run hears of each.
        self._poll = spec.checkpoint_config.signal_poll if backend is not None and backend.persistent else None
        self._tick: asyncio.Task[None] | None = None
        """Waits for the time to look into the inbox again."""
        self._failed_looks = 0
        """How many looks have failed in a row."""
        self._timer: asyncio.Task[None] | None = None
        self._timer_due: datetime | None = None
        self._timers: set[asyncio.Task[None]] = set()
        """These, and those that were cancelled and have not ended yet."""
        self._failure: BaseException | None = None
        """What the clock raised."""

    def resume_due(self) -> None:
        """Let those continue whose time has come, and set the timer for the next."""
        if self._failure is not None:
            raise self._failure
        if self._failed_looks:
            return  # a message that is there wins over a timeout
        self._frontier.resume_due(self._clock.utc_now())
        due = self._frontier.suspended.next_due()
        if due != self._timer_due:
            self._stop_timer()
            self._timer_due = due
        if due is not None and self._timer is None:
            self._timer = self._start(self._ring(due), name="spark-graphs: timer")

    def go_on_by_themselves(self) -> bool:
        """Whether the run waits for them, instead of returning: for retries always, for all else while no question is open."""
        open = self._frontier.suspended.counts
        can_go_on = self._timer_due is not None or self.inbox.is_waited_for()
        return self._may_wait and can_go_on and (open["retry"] > 0 or not open["interrupt"])

    def should_look(self, *, is_idle: bool) -> bool:
        """Whether to look now whether messages have come.

        :param is_idle: there is no other step to start, and none that has ended.
        """
        inbox = self.inbox
        return inbox.is_waited_for() and (inbox.is_stale or (is_idle and inbox.has_new_waiters()))

    async def look(self) -> None:
        """Let those continue for which a message has come, and see to it that the run looks again.

        A run that waits for days outlives a store that can't be reached for some seconds.

        :raises CheckpointDamagedError: a message can't be read.
        :raises BackendError: the storage failed, and again when the run looked again.
        """
        try:
            await self.inbox.look()
            self._failed_looks = 0
        except BackendError as error:
            self._failed_looks += 1
            if self._poll is None or not self._may_wait or self._failed_looks == _MOST_FAILED_LOOKS:
                raise
            _LOG.warning(
                "Graph %r: the signals that the run waits for could not be read; it will try again: %s",
                self._spec.graph_id,
                error,
                extra=log_fields(self._spec.graph_id, run_id=self._spec.run_id),
            )
        if self._tick is None and self._poll is not None and self.inbox.is_waited_for():
            self._tick = self._start(self._look_again(self._poll), name="spark-graphs: looking for messages")

    def close(self) -> Collection[asyncio.Task[None]]:
        """The run has ended. Returns what still has to end."""
        self._stop_timer()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self.inbox.close()
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
        self.inbox.is_stale = True  # a message that was sent in time is not too late
        self._wake()

    async def _look_again(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._tick = None
        self.inbox.is_stale = True
        self._wake()

    def _start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._timers.add(task)
        task.add_done_callback(self._on_end)
        return task

    def _on_end(self, timer: asyncio.Task[None]) -> None:
        self._timers.discard(timer)
        if not timer.cancelled() and timer.exception() is not None:
            self._failure = timer.exception()
            self._wake()


_MOST_FAILED_LOOKS: Final = 10
_LEAST_PIECE: Final = 60.0
_PIECES: Final = 100
"""A clock that was set, or a machine that was suspended, is noticed after a minute, or a hundredth of the time that was left."""
