"""Where a graph gets the time and its random ids from: the system, unless a test passes its own."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from random import Random, SystemRandom
from typing import Final, Protocol


class Clock(Protocol):
    """The time, as graphs and their checkpoints ask for it: ``Graph(clock=…)``."""

    def monotonic(self) -> float:
        """Seconds that never go back, for what takes time: time triggers and budgets."""

    def utc_now(self) -> datetime:
        """The present, aware, for timestamps."""

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed by this clock."""


class SystemClock:
    """The clock of this machine."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)
    utc_now = staticmethod(partial(datetime.now, UTC))


SYSTEM_CLOCK: Final[Clock] = SystemClock()
SYSTEM_RANDOM: Final[Random] = SystemRandom()


def random_hex(random: Random, *, size: int) -> str:
    """So many random bytes as hexadecimal text."""
    return random.randbytes(size).hex()
