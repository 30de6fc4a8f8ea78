"""Leaving the event loop to others now and then, where work never really waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_PAUSE: Final = 0.0025
"""Seconds from one look to the next: the loop is kept for twice as long at most, and one step more."""


class Breath:
    """Lets the event loop have a turn when it has had none for a while.

    A graph whose saves wait for a disk, beside a hundred others, is overdue at each step, although the others had their turns.

    :param clock: tells seconds, from any beginning.
    """

    __slots__ = ("_clock", "_has_turned", "due")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._has_turned = False
        """Since it was looked at last."""
        self.due: float = clock() + _PAUSE
        """When ``take`` is due."""

    async def take(self) -> None:
        """Wait for a turn of the loop, unless there was one."""
        if not self._has_turned:
            await asyncio.sleep(0)
        self._has_turned = False
        asyncio.get_running_loop().call_soon(self._turned)
        self.due = self._clock() + _PAUSE

    def hurry(self) -> None:
        """It is due at once."""
        self.due = 0.0

    def _turned(self) -> None:
        self._has_turned = True
