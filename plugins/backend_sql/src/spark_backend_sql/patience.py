"""How long one call waits for others: in all, a piece at a time, and not after its caller has gone."""

from __future__ import annotations

import time
from typing import Final

WAIT: Final = 30.0
"""Seconds that a call waits at most, unless the backend is told otherwise."""
SLICE: Final = 0.05
"""Seconds that the database waits for a lock before it says so: who holds up whom is then decided here."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5


class Patience:
    """What is left of the time that one call may take. Belongs to the thread that makes it, but for ``give_up``."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._is_given_up = False
        self._pause = FIRST_PAUSE

    def give_up(self) -> None:
        """Nobody waits any more. From any thread."""
        self._is_given_up = True

    def rest(self, seconds: float | None = None) -> bool:
        """Sleep so long, without an argument a little longer each time; False, and at once, where there is no time left."""
        if seconds is None:
            seconds, self._pause = self._pause, longer(self._pause)
        wakes = time.monotonic() + seconds
        if wakes > self._ends:
            return False
        while not self._is_given_up and (left := wakes - time.monotonic()) > 0:
            time.sleep(min(left, SLICE))
        return not self._is_given_up


def longer(pause: float) -> float:
    """The pause after this one."""
    return min(2 * pause, LONGEST_PAUSE)
