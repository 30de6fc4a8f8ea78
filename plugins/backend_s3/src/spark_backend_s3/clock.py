"""Time by which a writer knows how long ago it looked; and how long others wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from spark_backend_s3.attempts import SLOWEST

_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def _elapsed() -> float:
    # Of the clocks that a system has, one that goes on while it is suspended: a writer that slept has not looked.
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a look at a graph is trusted, and how long the objects it may have missed stay in their places.

    What makes it safe is that ``grace`` exceeds ``window`` by more than two clocks of the store may differ, and more than
    lies between the moment a store notes as the time of an object and the moment the object is there.
    """

    window: float = 10.0
    """For so many seconds after a look at a graph, a writer knows that the sequences above what it saw were never used."""
    grace: float = 60.0
    """An object younger than so many seconds, by the store's clock, is not removed from its place."""
    now: Callable[[], float] = _elapsed
    """Seconds by the writer's own clock."""

    def is_settled(self, written: datetime, size: int, *, now: datetime | None) -> bool:
        """Whether an object is so old that nobody can be writing to its place who has not looked since it was there.

        :param now: the time by the store's clock, None when it is not known.
        """
        # Some stores note when an upload began. One that was slow came to be so much later.
        needed = timedelta(seconds=self.grace + size / SLOWEST)
        return now is not None and now - written > needed
