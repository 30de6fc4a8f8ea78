"""Many runs at a glance: a row for each, those on top that need a person, and how many have which status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from spark_cli.terminal.output import Line, Span
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.showing import counted
from spark_cli.terminal.signs import MORE
from spark_cli.terminal.tables import Column, table, wrapped
from spark_cli.terminal.times import age, due
from spark_cli.views.statuses import RANKS, name_of, status_of

if TYPE_CHECKING:
    from spark.graphs.checkpoint import RunInfo

_COLUMNS: Final = (
    Column(title="STATUS"),
    Column(title="GRAPH", shortest=16, middle=True),
    Column(title="NODE", gives_way=2, shortest=10, middle=True),
    Column(title="STEP", gives_way=3, right=True),
    Column(title="AGE", gives_way=1, right=True),
    Column(title="", gives_way=1, shortest=28),
    Column(title="OWNER", gives_way=4, shortest=12, middle=True),
)

_OTHERS: Final = 3
"""Lines besides rows and counts: the titles, how many are left out, and the prompt."""
_FEWEST: Final = 5
"""So many rows are shown on the lowest screen."""


class Sort(StrEnum):
    """What runs are sorted by."""

    NEED = "need"
    """Those first that need a person; of one status, those first that came to it last."""
    AGE = "age"
    """The newest first."""
    DUE = "due"
    """Those first that are due first."""
    ID = "id"
    STEP = "step"
    """Those first that have done most steps."""


_KEYS: Final[dict[Sort, Callable[[RunInfo], Any]]] = {
    Sort.NEED: lambda run: (RANKS.get(name_of(run), len(RANKS)), _newest_first(run), run.graph_id),
    Sort.AGE: lambda run: (_newest_first(run), run.graph_id),
    Sort.DUE: lambda run: (run.due is None, run.due and run.due.timestamp(), run.graph_id),
    Sort.ID: lambda run: run.graph_id,
    Sort.STEP: lambda run: (-run.iteration, run.graph_id),
}


def ordered(runs: Sequence[RunInfo], sort: Sort) -> list[RunInfo]:
    """The runs in this order."""
    return sorted(runs, key=_KEYS[sort])


def overview(runs: Sequence[RunInfo], screen: Screen, *, now: datetime, limit: int | None) -> list[Line]:
    """A table of the first of these runs, and how many of all have which status.

    :param limit: so many rows, 0 for all; None for as many as the screen has room for.
    """
    last = _counts(runs, screen)
    shown = runs[: _most(limit, screen, len(last)) or None]
    lines = table(_COLUMNS, [_row(run, now) for run in shown], screen)
    if len(shown) < len(runs):
        lines.append([Span(f"{MORE} {len(runs) - len(shown):,} more; --limit 0 shows all", "dim")])
    return [*lines, *last]


def _most(limit: int | None, screen: Screen, others: int) -> int:
    """How many rows there may be, where so many lines follow."""
    if limit is not None or screen.height is None:
        return limit or 0
    return max(screen.height - others - _OTHERS, _FEWEST)


def _counts(runs: Sequence[RunInfo], screen: Screen) -> list[Line]:
    """How many runs there are, and how many of them have which status."""
    found = Counter(map(name_of, runs))
    parts = [
        Span(f"{found[name]:,} {name}", status_of(name).style)
        for name in sorted(found, key=lambda name: RANKS.get(name, len(RANKS)))
    ]
    return wrapped(Span(f"{counted(len(runs), 'run')}: "), parts, screen)


def state_of(run: RunInfo, now: datetime) -> str:
    """What somebody wants to know besides the status: the error, how many questions are open, when the run is due."""
    parts = [run.error or "" if run.status not in ("edited", "forked") else ""]
    if run.questions:
        parts.append(counted(run.questions, "question"))
    if run.due is not None and run.status in ("waiting", "interrupted", "drained"):
        parts.append(due(run.due, now))
    return ", ".join(filter(None, parts))


def _row(run: RunInfo, now: datetime) -> list[Span]:
    status = status_of(name_of(run))
    return [
        status.span(),
        Span(run.graph_id),
        Span(run.node or ""),
        Span(f"{run.iteration:,}" if run.iteration else ""),
        Span(age(run.since, now)),
        Span(state_of(run, now), status.style if run.error else ""),
        Span(run.owner or "", "dim"),
    ]


def _newest_first(run: RunInfo) -> float:
    return -run.since.timestamp() if run.since is not None else 0.0
