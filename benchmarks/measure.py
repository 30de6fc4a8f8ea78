"""Timing two things side by side on a machine that is never quiet: in turns, by medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our time beside the floor's, from rounds that took turns."""

    work: str
    """What was done."""
    unit: str
    """What the figures count: ``us``, ``ms``."""
    ours: list[float]
    """One figure a round."""
    floor: list[float]
    """The physical floor's figures, from the same rounds."""
    floor_is: str
    """What the floor does."""

    def ratio(self) -> float:
        """Ours over the floor's: the median of the rounds' ratios."""
        return statistics.median(ours / floor for ours, floor in zip(self.ours, self.floor, strict=True))

    def row(self) -> str:
        """A line of a Markdown table."""
        ours, floor = statistics.median(self.ours), statistics.median(self.floor)
        cells = (
            self.work,
            f"{figure(ours)} {self.unit}",
            f"{figure(min(self.ours))} to {figure(max(self.ours))}",
            f"{figure(floor)} {self.unit}, {self.floor_is}",
            f"{self.ratio():.2f}",
        )
        return f"| {' | '.join(cells)} |"


HEADING = "| work | ours, median | spread | floor, median | ours / floor |\n|---|---|---|---|---|"


def in_turns(
    ours: Callable[[], float],
    floor: Callable[[], float],
    *,
    rounds: int,
    work: str,
    unit: str,
    floor_is: str,
) -> Comparison:
    """Measure both, round by round, after one round of each that does not count.

    :param ours: runs once and returns its figure, in ``unit``; ``floor`` likewise.
    """
    ours(), floor()
    pairs = [(ours(), floor()) for _ in range(rounds)]
    return Comparison(work, unit, [pair[0] for pair in pairs], [pair[1] for pair in pairs], floor_is)


def figure(value: float) -> str:
    """Three digits, without exponents."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
