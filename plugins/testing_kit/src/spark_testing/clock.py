"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """The time, as ``Graph(clock=…)`` asks for it.

    :param seconds: what ``monotonic`` says at first.
    :param now: what ``utc_now`` says at first.
    """

    def __init__(self, seconds: float = 0.0, *, now: datetime = NEW_YEAR) -> None:
        self.seconds: float = seconds
        self._zero = now - timedelta(seconds=seconds)
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.seconds

    def utc_now(self) -> datetime:
        """The present, aware."""
        return self._zero + timedelta(seconds=self.seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :raises ValueError: it can't go back.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): a monotonic clock never goes back.")
        self.seconds += seconds
        for until, sleeper in self._sleepers:
            if until <= self.seconds and not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Return once a test has moved the clock by so much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.seconds + seconds, sleeper))
        try:
            await sleeper
        finally:
            self._sleepers = [each for each in self._sleepers if each[1] is not sleeper]


class SkippingClock(FakeClock):
    """A clock on which no one has to wait: whoever sleeps moves it to where they want to wake up.

    So the time of every step that has a ``timeout`` is up at once; for those, take a ``FakeClock``.
    """

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.advance(max(0.0, until - self.seconds))
