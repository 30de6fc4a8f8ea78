"""How a command ends: its exit code, and its last words."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

import typer

from spark_cli.output import one_line, tell_lines

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


def confirm(question: str, *, otherwise: str) -> None:
    """Continue when a person at the terminal says yes; end with exit code 2 when there is no terminal, and with 1 for no.

    :param otherwise: the option that answers in advance.
    """
    if not sys.stdin.isatty():
        refuse(f"there is no terminal to ask for confirmation; give {otherwise} if you are sure.")
    if not typer.confirm(one_line(question), err=True):
        end(fine=False)


def end(*, fine: bool) -> None:
    """End with 0 or 1."""
    raise typer.Exit(FINE if fine else FAILED)
