"""``spark checkpoints copy | export | import``: records transferred as they are stored."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spark_cli.existing import check_graphs, refuse_graph
from spark_cli.exit_codes import confirm, end
from spark_cli.options import Graphs, Json, Url, Yes
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import say, say_json, tell
from spark_cli.terminal.progress import bar
from spark_cli.terminal.showing import counted

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend
    from spark_cli.copying.transfer import Outcome, Place, Problem

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file.", callback=Path.expanduser)]


def copy(
    graph_ids: Graphs = [],  # noqa: B006
    *,
    to: Annotated[str, typer.Option(metavar="URL", help="The store to copy to, created if it does not exist.")],
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Copy checkpoints to another store, unchanged. Repeat it to resume where it stopped.

    Nothing in the target is replaced. It asks before it adds to graphs that the target has already.
    """
    _conclude(wait_for(_copy(url, to, graph_ids, yes=yes)), as_json)


async def _copy(url: str, to: str, graph_ids: list[str], *, yes: bool) -> Outcome:
    async with opened_store(url) as source:
        await check_graphs(source, graph_ids)
        async with opened_store(to, create=True) as target:
            return await _transferred(source, target, graph_ids, yes=yes, doing="copying")


def export(file: File, graph_ids: Graphs = [], url: Url = "", as_json: Json = False) -> None:  # noqa: B006
    """Write checkpoints to one file, unchanged. Repeat it to resume where it stopped."""
    _conclude(wait_for(_export(url, file, graph_ids)), as_json)


async def _export(url: str, file: Path, graph_ids: list[str]) -> Outcome:
    from spark_cli.copying.archive import Archive
    from spark_cli.copying.transfer import transfer

    with bar("exporting") as report:
        async with opened_store(url) as source:
            await check_graphs(source, graph_ids)
            await source.graph_ids(limit=1)  # before a file is begun
            with closing(Archive.write(file)) as archive:
                outcome = await transfer(source, archive, graph_ids=graph_ids, report=report)
                if outcome.conflicts:
                    tell(f"spark: {archive.partial} belongs to another store; remove it to start again.")
                else:
                    await archive.finish()
                return outcome


def import_(
    file: File,
    graph_ids: Graphs = [],  # noqa: B006
    url: Url = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Store the checkpoints of an exported file, unchanged. Repeat it to resume where it stopped.

    Nothing in the store is replaced. It asks before it adds to graphs that the store has already.
    """
    outcome, flaw = wait_for(_import(url, file, graph_ids, yes=yes))
    if flaw:
        tell(f"spark: {file} is damaged: {flaw}. What precedes the damage was imported.")
    _conclude(outcome, as_json, fine=not flaw)


async def _import(url: str, file: Path, graph_ids: list[str], *, yes: bool) -> tuple[Outcome, str]:
    from spark_cli.copying.archive import Archive

    with closing(Archive.read(file)) as archive:
        known = {info.graph_id for info in (await archive.list()).infos}
        for graph_id in graph_ids:
            if graph_id not in known:
                refuse_graph(graph_id, known, where=f"in {file}")
        async with opened_store(url, create=True) as target:
            return await _transferred(archive, target, graph_ids, yes=yes, doing="importing"), archive.flaw


async def _transferred(
    source: Place, target: CheckpointBackend, graph_ids: list[str], *, yes: bool, doing: str
) -> Outcome:
    """Copy, once a person has agreed that this adds to what the target has."""
    from spark_cli.copying.transfer import transfer

    if not yes:
        wanted = {*graph_ids} or {info.graph_id for info in (await source.list()).infos}
        there = len(wanted & {*(await target.graph_ids())})
        if there:
            confirm(f"The target already has {there:,} of {counted(len(wanted), 'graph')}. Add what is missing there?")
    with bar(doing) as report:
        return await transfer(source, target, graph_ids=graph_ids, report=report)


def _problems_of(outcome: Outcome) -> list[tuple[str, list[Problem]]]:
    return [
        ("in conflict", outcome.conflicts),
        ("damaged", outcome.damaged),
        ("not readable here", outcome.unreadable),
    ]


def _conclude(outcome: Outcome, as_json: bool, *, fine: bool = True) -> None:
    if as_json:
        say_json(outcome)
    else:
        say(f"{outcome.copied} copied, {outcome.present} already there")
    for what, problems in _problems_of(outcome):
        for each in problems:
            tell(f"spark: checkpoint {each.checkpoint_id!r} is {what}: {each.reason}")
    for damaged in outcome.unlisted:
        tell(f"spark: damaged, and not copied: {damaged.reason}")
    for graph_id in sorted({each.graph_id for each in outcome.conflicts}):
        tell(f"spark: nothing more of graph {graph_id!r} was copied, so that histories are not mixed.")
    end(fine=fine and outcome.is_fine)
