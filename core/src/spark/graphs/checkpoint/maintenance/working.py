"""A worker: whatever is unfinished in a store is resumed as soon as it can continue, until somebody stops this."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Final, Generic, TypeVar

from spark.errors import BackendError, GraphDefinitionError
from spark.graphs.checkpoint.maintenance.finding import Finder
from spark.graphs.checkpoint.maintenance.recovery import LeftAlone, Resumer, is_suspect
from spark.graphs.checkpoint.maintenance.runs import RunInfo
from spark.graphs.clock import Clock

Outcome = TypeVar("Outcome")

_LOG = logging.getLogger("spark.checkpoint")
_AHEAD: Final = 4
"""So many times as many runs are looked for as may be under way, so that short ones cost few looks."""
_PAUSE: Final = 60.0
"""Seconds for which a run that failed is left alone, in case that its graph could not even be built."""


class Working(Generic[Outcome]):
    """Looks for runs that are due, and keeps as many under way as may be.

    :param every: seconds after which a look that failed is repeated, and what has ended is looked at again.
    :param idle_exit: ends when there was nothing to do for so many seconds; None never does.
    :param tell: called with a run that is taken up, and None; and with what it returned or raised, or why it is left alone.
    """

    def __init__(
        self,
        resumer: Resumer[Outcome],
        finder: Finder,
        *,
        every: float,
        idle_exit: float | None,
        tell: Callable[[RunInfo, Outcome | Exception | str | None], object],
        clock: Clock,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < inf:
            raise GraphDefinitionError(f"work(every={every!r}): give a positive number of seconds.")
        self._resumer = resumer
        self._finder = finder
        self._every = every
        self._idle_exit = inf if idle_exit is None else idle_exit
        self._tell = tell
        self._clock = clock
        self._ready: deque[RunInfo] = deque()
        self._read_at = 0.0
        """When ``_ready`` was read, by the monotonic clock."""
        self._looked_at = 0.0
        """When the last look began, whether it succeeded or not."""
        self._look_at = 0.0
        """When to look again; 0.0 as soon as there is room, because the last look has found something."""
        self._busy_at = clock.monotonic()
        """When there was something to do for the last time."""
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._suspect: str | None = None
        """The graph id of the one run under way that may end this process."""
        self._suspects: deque[RunInfo] = deque()
        """Those that may end it, and wait for their turns: one by one, so that none takes others down again and again."""
        self._paused: dict[str, float] = {}
        """Graph ids that are left alone for now, and until when."""

    async def work(self) -> None:
        """Resume runs until this is stopped, or idle for long enough. Those under way are drained then, and waited for."""
        stopping = asyncio.create_task(self._resumer.drain_when_stopped(), name="spark-graphs: working until stopped")
        try:
            await self._look()  # what this raises is raised to whoever has started the worker
            async with asyncio.TaskGroup() as group:
                while not self._resumer.stop.is_set() and not self._is_idle():
                    await self._fill(group)
                    await self._wait(stopping)
        finally:
            stopping.cancel()

    async def _fill(self, group: asyncio.TaskGroup) -> None:
        """Begin as many runs as there is room for."""
        limit, now = self._resumer.limit, self._clock.monotonic()
        is_old = now >= self._finder.dead_at  # what dead workers have left goes first
        if len(self._under_way) < limit and (
            is_old if self._ready else now >= min(self._look_at, self._last_look_at())
        ):
            try:
                await self._look()
            except BackendError as error:
                _LOG.warning("Looking for runs failed, and is tried again in %g s: %s", self._every, error)
                self._look_at = self._clock.monotonic() + self._every
        if self._suspects and self._suspect is None and len(self._under_way) < limit:
            self._begin(group, run := self._suspects.popleft(), read_at=-inf)  # it may have waited for long
            self._suspect = run.graph_id
        while self._ready and len(self._under_way) < limit:
            self._begin(group, self._ready.popleft(), read_at=self._read_at)

    def _begin(self, group: asyncio.TaskGroup, run: RunInfo, *, read_at: float) -> None:
        name = f"spark-graphs: resuming {run.graph_id}"
        self._under_way[run.graph_id] = group.create_task(self._resume(run, read_at), name=name)

    async def _look(self) -> None:
        began = self._looked_at = self._clock.monotonic()
        self._paused = {graph_id: until for graph_id, until in self._paused.items() if until > began}
        besides = {*self._under_way, *self._paused, *(run.graph_id for run in self._suspects)}
        found = await self._finder.look(wanted=self._resumer.limit * _AHEAD, besides=besides)
        self._read_at = self._clock.monotonic()
        self._ready = deque(run for run in found if not is_suspect(run))
        self._suspects += filter(is_suspect, found)
        self._look_at = 0.0 if found else self._finder.dead_at

    async def _resume(self, run: RunInfo, read_at: float) -> None:
        pause = self._every
        try:
            self._tell(run, None)
            self._tell(run, await self._resumer.resume(run, read_at=read_at))
        except LeftAlone as why:
            pause = 0.0  # the next look sees that it is another's
            self._tell(run, str(why))
        except Exception as error:
            pause = max(self._every, _PAUSE)
            self._tell(run, error)
        finally:
            del self._under_way[run.graph_id]
            if self._suspect == run.graph_id:
                self._suspect = None
            self._busy_at = now = self._clock.monotonic()
            self._paused[run.graph_id] = now + pause

    async def _wait(self, stopping: asyncio.Task[None]) -> None:
        """Wait until there is something to do: room for a run that is due, or the time to look again."""
        limit, now = self._resumer.limit, self._clock.monotonic()
        waited_for: set[asyncio.Task[Any]] = {stopping, *self._under_way.values()}
        timer = None
        if len(self._under_way) < limit:
            if self._ready or self._look_at <= now or self._is_idle():
                return
            timer = asyncio.create_task(self._sleep(min(self._look_at, self._last_look_at()) - now))
            waited_for.add(timer)
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if timer is not None:
                timer.cancel()

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def _last_look_at(self) -> float:
        """When to look for the last time, because there was nothing to do for long enough; inf if that has been done."""
        idle_at = self._busy_at + self._idle_exit
        return idle_at if not self._under_way and self._looked_at < idle_at else inf

    def _is_idle(self) -> bool:
        is_quiet = not (self._under_way or self._ready or self._suspects) and self._look_at > 0.0
        return is_quiet and self._looked_at >= self._busy_at + self._idle_exit
