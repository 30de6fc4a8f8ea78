"""A clock that stands still until a test moves it."""

from __future__ import annotations

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
