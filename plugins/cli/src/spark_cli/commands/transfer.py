"""``spark checkpoints copy | export | import``: records transferred as they are stored."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spark_cli.exit_codes import end, refuse
from spark_cli.options import Graphs, Json, Url
from spark_cli.output import say, say_json, tell
from spark_cli.progress import bar
from spark_cli.stores import opened_store, wait_for

if TYPE_CHECKING:
    from spark_cli.transfer import Outcome, Problem

File = Annotated[Path, typer.Argument(metavar="FILE", callback=Path.expanduser)]


def copy(
    graph_ids: Graphs = [],  # noqa: B006
    *,
    to: Annotated[str, typer.Option(metavar="URL", help="The store to copy to.")],
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Copy checkpoints to another store, unchanged. Done again, it resumes where it stopped."""
    _conclude(wait_for(_copy(url, to, graph_ids)), as_json)


async def _copy(url: str, to: str, graph_ids: list[str]) -> Outcome:
    from spark_cli.transfer import transfer

    with bar("copying") as report:
        async with opened_store(url) as source, opened_store(to) as target:
            if not target.persistent:
                refuse(f"{target.name!r} keeps nothing after this command.")
            return await transfer(source, target, graph_ids=graph_ids, report=report)


def export(file: File, graph_ids: Graphs = [], url: Url = "", as_json: Json = False) -> None:  # noqa: B006
    """Write checkpoints to one file, unchanged. Done again, it resumes where it stopped."""
    _conclude(wait_for(_export(url, file, graph_ids)), as_json)


async def _export(url: str, file: Path, graph_ids: list[str]) -> Outcome:
    from spark_cli.archive import Archive
    from spark_cli.transfer import transfer

    with bar("exporting") as report:
        async with opened_store(url) as source:
            with closing(Archive.write(file)) as archive:
                outcome = await transfer(source, archive, graph_ids=graph_ids, report=report)
                if outcome.conflicts:
                    tell(f"spark: {archive.partial} belongs to another store; remove it to start again.")
                else:
                    await archive.finish()
                return outcome


def import_(file: File, graph_ids: Graphs = [], url: Url = "", as_json: Json = False) -> None:  # noqa: B006
    """Store the checkpoints of an exported file, unchanged. Done again, it resumes where it stopped."""
    outcome, flaw = wait_for(_import(url, file, graph_ids))
    if flaw:
        tell(f"spark: {file} is damaged: {flaw}. What precedes the damage was imported.")
    _conclude(outcome, as_json, fine=not flaw)


async def _import(url: str, file: Path, graph_ids: list[str]) -> tuple[Outcome, str]:
    from spark_cli.archive import Archive
    from spark_cli.transfer import transfer

    with bar("importing") as report:
        async with opened_store(url) as target:
            with closing(Archive.read(file)) as archive:
                return await transfer(archive, target, graph_ids=graph_ids, report=report), archive.flaw


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
