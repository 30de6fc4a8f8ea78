"""The command as a whole: its subcommands, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from spark.errors import SparkError
from spark_cli.commands import checkpoints, doctor, drawing, moving, plugins, running
from spark_cli.ending import FAILED, FINE

# Plain help and plain errors: those of typer in colour take three times as long to come.
app = typer.Typer(
    name="spark",
    help="Run graphs whose runs survive, and look after their checkpoints.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 fine, 1 something failed or was found, 2 wrong usage.",
)
store = typer.Typer(
    help="Look at the checkpoints in a store, move and remove them.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(store, name="checkpoints")

app.command("plugins")(plugins.show_plugins)
app.command("run")(running.run)
app.command("graph")(drawing.draw)
app.command("doctor")(doctor.examine)
store.command("list")(checkpoints.list_checkpoints)
store.command("show")(checkpoints.show)
store.command("diff")(checkpoints.diff)
store.command("delete")(checkpoints.delete)
store.command("prune")(checkpoints.prune)
store.command("verify")(doctor.verify)
store.command("copy")(moving.copy)
store.command("export")(moving.export)
store.command("import")(moving.import_)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; always ends in ``SystemExit``.

    :param arguments: those of the process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        # typer imports pydantic to read the arguments of any command, which takes longer than this one does.
        if words in (["plugins"], ["plugins", "--json"]):
            raise SystemExit(FINE if plugins.report_plugins(as_json=len(words) == 2) else FAILED)
        app(words)
    except SparkError as error:
        print(f"spark: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(f"spark: {note}", file=sys.stderr)
        raise SystemExit(FAILED) from None
