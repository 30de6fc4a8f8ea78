"""How a store grew, as a small drawing: one bar a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One day."""

    day: date
    bytes: int
    height: float
    """Of the tallest bar: 0 to 100. A day with anything at all has a bar that can be seen."""


def bars(days: Mapping[date, int], *, today: date) -> list[Bar]:
    """The last thirty days, or those since the first checkpoint where that is not so long ago; empty where there was nothing."""
    shown = [day for day in days if today - timedelta(days=_DAYS) < day <= today]
    if not shown:
        return []
    length = max(7, (today - min(shown)).days + 1)
    tallest = max(days[day] for day in shown)
    every = [today - timedelta(days=back) for back in reversed(range(length))]
    return [Bar(day, days.get(day, 0), _height(days.get(day, 0), tallest)) for day in every]


def _height(size: int, tallest: int) -> float:
    return max(1.5, round(100 * size / tallest, 1)) if size else 0.0
