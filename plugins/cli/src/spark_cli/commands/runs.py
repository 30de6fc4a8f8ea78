"""``spark runs``: the latest run of each graph in a store, once, or again and again."""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final

import typer

from spark_cli.exit_codes import refuse
from spark_cli.options import Json, Limit, Url, not_a_url
from spark_cli.stores import opened_store, wait_for
from spark_cli.terminal.output import Line, Span, say_json, say_spans, tell
from spark_cli.terminal.screen import Screen
from spark_cli.views.overview import Sort, ordered, overview
from spark_cli.views.statuses import STATUSES, name_of

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointManager, RunInfo

_SHARE: Final = 10
"""Looking takes a tenth of the time at most."""


def _known(statuses: list[str]) -> list[str]:
    for unknown in (each for each in statuses if each not in STATUSES):
        raise typer.BadParameter(f"{unknown!r} is not a status; choose one of {', '.join(STATUSES)}.")
    return statuses


def runs(
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="GRAPH_ID",
            help="Show only graph ids that begin with this text.",
            show_default=False,
            callback=not_a_url,
        ),
    ] = "",
    url: Url = "",
    status: Annotated[
        list[str],
        typer.Option(
            metavar="STATUS", help=f"Show only this status: {', '.join(STATUSES)}. Repeat it for more.", callback=_known
        ),
    ] = [],  # noqa: B006
    sort: Annotated[Sort, typer.Option(help="need: runs that need a person come first.")] = Sort.NEED,
    limit: Limit = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="With --watch: the time between refreshes.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Show the latest run of each graph. Those that need a person come first.

    A run is silent when nobody claims it: it was killed, or runs without a claim.
    """
    if watch:
        if as_json or not Screen.of(sys.stdout).can_move:
            refuse("--watch changes a view in place, so it needs a terminal, and makes no JSON.")
        _watch(url, prefix, status, sort, limit, every)
        return
    found = ordered(wait_for(_once(url, prefix, status)), sort)
    if as_json:
        say_json(found[: limit or None])
    elif found:
        say_spans(_view(found, limit))
    else:
        tell("spark: there are no runs here." if not (prefix or status) else "spark: there are no such runs here.")


async def _once(url: str, prefix: str, statuses: Collection[str]) -> list[RunInfo]:
    from spark.graphs.checkpoint import CheckpointManager

    async with opened_store(url) as store:
        return await _found(CheckpointManager(store), prefix, statuses)


async def _found(manager: CheckpointManager, prefix: str, statuses: Collection[str]) -> list[RunInfo]:
    """Those whose status has one of these names; without names all."""
    asked = {"running" if name == "silent" else name for name in statuses} or None
    return [run for run in await manager.runs(asked, prefix=prefix) if not statuses or name_of(run) in statuses]


def _view(found: list[RunInfo], limit: int | None) -> list[Line]:
    return overview(found, Screen.of(sys.stdout), now=datetime.now(UTC), limit=limit)


def _watch(url: str, prefix: str, statuses: Collection[str], sort: Sort, limit: int | None, every: float) -> None:
    async def look_again_and_again() -> None:
        import asyncio

        from spark.errors import BackendError
        from spark.graphs.checkpoint import CheckpointManager
        from spark_cli.terminal.live import in_place

        async with opened_store(url) as store:
            with in_place(sys.stdout, stays=True) as show:
                lines: list[Line] = []
                while True:
                    began = monotonic()
                    try:
                        lines = _view(ordered(await _found(CheckpointManager(store), prefix, statuses), sort), limit)
                        show(lines)
                    except BackendError as error:
                        show([*lines, [Span(f"spark: {error}", "red")]])
                    await asyncio.sleep(max(every, _SHARE * (monotonic() - began)))

    try:
        wait_for(look_again_and_again())
    except KeyboardInterrupt:
        raise typer.Exit from None
