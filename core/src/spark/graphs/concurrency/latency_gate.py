"""What may the event loop's thread do itself? Small things that take less than handing them to another thread is worth.

On a fast disk a durable write takes a few tenths of a millisecond, and the trip to a thread and back a good part of that.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 0.001
"""Seconds that the event loop may be held up, as by encoding: what takes longer on average is done by other threads."""
LARGEST: Final = 256 * 1024
"""Bytes that are written or read in the event loop's thread at once."""

TOLERABLE: Final = 0.005
"""Seconds that it may have taken in another thread, where everything takes longer, for a trial to be worth it."""
_BETWEEN_TRIALS: Final = 32

_NEWEST: Final = 0.3
"""The weight of the last one in the mean."""


class LatencyGate:
    """How long one kind of work takes in the event loop's thread: a running mean, slow until a trial was fast."""

    def __init__(self) -> None:
        self._mean = LONGEST
        self._elsewhere = float("inf")
        """How long it took when another thread did it last."""
        self._until_trial = 0
        self._last_graph = ""

    def is_fast(self) -> bool:
        """Whether it may be done in the event loop's thread; now and then yes, to see how long it takes."""
        if self._mean < LONGEST:
            return True
        self._until_trial -= 1
        if self._elsewhere > TOLERABLE or self._until_trial > 0:
            return False
        self._until_trial = _BETWEEN_TRIALS
        return True

    def allows_save(self, graph_id: str, size: int) -> bool:
        """Whether this save may be made in the event loop's thread. Asked about every save, in order.

        Graphs that save by turns are not: other threads can commit theirs together, or at the same time.

        :param size: in bytes.
        """
        is_alone = graph_id == self._last_graph
        self._last_graph = graph_id
        return is_alone and size <= LARGEST and self.is_fast()

    def took(self, seconds: float) -> None:
        """It was done in the event loop's thread."""
        # One that took long, as when the disk is busy for a moment, is not a slow disk yet; two are.
        self._mean += _NEWEST * (min(seconds, 2 * LONGEST) - self._mean)

    def took_elsewhere(self, seconds: float) -> None:
        """Another thread did it."""
        self._elsewhere = seconds
