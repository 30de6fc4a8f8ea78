"""The command as a whole: its subcommands, and their names."""

from __future__ import annotations

import typer

from spark_cli.commands import checkpoints, doctor, drawing, moving, plugins, running

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
store.command("forget")(checkpoints.forget)
store.command("prune")(checkpoints.prune)
store.command("verify")(doctor.verify)
store.command("copy")(moving.copy)
store.command("export")(moving.export)
store.command("import")(moving.import_)
