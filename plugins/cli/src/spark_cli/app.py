"""The command as a whole: its subcommands, and their names."""

from __future__ import annotations

import typer

from spark_cli.commands import checkpoints, doctor, graph, messages, plugins, run, transfer
from spark_cli.exit_codes import end
from spark_cli.options import Json, PluginName

# Plain help and plain errors: those of typer in colour take three times as long to come.
app = typer.Typer(
    name="spark",
    help="Run durable graphs, and manage their checkpoints.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success, 1 something failed or was found, 2 wrong usage; spark run has more.",
)
store = typer.Typer(
    help="Show, copy, verify and delete the checkpoints in a store.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(store, name="checkpoints")

app.command("run")(run.run)
app.command("send")(messages.send)
app.command("answer")(messages.answer)
app.command("graph")(graph.draw)
app.command("doctor")(doctor.examine)
store.command("list")(checkpoints.list_checkpoints)
store.command("show")(checkpoints.show)
store.command("diff")(checkpoints.diff)
store.command("delete")(checkpoints.delete)
store.command("forget")(checkpoints.forget)
store.command("prune")(checkpoints.prune)
store.command("verify")(doctor.verify)
store.command("copy")(transfer.copy)
store.command("export")(transfer.export)
store.command("import")(transfer.import_)


@app.command("plugins")
def show_plugins(name: PluginName = "", as_json: Json = False) -> None:
    """Show what plugins provide. Exit code 1 when a part of one is skipped, or two claim one name."""
    end(fine=plugins.show_plugins(as_json, name=name))
