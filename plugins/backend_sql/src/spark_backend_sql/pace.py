"""How fast is the disk these days? A running mean, by which it is decided what the event loop's thread does itself."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 0.001
"""Seconds that the event loop may be held up, as by encoding: what takes longer on average is done by other threads."""

_NEWEST: Final = 0.3
"""The weight of the last one in the mean."""


class Pace:
    """How long one kind of work takes: slow, until it was seen to be fast."""

    def __init__(self) -> None:
        self._mean = LONGEST

    def is_fast(self) -> bool:
        """Whether it may be done in the event loop's thread."""
        return self._mean < LONGEST

    def took(self, seconds: float) -> None:
        """It was done once more, wherever."""
        # One that took long, as a commit with SQLite's checkpoint now and then, is not a slow disk yet; two are.
        self._mean += _NEWEST * (min(seconds, 2 * LONGEST) - self._mean)
