"""A bar that says how much of some work is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeAlias

from spark_cli.terminal.live import in_place
from spark_cli.terminal.output import Span
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.signs import DONE, LEFT
from spark_cli.terminal.times import clock

Report: TypeAlias = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""

_PAUSE: Final = 0.1
"""Seconds between two views."""
_WIDTH: Final = 20
"""Cells of a bar."""


@contextmanager
def bar(doing: str) -> Iterator[Report]:
    """A progress bar, if standard error is a terminal."""
    if not Screen.of(sys.stderr).can_move:
        yield lambda done, total: None
        return
    began = shown = monotonic()

    def report(done: int, total: int) -> None:
        nonlocal shown
        now = monotonic()
        if done < total and now - shown < _PAUSE:
            return
        shown = now
        left = (now - began) / done * (total - done) if done else 0.0
        show([[Span(f"{doing}  "), meter(done, total), Span(f"  {done:,} of {total:,}  {clock(left)} left")]])

    with in_place(sys.stderr, stays=False) as show:
        show([[Span(doing)]])
        yield report


def meter(done: int, total: int) -> Span:
    """A bar that is filled as far as work is done."""
    filled = _WIDTH * done // total if total else 0
    return Span(DONE * filled + LEFT * (_WIDTH - filled), "cyan")
