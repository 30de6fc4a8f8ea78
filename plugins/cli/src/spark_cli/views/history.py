"""Checkpoints, graph by graph: what each was made for, where its run stood, and what it continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from spark_cli.terminal.output import Line, Span
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.showing import size
from spark_cli.terminal.tables import Column, table
from spark_cli.terminal.times import age
from spark_cli.views.statuses import STATUSES, name_of, status_of

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointInfo, RunInfo

_COLUMNS: Final = (
    Column(title="  CHECKPOINT", shortest=36, middle=True),
    Column(title="REASON", shortest=13),
    Column(title="STEP", gives_way=3, right=True),
    Column(title="NODE", gives_way=2, shortest=10, middle=True),
    Column(title="AGE", gives_way=1, right=True),
    Column(title="SIZE", gives_way=4, right=True),
    Column(title="", gives_way=1, shortest=20),
)


def history(
    infos: Sequence[CheckpointInfo], screen: Screen, *, now: datetime, runs: Mapping[str, RunInfo] = {}
) -> list[Line]:
    """A table of checkpoints, in which each graph has a heading.

    :param infos: with their metadata, graph by graph.
    :param runs: by graph id, how its latest run stands.
    """
    if not infos:
        return []
    titles, *lines = table(_COLUMNS, _rows(infos, now), screen)
    found: list[Line] = [titles]
    for graph_id, group in groupby(infos, key=lambda info: info.graph_id):
        own = [*group]
        found += [_heading(graph_id, runs.get(graph_id)), *lines[: len(own)]]
        del lines[: len(own)]
    return found


def reason_of(info: CheckpointInfo) -> Span:
    """What it was made for, with the sign and colour of the status that a run has then."""
    reason = "manual" if info.manual else str(_fact(info, "reason", str) or "")
    name = "by hand" if info.manual else reason
    if reason not in STATUSES:
        return Span(f"  {name}" if name else "")
    status = status_of(reason)
    return Span(f"{status.sign} {name}", status.style)


def _heading(graph_id: str, run: RunInfo | None) -> Line:
    if run is None:
        return [Span(graph_id, "bold")]
    return [Span(graph_id, "bold"), Span("  "), status_of(name_of(run)).span()]


def _rows(infos: Sequence[CheckpointInfo], now: datetime) -> list[list[Span]]:
    """A row for each; those of a graph stand together, in either order."""
    by_runs = {(info.graph_id, info.sequence) for info in infos if not info.manual}
    return [_row(info, now, _parent(info, by_runs)) for info in infos]


def _parent(info: CheckpointInfo, there: set[tuple[str, int]]) -> str:
    """What it continues, where that is not the checkpoint before it."""
    origin = _fact(info, "origin", str)
    if origin is not None:
        return f"fork of {origin}"
    between = range((info.parent or info.sequence) + 1, info.sequence)
    is_branch = any((info.graph_id, sequence) in there for sequence in between)
    return f"branch from {info.parent}" if is_branch and not info.manual else ""


def _row(info: CheckpointInfo, now: datetime, parent: str) -> list[Span]:
    iteration, error = _fact(info, "iteration", int), _error(info)
    why = _fact(info, "edit_reason", str)
    node = _fact(info, "error_node", str) or _fact(info, "last_node", str)
    return [
        Span(f"  {info.checkpoint_id}"),
        reason_of(info),
        Span(f"{iteration:,}" if iteration else ""),
        Span(node or ""),
        Span(age(info.timestamp, now)),
        Span(size(info.size)),
        Span(", ".join(filter(None, (why, error, parent))), "red" if error else ""),
    ]


def _error(info: CheckpointInfo) -> str:
    """Why the run failed, if it was made for that, and not by somebody who edited what was there then."""
    if _fact(info, "reason", str) in ("edited", "forked"):
        return ""
    kind, message = _fact(info, "error_type", str), _fact(info, "error_message", str)
    return ": ".join(filter(None, (kind, message)))


def _fact(info: CheckpointInfo, name: str, kind: type[Any]) -> Any:
    """What its metadata says; None when it does not, or says what can't be meant. Anybody may have written it."""
    value = info.metadata.get(name)
    return value if type(value) is kind else None
