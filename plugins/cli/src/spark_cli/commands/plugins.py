"""``spark plugins``: what is installed, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from spark_cli.ending import end
from spark_cli.plugin_report import report_plugins


def show_plugins(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Show the installed plugins. Exit code 1 when one is broken, or two claim one name."""
    end(fine=report_plugins(as_json))
