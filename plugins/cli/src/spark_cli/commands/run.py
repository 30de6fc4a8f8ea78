"""``spark run``: run a graph, watch it, and print its result."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spark_cli.answers import answer_of, inputs_of
from spark_cli.commands.worker import resume_once
from spark_cli.exit_codes import refuse
from spark_cli.options import Target, Url, not_a_url
from spark_cli.running.endings import WayOn
from spark_cli.targets import load_graph

if TYPE_CHECKING:
    from spark.graphs import Graph

_RESUME: Final = "Resume"
_MANY: Final = "Resume all that are due"
"""Groups of options."""


def run(
    target: Target,
    graph_id: Annotated[
        str,
        typer.Option(
            "--id",
            metavar="GRAPH_ID",
            callback=not_a_url,
            help="Run this graph id: MODULE:GRAPH is a function that makes the graph for a graph id.",
        ),
    ] = "",
    resume: Annotated[
        bool,
        typer.Option("--resume", rich_help_panel=_RESUME, help="Continue from the latest checkpoint, if there is one."),
    ] = False,
    resume_state: Annotated[
        bool,
        typer.Option(
            "--resume-state", rich_help_panel=_RESUME, help="Begin a new run in the state of the latest checkpoint."
        ),
    ] = False,
    inputs: Annotated[
        str,
        typer.Option("--input", metavar="JSON", help="Inputs of the start node, an object; - reads standard input."),
    ] = "",
    renamed: Annotated[
        list[str],
        typer.Option(
            "--rename",
            rich_help_panel=_RESUME,
            metavar="OLD=NEW",
            help="When resuming: the node OLD (a key, class or function) now has the key NEW.",
        ),
    ] = [],  # noqa: B006
    answers: Annotated[
        list[str],
        typer.Option(
            "--answer",
            rich_help_panel=_RESUME,
            metavar="ID=JSON",
            help="Resume the latest run with the answer to a question. Repeat it for more.",
        ),
    ] = [],  # noqa: B006
    start_from: Annotated[
        str,
        typer.Option(
            "--from",
            rich_help_panel=_RESUME,
            metavar="CHECKPOINT_ID",
            help="Continue from this checkpoint. If it is not the latest, this begins a branch.",
        ),
    ] = "",
    emitted: Annotated[
        bool,
        typer.Option("--emitted", help="Show what nodes send with context.emit instead of the progress."),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End when only times, signals and retries are left to wait for.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            metavar="SECONDS",
            help="The time that running nodes get to finish after SIGTERM or Ctrl-C.",
        ),
    ] = 20.0,
    due: Annotated[
        bool,
        typer.Option(
            "--due",
            rich_help_panel=_MANY,
            help="Resume all unfinished runs of the store that can continue now. MODULE:GRAPH makes the graph for a graph id.",
        ),
    ] = False,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", rich_help_panel=_MANY, min=1, metavar="COUNT", help="With --due: the number of runs at a time."
        ),
    ] = 8,
    url: Url = "",
) -> None:
    """Run a graph, and print its result. The result goes to standard output, as JSON; all other output to standard error.

    Checkpoints go to --url; without it, to the graph's own store, or else to the configured one. The first SIGTERM or Ctrl-C
    lets the run stop at its next boundary, a second one cancels it, and a third one kills the process.

    Exit codes: 0 completed, 1 failed, 2 wrong usage, 3 questions are open, 4 waiting, 75 stopped, to be resumed.
    """
    if due:
        if resume or resume_state or inputs or renamed or answers or no_wait or start_from or emitted or graph_id:
            refuse(
                "--due resumes runs with the inputs that they have; of the other options, it takes --limit, --grace and "
                "--url."
            )
        resume_once(target, url, limit=limit, grace=grace)
        return
    if resume_state and (resume or answers):
        refuse("give one of --resume, which finishes a run, and --resume-state, which begins another.")
    if start_from and (resume or resume_state or answers):
        refuse("--from already says what to resume: leave out --resume, --resume-state and --answer.")
    given = inputs_of(inputs) if inputs else None
    how = {
        "resume": dict(map(answer_of, answers)) or ("state" if resume_state else resume),
        "rename": dict(map(_pair, renamed)) or None,
        "wait": not no_wait,
    }
    from spark_cli.running.one_run import OneRun  # asyncio takes long to import

    with contextlib.redirect_stdout(sys.stderr):
        graph = _checkpointed(load_graph(target, graph_id=graph_id), url)
    way_on = WayOn(graph, target, graph_id=graph_id, url=url)
    run = OneRun(graph, way_on, given, how, start_from=start_from, emitted=emitted)
    run.carry_out(grace=grace)


def _checkpointed(graph: Graph, url: str) -> Graph:
    from spark.graphs.checkpoint import CheckpointConfig

    own = graph.checkpoint_config
    if url:
        # What else the configuration in force says does not hold for this store, so that it is not even read.
        return graph.with_checkpoints(replace(own or CheckpointConfig(), backend=url, enabled=True))
    if own is None and (config := CheckpointConfig.load()).backend is not None:
        return graph.with_checkpoints(config)
    return graph


def _pair(text: str) -> tuple[str, str]:
    old, _, new = text.partition("=")
    if not (old and new) or "=" in new:
        refuse(f"--rename {text!r} must be OLD=NEW: two keys of nodes, with one '=' between them.")
    return old, new
