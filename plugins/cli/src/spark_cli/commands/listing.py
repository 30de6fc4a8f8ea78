"""``spark checkpoints list``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from spark_cli.existing import check_graphs
from spark_cli.options import Json, Limit, OneGraph, Url
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import Line, Span, say_json, say_spans, tell
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.signs import MORE
from spark_cli.views.history import history

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, CheckpointManager, DamagedRecord, RunInfo

_OTHERS: Final = 4
"""Lines besides checkpoints: titles, a heading, what is left out, and the prompt."""
_FEWEST: Final = 5
_OF_EACH: Final = 5
"""So many checkpoints of each graph are shown, where there are several graphs and room is short."""


class _Found(NamedTuple):
    infos: list[CheckpointInfo]
    damaged: list[DamagedRecord]
    runs: dict[str, RunInfo]
    hidden: str = ""
    """What is left out, if anything."""


def list_checkpoints(
    graph_id: OneGraph = "",
    url: Url = "",
    limit: Limit = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Show the newest ones, newest first.")] = False,
    as_json: Json = False,
) -> None:
    """List checkpoints, graph by graph, oldest first. On a terminal, it shows the latest ones, as many as fit."""
    height = None if as_json else Screen.of(sys.stdout).height
    if limit is None and height is not None and not newest_first:
        found = wait_for(_latest(url, graph_id, max(height - _OTHERS, _FEWEST)))
    else:
        found = wait_for(_all(url, graph_id, limit or None, newest_first, with_runs=not as_json))
    if as_json:
        say_json(found.infos)
    else:
        print_infos(found.infos, runs=found.runs)
        if found.hidden:
            say_spans([[Span(found.hidden, "dim")]])
    for damaged in found.damaged:
        tell(f"damaged: {damaged.reason}")
    if not found.infos and not found.damaged and not as_json:
        tell("spark: there are no checkpoints here.")


def print_infos(infos: Sequence[CheckpointInfo], *, runs: dict[str, RunInfo] | None = None) -> None:
    """Show checkpoints, graph by graph."""
    lines: list[Line] = history(infos, Screen.of(sys.stdout), now=datetime.now(UTC), runs=runs or {})
    say_spans(lines)


async def _all(url: str, graph_id: str, limit: int | None, newest_first: bool, *, with_runs: bool) -> _Found:
    """What was asked for."""
    from spark.graphs.checkpoint import CheckpointManager
    from spark.graphs.checkpoint.storage import CheckpointQuery

    query = CheckpointQuery(graph_id=graph_id or None, limit=limit, newest_first=newest_first, with_metadata=True)
    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        manager = CheckpointManager(store)
        listing = await manager.listing(query)
        runs = await _runs(manager, graph_id) if with_runs else {}
        return _Found(listing.infos, listing.damaged, runs)


async def _latest(url: str, graph_id: str, rows: int) -> _Found:
    """As much as fits so many rows: the latest checkpoints of one graph, or some of the first graphs."""
    from spark.graphs.checkpoint import CheckpointManager
    from spark.graphs.checkpoint.storage import CheckpointQuery

    async with opened_store(url) as store:
        await check_graphs(store, [graph_id])
        manager = CheckpointManager(store)
        ids = [graph_id] if graph_id else await manager.graph_ids(limit=rows + 1)
        most = rows if len(ids) == 1 else _OF_EACH
        found = _Found([], [], {})
        for id in ids:
            room = min(most, rows - len(found.infos) - len(found.runs))
            if room < 1:
                return found._replace(hidden=f"{MORE} more graphs; --limit 0 shows all, `spark runs` an overview")
            query = CheckpointQuery(graph_id=id, limit=room + 1, newest_first=True, with_metadata=True)
            listing = await manager.listing(query)
            found.infos.extend(listing.infos[:room][::-1])
            found.damaged.extend(listing.damaged)
            found.runs.update(await _runs(manager, id))
            if len(listing.infos) > room:
                found = found._replace(hidden=_EARLIER)
        return found


async def _runs(manager: CheckpointManager, graph_id: str) -> dict[str, RunInfo]:
    """By graph id how the latest run stands: of one graph, or of all."""
    found = await manager.runs(prefix=graph_id, limit=1 if graph_id else None)
    return {run.graph_id: run for run in found if not graph_id or run.graph_id == graph_id}


_EARLIER: Final = f"{MORE} and earlier ones; --limit 0 shows all"
