"""The empty places that a process has made itself, until they are old enough to be removed together."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from spark_backend_s3.bounded import keep
from spark_backend_s3.clock import Timing
from spark_backend_s3.objects import PAGE

ENOUGH: Final = 100
"""So many empty places are worth a request of their own."""
_REMEMBERED: Final = 1000


class Litter:
    """By graph, the sequences that this process has emptied, and when."""

    def __init__(self) -> None:
        self._emptied: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    def add(self, name: str, sequence: int, *, at: float) -> None:
        """Remember an empty place.

        :param at: when the store had said that it is empty, by the process's own clock.
        """
        if name not in self._emptied:
            keep(self._emptied, name, deque(), most=_REMEMBERED)
        self._emptied[name].append((at, sequence))

    def forget(self, name: str) -> None:
        """Forget a graph, whose places are no longer those that were emptied."""
        self._emptied.pop(name, None)

    def take_old(self, name: str, timing: Timing) -> list[int]:
        """The sequences that may be removed, if there are enough; they are forgotten here.

        The highest of the old ones stays, for the reason that ``Survey.settled`` gives.
        """
        emptied = self._emptied.get(name, deque())
        before = timing.now() - timing.grace
        old = [sequence for at, sequence in emptied if at < before][:PAGE]
        if len(old) <= ENOUGH:
            return []
        to_delete = set(old) - {max(old)}
        self._emptied[name] = deque(entry for entry in emptied if entry[1] not in to_delete)
        return sorted(to_delete)
