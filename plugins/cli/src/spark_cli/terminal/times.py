"""Moments and lengths of time as people say them: ``3 min``, ``in 2 h``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (
    (365.25 * 86_400, 730 * 86_400.0, "y"),
    (86_400.0, 48 * 3_600.0, "d"),
    (3_600.0, 90 * 60.0, "h"),
    (60.0, 90.0, "min"),
)
"""Seconds in a unit, from how many seconds on it is used, and its name."""


def length(seconds: float) -> str:
    """A length of time in one unit: ``12 s``, ``3 min``, ``5 h``, ``9 d``."""
    for unit, least, name in _UNITS:
        if seconds >= least:
            return f"{seconds / unit:,.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago that was; nothing where it is not known."""
    return length((now - moment).total_seconds()) if moment is not None else ""


def due(moment: datetime, now: datetime) -> str:
    """When that will be, or how long it has been due."""
    if moment > now:
        return f"in {length((moment - now).total_seconds())}"
    return f"due for {length((now - moment).total_seconds())}"


def clock(seconds: float) -> str:
    """A length of time as a clock shows it: ``0:07``, ``12:30``, ``1:02:03``."""
    text = str(timedelta(seconds=int(seconds)))
    return text[2:].lstrip("0").rjust(4, "0") if seconds < 3_600 else text


def in_full(moment: datetime) -> str:
    """``2026-01-31 12:30:05``, in UTC as all that is stored."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
