"""How a command ends: its exit code, and its last words."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

import typer

from spark_cli.terminal.output import one_line, tell_lines

FINE: Final = 0
FAILED: Final = 1
"""Something failed, or something was found that needs attention."""
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 3
"""A run waits for answers: to start it again changes nothing."""
WAITING: Final = 4
"""A run waits for a time or a signal: start it again when that has come."""
DRAINED: Final = 75
"""A run stopped because it was asked to: start it again at once. ``EX_TEMPFAIL`` of sysexits.h says the same."""


def refuse(message: str) -> NoReturn:
    """End with exit code 2: the command was not written as it should be."""
    tell_lines(f"spark: {message}")
    raise typer.Exit(WRONG_USAGE)


def confirm(question: str) -> None:
    """Continue when a person at the terminal says yes; with no, end with exit code 1, and without a terminal with 2."""
    if not sys.stdin.isatty():
        refuse(f"this needs an answer, and there is no terminal: {question} If you are sure, pass --yes.")
    if not typer.confirm(one_line(question), err=True):
        tell_lines("spark: nothing was changed.")
        end(fine=False)


def end(*, fine: bool) -> None:
    """End with 0 or 1."""
    raise typer.Exit(FINE if fine else FAILED)
