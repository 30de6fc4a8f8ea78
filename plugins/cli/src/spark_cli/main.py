"""Where the process begins, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from spark.errors import SparkError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; always ends in ``SystemExit``.

    :param arguments: those of the process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        raise SystemExit(_run(words))
    except SparkError as error:
        print(f"spark: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(f"spark: {note}", file=sys.stderr)
        raise SystemExit(1) from None


def _run(words: list[str]) -> int:
    if words in (["plugins"], ["plugins", "--json"]):
        # The one command that is quicker than typer, which to read any arguments imports pydantic as well.
        from spark_cli.plugin_report import report_plugins

        return 0 if report_plugins(as_json=len(words) == 2) else 1
    from spark_cli.app import app

    app(words)
    raise AssertionError("typer ends in SystemExit")
