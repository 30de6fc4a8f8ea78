"""Where the process begins, and where errors end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from spark.errors import CheckpointNotFoundError, SparkError, StoreNotFoundError
from spark_cli.terminal.output import OutputError, flush, spelling_out, tell_lines

_NOT_THERE: Final = (CheckpointNotFoundError, StoreNotFoundError)
"""What was named does not exist."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; always ends in ``SystemExit``.

    :param arguments: those of the process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    _have_streams()
    with spelling_out():
        raise SystemExit(_tried(words))


def _tried(words: list[str]) -> int:
    try:
        return _flushed(words)
    except SparkError as error:
        from spark_cli.terminal.words import in_words_of_the_command

        for text in (str(error), *getattr(error, "__notes__", ())):
            tell_lines(f"spark: {in_words_of_the_command(text)}")
        return 2 if isinstance(error, _NOT_THERE) else 1  # the names of these would load typer
    except BrokenPipeError:  # whoever read has read enough, as `head` does
        _write_no_more()
    except OutputError as error:
        tell_lines(f"spark: {error}")
        _write_no_more()
    except Exception as error:
        from spark_cli.views.failures import traceback_of

        tell_lines(traceback_of(error))
    return 1


def _flushed(words: list[str]) -> int:
    """The exit code, once the result is written as well."""
    try:
        code = _run(words)
    except SystemExit:
        flush()
        raise
    flush()
    return code


def _have_streams() -> None:
    """Those that are closed read nothing, and drop what is written."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # until the process ends


def _write_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    if words in (["plugins"], ["plugins", "--json"]):
        # The one command that is quicker than typer, which imports pydantic to read any arguments.
        from spark_cli.commands.plugins import show_plugins

        return 0 if show_plugins(as_json=len(words) == 2) else 1
    from spark_cli.app import app

    app(words, prog_name="spark")
    raise AssertionError("typer ends in SystemExit")
