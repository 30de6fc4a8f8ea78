"""A view that changes in place on a terminal, while everything else that is printed appears above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeAlias

from spark_cli.terminal.output import Line, clipped
from spark_cli.terminal.screen import Screen

if TYPE_CHECKING:
    from rich.text import Text

Show: TypeAlias = Callable[[Sequence[Line]], None]


@contextmanager
def in_place(stream: TextIO, *, stays: bool) -> Iterator[Show]:
    """Gives a function that replaces what it showed before.

    :param stream: a terminal: see ``Screen.can_move``.
    :param stays: whether the last view stays at the end.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, force_terminal=True, force_jupyter=False, highlight=False, legacy_windows=False)
    with Live(console=console, auto_refresh=False, transient=not stays, vertical_overflow="crop") as live:
        yield lambda lines: live.update(_text(lines, Screen.of(stream)), refresh=True)


def _text(lines: Sequence[Line], screen: Screen) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for span in clipped(line, screen):
            text.append(span.text, style=span.style if screen.has_colour else None)
    return text
