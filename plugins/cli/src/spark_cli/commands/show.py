"""``spark show``: the latest run of one graph, with all that its store tells."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from spark_cli.existing import check_graphs
from spark_cli.exit_codes import refuse
from spark_cli.options import Graph, Json, Url
from spark_cli.running.endings import answer_command, command, question_data
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import plain, say_json, say_spans
from spark_cli.terminal.screen import Screen
from spark_cli.views.report import RunReport, report
from spark_cli.views.statuses import name_of

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointManager, HistoryEntry, PendingStep, RunInfo

_CAN_BE_RESUMED: Final = frozenset({"failed", "budget", "silent", "cancelled", "drained", "queued", "edited", "forked"})


def show_run(
    graph_id: Graph,
    url: Url = "",
    last: Annotated[int, typer.Option(min=0, metavar="COUNT", help="The number of latest checkpoints to show.")] = 10,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the whole stack of an error, and all pending steps.")
    ] = False,
    forks: Annotated[
        bool,
        typer.Option("--forks", help="Show graphs that were forked from it; reads the headers of the whole store."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the latest run of a graph. It shows status, error, questions, pending work, and its last checkpoints.

    The program's types are not needed.
    """
    found = wait_for(_found(url, graph_id, last, forks=forks))
    if as_json:
        say_json(_data(found))
        return
    screen = Screen.of(sys.stdout)
    lines = report(found, screen, now=datetime.now(UTC), verbose=verbose, commands=_commands(found, url))
    say_spans(lines, whole=True)  # its commands are there to be copied


async def _found(url: str, graph_id: str, last: int, *, forks: bool) -> RunReport:
    from spark.graphs.checkpoint import CheckpointManager, Usage

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        manager = CheckpointManager(store)
        run = await _run(manager, graph_id)
        history = await manager.history(graph_id)
        found = RunReport(
            run=run,
            questions=(),
            error=None,
            pending=None,
            usage=(await manager.usage([graph_id])).get(graph_id, Usage()),
            recent=[entry.info for entry in history[max(len(history) - last, 0) :] if entry.info is not None],
            branches=len({entry.branch for entry in history if entry.info is not None}),
            origin=next((entry.origin for entry in history if entry.origin), None),
            forks=await _forks(manager, history) if forks else None,
        )
        return await _with_content(manager, found)


async def _run(manager: CheckpointManager, graph_id: str) -> RunInfo:
    """Its latest run."""
    for run in await manager.runs(prefix=graph_id, limit=1):
        if run.graph_id == graph_id:
            return run
    return refuse(f"graph {graph_id!r} has no checkpoints, so nothing is known of its runs.")


async def _forks(manager: CheckpointManager, history: Sequence[HistoryEntry]) -> dict[str, str]:
    """The graph ids that began with one of these checkpoints, each with that checkpoint."""
    from spark.graphs.checkpoint.storage import CheckpointQuery

    own = {entry.checkpoint_id for entry in history}
    listing = await manager.listing(CheckpointQuery(with_metadata=True))
    origins = {info.graph_id: info.metadata.get("origin") for info in listing.infos if "origin" in info.metadata}
    return {graph_id: str(origin) for graph_id, origin in origins.items() if origin in own}


async def _with_content(manager: CheckpointManager, found: RunReport) -> RunReport:
    """The same with what only the latest checkpoint itself tells."""
    from spark.errors import SparkError

    if found.run.sequence is None:
        return found
    try:
        latest = await manager.load_checkpoint_at(found.run.graph_id, found.run.sequence, raw=True)
    except SparkError as error:
        return replace(found, unreadable=str(error))
    found = replace(found, error=latest.execution_metadata.get("error"), pending=latest.pending())
    with suppress(SparkError):  # a frontier that no run would write
        return replace(found, questions=latest.interrupts())
    return found


def _commands(found: RunReport, url: str) -> list[tuple[str, str]]:
    """What somebody may want to do, and how."""
    graph_id, status = found.run.graph_id, name_of(found.run)
    waits = [wait for group in found.pending.groups() for wait in group.waits] if found.pending is not None else []
    signals = dict.fromkeys(wait.name for wait in waits if wait.kind == "signal")
    commands = [("to send what it waits for", command("send", graph_id, name, "JSON", url=url)) for name in signals]
    if found.questions:
        commands.append(("to answer", answer_command(graph_id, [each.id for each in found.questions], url)))
    elif status in _CAN_BE_RESUMED:
        commands.append(("to resume it", command("run", "MODULE:GRAPH", "--resume", url=url)))
    elif status == "running":
        commands.append(("to stop it where it can be resumed", command("drain", graph_id, url=url)))
    return commands


def _data(found: RunReport) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "run": plain(found.run),
        "origin": found.origin,
        "forks": found.forks,
        "questions": [question_data(each) for each in found.questions],
        "error": found.error,
        "pending": [_step(each) for each in found.pending or ()],
        "checkpoints": found.recent,
        "branches": found.branches,
        "usage": found.usage,
        "unreadable": found.unreadable or None,
    }


def _step(step: PendingStep) -> dict[str, Any]:
    waits = [{"kind": each.kind, "name": each.name, "since": each.since, "due": each.due} for each in step.waits]
    return {"node": step.node, "state": step.state, "attempt": step.attempt, "item": step.item, "waits": waits}
