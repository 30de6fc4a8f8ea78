"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FakeClock:
    """Seconds, as ``Graph(clock=…)`` asks for them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :raises ValueError: it can't go back.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds!r}): a monotonic clock never goes back.")
        self.seconds += seconds
