"""Where the process begins, and where errors end."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from spark.errors import SparkError
from spark_cli.output import spelling_out, tell_lines


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; always ends in ``SystemExit``.

    :param arguments: those of the process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    with spelling_out():
        raise SystemExit(_tried(words))


def _tried(words: list[str]) -> int:
    try:
        return _run(words)
    except SparkError as error:
        for text in (str(error), *getattr(error, "__notes__", ())):
            tell_lines(f"spark: {text}")
    except BrokenPipeError:  # whoever read has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception:
        tell_lines(traceback.format_exc())
    return 1


def _run(words: list[str]) -> int:
    if words in (["plugins"], ["plugins", "--json"]):
        # The one command that is quicker than typer, which imports pydantic to read any arguments.
        from spark_cli.commands.plugins import show_plugins

        return 0 if show_plugins(as_json=len(words) == 2) else 1
    from spark_cli.app import app

    app(words)
    raise AssertionError("typer ends in SystemExit")
