"""Where the small I/O of a backend runs, in the event loop's thread or in another: the one place that decides.

On a fast disk a durable write takes a few tenths of a millisecond, and handing it to another thread and back takes a good part
of that. So calls that are small and have been fast run inline: in the event loop's thread, which does nothing else meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Final, TypeVar

from spark.errors import GraphDefinitionError
from spark.graphs.concurrency.blocking import run_blocking

Result = TypeVar("Result")

_NEWEST: Final = 0.3
"""The weight of the newest call in the mean."""


@dataclass(frozen=True)
class InlineLimits:
    """For how long calls that run inline may hold up the event loop."""

    mean_seconds: float = 0.001
    """Calls that take longer on average run in another thread."""
    stall_seconds: float = 0.005
    """After a single call that took longer, calls run in another thread until one of them took less."""
    nbytes: int = 256 * 1024
    """What one call reads or writes at most."""
    calls_between_trials: int = 32
    """Where a trial showed that calls are slow, so many run in another thread before the next trial."""


class SmallIO:
    """Runs one kind of call of a backend inline where that is allowed and fast, and otherwise in another thread.

    A backend has one of these for each kind of call that takes its own time: one for saves, for instance, and one for reads.

    :param inline: False, and nothing ever runs inline: the backend's ``inline_io``.
    :param run_in_thread: has another thread make a call, and waits for it.
    :param clock: tells seconds, from any beginning.
    """

    def __init__(
        self,
        inline: bool,
        *,
        run_in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = run_blocking,
        limits: InlineLimits | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._is_allowed = inline
        self._run_in_thread = run_in_thread
        self._limits = limits or InlineLimits()
        self._clock = clock
        self._gate = LatencyGate(self._limits)
        self._last_graph: str | None = None

    async def run(self, call: Callable[[], Result], *, nbytes: int = 0, graph_id: str | None = None) -> Result:
        """What the call returns or raises, wherever it runs.

        :param nbytes: how much it reads or writes.
        :param graph_id: of the graph that is saved. Graphs that save by turns do so in threads, which can save at the same time.
        """
        if self._may_run_inline(nbytes, graph_id):
            return self._timed(call, self._gate.took_inline)
        result: Result = await self._run_in_thread(partial(self.in_thread, call))
        return result

    def try_inline(
        self, call: Callable[[], Result | None], *, nbytes: int = 0, graph_id: str | None = None
    ) -> Result | None:
        """What the call returns where it runs inline; None where another thread has to make it, by ``in_thread``.

        :param call: returns None when it could not do its work, and then took no time to speak of.
        """
        if not self._may_run_inline(nbytes, graph_id):
            return None
        began, is_done = self._clock(), True
        try:
            result = call()
            is_done = result is not None
            return result
        finally:
            if is_done:
                self._gate.took_inline(self._clock() - began)

    def in_thread(self, call: Callable[[], Result]) -> Result:
        """Make a call in this thread, which is not the event loop's, and note how long it takes."""
        return self._timed(call, self._gate.took_in_thread)

    def _may_run_inline(self, nbytes: int, graph_id: str | None) -> bool:
        is_alone = graph_id is None or graph_id == self._last_graph
        if graph_id is not None:
            self._last_graph = graph_id
        return self._is_allowed and is_alone and nbytes <= self._limits.nbytes and self._gate.is_open()

    def _timed(self, call: Callable[[], Result], took: Callable[[float], None]) -> Result:
        began = self._clock()
        try:
            return call()
        finally:
            took(self._clock() - began)


class LatencyGate:
    """Tells by how long calls took whether the next one may run inline; closed until a trial was fast."""

    def __init__(self, limits: InlineLimits) -> None:
        self._limits = limits
        self._mean = limits.mean_seconds
        """Of the calls that ran inline."""
        self._in_thread = inf
        """Seconds that the last call took in another thread, where everything takes longer."""
        self._until_trial = 0

    def is_open(self) -> bool:
        """Whether the next call may run inline. While calls are slow it is now and then, to see how long one takes."""
        if self._mean < self._limits.mean_seconds:
            return True
        self._until_trial -= 1
        if self._in_thread > self._limits.stall_seconds or self._until_trial > 0:
            return False
        self._until_trial = self._limits.calls_between_trials
        return True

    def took_inline(self, seconds: float) -> None:
        """A call ran inline."""
        longest = self._limits.mean_seconds
        if seconds > self._limits.stall_seconds:
            # Another thread finds out whether the disk still stalls.
            self._mean, self._in_thread = longest, inf
        else:
            # One call that took somewhat longer does not make a slow disk; two do.
            self._mean += _NEWEST * (min(seconds, 2 * longest) - self._mean)

    def took_in_thread(self, seconds: float) -> None:
        """A call ran in another thread."""
        self._in_thread = seconds


def checked_inline_io(value: Any) -> bool:
    """The option ``inline_io`` of a backend.

    :raises GraphDefinitionError: it is neither True nor False; the text "false" would count as true.
    """
    if not isinstance(value, bool):
        raise GraphDefinitionError(f"inline_io={value!r}: give True or False.")
    return value
