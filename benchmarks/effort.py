"""How much to measure: everything, for figures to print, or little, to see that it works."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How often things are measured, and how much of each."""

    rounds: int = 7
    """How often the things that are compared take turns."""
    longest: float = math.inf
    """Seconds after which the same work has no further round."""
    share: float = 1.0
    """The part of the steps, branches and histories that is run."""

    @property
    def is_full(self) -> bool:
        """Whether the figures are of the work that their names say."""
        return self.share >= 1

    def turns(self, at_most: int = 0) -> Iterator[int]:
        """A number for each round that is to be made.

        :param at_most: so many, whatever was asked for; 0 for no such limit.
        """
        began = time.monotonic()
        for number in range(min(self.rounds, at_most or self.rounds)):
            if number and time.monotonic() - began > self.longest:
                return
            yield number

    def of(self, count: int, *, at_least: int = 3) -> int:
        """The part of so many steps that is run."""
        return min(count, max(at_least, round(count * self.share)))

    def up_to(self, *sizes: int) -> list[int]:
        """The sizes of a curve; with little effort without the largest, but never fewer than two."""
        allowed = max(sizes) * self.share
        return [size for number, size in enumerate(sizes) if number < 2 or size <= allowed]


QUICK = Effort(rounds=1, share=0.02)
"""Seconds, not minutes: the figures show the shape only."""
