"""How long one call waits for others: in all, a piece at a time, and not after its caller has gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WAIT: Final = 30.0
"""Seconds that a call waits at most, unless the backend is told otherwise."""
SLICE: Final = 0.05
"""Seconds that the database waits for a lock before it says so: who holds up whom is then decided here."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5


class Patience:
    """What is left of the time that one call may take. Belongs to the thread that makes it, but for ``give_up``.

    :param is_wanted: whether anybody still waits for the call.
    """

    def __init__(self, seconds: float, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._is_wanted = is_wanted
        self._ends = time.monotonic() + seconds
        self._is_given_up = False
        self._pause = FIRST_PAUSE
        self._has_rested = False

    def give_up(self) -> None:
        """Nobody waits any more. From any thread."""
        self._is_given_up = True

    def rest(self, seconds: float | None = None) -> bool:
        """Sleep so long, without an argument a little longer each time; False, and at once, where there is no time left.

        There always is for the first one: a process that was stopped for a while shall learn what others did meanwhile.
        """
        if seconds is None:
            seconds, self._pause = self._pause, longer(self._pause)
        wakes = time.monotonic() + seconds
        if wakes > self._ends and self._has_rested:
            return False
        self._has_rested = True
        while self._goes_on() and (left := wakes - time.monotonic()) > 0:
            time.sleep(min(left, SLICE))
        return self._goes_on()

    def _goes_on(self) -> bool:
        return not self._is_given_up and self._is_wanted()


def longer(pause: float) -> float:
    """The pause after this one."""
    return min(2 * pause, LONGEST_PAUSE)
