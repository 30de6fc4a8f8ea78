"""How much to measure: everything, for figures to print, or little, to see that it works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How often things are measured, and how much of each."""

    rounds: int = 7
    """How often the things that are compared take turns."""
    share: float = 1.0
    """The part of the steps, branches and histories that is run."""

    @property
    def is_full(self) -> bool:
        """Whether the figures are of the work that their names say."""
        return self.share >= 1

    def of(self, count: int, *, at_least: int = 3) -> int:
        """The part of so many steps that is run."""
        return min(count, max(at_least, round(count * self.share)))

    def up_to(self, *sizes: int) -> list[int]:
        """The sizes of a curve; with little effort without the largest, but never fewer than two."""
        allowed = max(sizes) * self.share
        return [size for number, size in enumerate(sizes) if number < 2 or size <= allowed]


QUICK = Effort(rounds=1, share=0.02)
"""Seconds, not minutes: the figures show the shape only."""
