"""The command as a whole: its subcommands, in the order in which the help lists them."""

from __future__ import annotations

from typing import Annotated, ClassVar

import typer

from spark_cli.examples import OF_CHECKPOINTS, OF_SPARK
from spark_cli.exit_codes import end
from spark_cli.group import Commands, Own
from spark_cli.options import Json, PluginName
from spark_cli.terminal.output import say


class _Spark(Commands):
    takes_extensions = True
    examples: ClassVar = OF_SPARK
    own: ClassVar = {
        "Run": {
            "run": Own("spark_cli.commands.run:run", "Run a graph, and print its result."),
            "submit": Own("spark_cli.commands.worker:submit", "Store a run, and leave it to a worker."),
            "worker": Own("spark_cli.commands.worker:worker", "Resume all runs of a store that can continue, until stopped."),
            "answer": Own("spark_cli.commands.messages:answer", "Show a graph's open questions, or answer them."),
            "send": Own("spark_cli.commands.messages:send", "Send a signal to a graph, whether or not it is running."),
            "drain": Own("spark_cli.commands.editing:drain", "Ask a run, in any process, to stop at its next boundary."),
        },
        "Look": {
            "runs": Own("spark_cli.commands.runs:runs", "Show the latest run of each graph."),
            "show": Own("spark_cli.commands.show:show_run", "Show the latest run of a graph."),
            "checkpoints": Own("", "List, show, compare, copy and delete checkpoints."),
            "graph": Own("spark_cli.commands.graph:draw", "Draw a graph."),
        },
        "Change what a run continues from": {
            "edit": Own("spark_cli.commands.editing:edit", "Change what the next run of a graph continues from."),
            "fork": Own("spark_cli.commands.editing:fork", "Begin another graph id, or a branch, from a checkpoint."),
        },
        "Maintain": {
            "doctor": Own("spark_cli.commands.doctor:examine", "Find damage and leftovers in a store, and repair it."),
            "plugins": Own("spark_cli.app:show_plugins", "Show what plugins provide, and their status."),
        },
    }  # fmt: skip


class _Checkpoints(Commands):
    examples: ClassVar = OF_CHECKPOINTS
    own: ClassVar = {
        "Look": {
            "list": Own("spark_cli.commands.listing:list_checkpoints", "List checkpoints, graph by graph, oldest first."),
            "show": Own("spark_cli.commands.checkpoints:show", "Show one checkpoint with its state, or one value of it."),
            "diff": Own("spark_cli.commands.checkpoints:diff", "Show the differences between two checkpoints."),
            "verify": Own("spark_cli.commands.doctor:verify", "Load every checkpoint, and name damaged ones."),
        },
        "Delete": {
            "delete": Own("spark_cli.commands.deleting:delete", "Delete checkpoints, by id or all of a graph."),
            "prune": Own("spark_cli.commands.deleting:prune", "Delete old checkpoints of each graph."),
            "forget": Own("spark_cli.commands.deleting:forget", "Remove every trace of a graph."),
        },
        "Copy": {
            "copy": Own("spark_cli.commands.transfer:copy", "Copy checkpoints to another store, unchanged."),
            "export": Own("spark_cli.commands.transfer:export", "Write checkpoints to one file, unchanged."),
            "import": Own("spark_cli.commands.transfer:import_", "Store the checkpoints of an exported file, unchanged."),
        },
    }  # fmt: skip


# Plain help and plain errors: those of typer in colour take three times as long to come.
app = typer.Typer(
    name="spark",
    cls=_Spark,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success, 1 something failed or was found, 2 wrong usage or no such store, graph or checkpoint; "
    "spark run has more.",
)
store = typer.Typer(
    cls=_Checkpoints,
    help="List, show, compare, copy and delete checkpoints.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
store.callback()(lambda: None)
app.add_typer(store, name="checkpoints")


def _print_version(wanted: bool) -> None:
    if wanted:
        from spark_cli.versions import versions

        say(versions())
        raise typer.Exit


@app.callback()
def spark(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the installed versions and the number of plugins.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Run durable graphs, and manage their checkpoints."""


def show_plugins(name: PluginName = "", as_json: Json = False) -> None:
    """Show what plugins provide, and their status. Exit code 1 if a part is skipped, or two claim one name."""
    from spark_cli.commands import plugins  # which imports no typer, for those who come without

    end(fine=plugins.show_plugins(as_json, name=name))
