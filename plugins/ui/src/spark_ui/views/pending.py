"""The pending work of a run at one moment: which nodes of the drawing are lit, and how; the same as lines of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from spark.graphs import MapProgress
from spark.graphs.checkpoint import JournalEntry, PendingGroup, PendingWork
from spark_ui.views.values import counted

_STRONGEST: Final = ("failed", "interrupted", "running", "waiting", "done")
"""Of several marks that a node could have, the first of these."""
_MARKS: Final = {
    "failed": "failed",
    "interrupted": "interrupted",
    "running": "running",
    "next": "waiting",
    "waiting": "waiting",
    "retry": "waiting",
    "at join": "waiting",
    "map": "running",
}
"""What a step is doing to the mark of its node."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The steps of one node that are doing the same."""

    node: str
    doing: str
    """``"running"``, ``"next"`` (it is executed when the run is resumed), ``"interrupted"``, ``"waiting"``, ``"retry"``,
    ``"at join"``, ``"map"`` or ``"failed"``."""
    count: int = 1
    what: str = ""
    """What they wait for: ``"signal paid"``; of a map how far it is."""
    since: datetime | None = None
    """Since when the first of them waits."""
    due: datetime | None = None
    """When the first of them continues by itself."""


@dataclass(frozen=True, slots=True)
class Work:
    """All pending work, and what the drawing shows of it."""

    pending: tuple[Pending, ...]
    maps: tuple[MapProgress, ...]
    marks: Mapping[str, str]
    """Node key to ``"running"``, ``"waiting"``, ``"interrupted"``, ``"failed"`` or ``"done"``."""
    counts: Mapping[str, str]
    """Node key to what stands beside it: ``"12 of 40"``, ``"3 waiting"``."""


def work_of(work: PendingWork, *, status: str, failed_node: str | None = None, done: Iterable[str] = ()) -> Work:
    """What is pending at a checkpoint.

    :param status: of the run at that moment, as ``RunInfo.status`` has it, or ``"silent"``.
    :param failed_node: the key of the node that the run failed in.
    :param done: the keys of nodes that are known to have completed.
    """
    idle = "running" if status == "running" else "next"
    each = [_pending(group, idle=idle, failed_node=failed_node) for group in work.groups()]
    pending = (*_together(each), *(_as_pending(map, idle) for map in work.maps if map.waiting))
    marks = _marks(pending, done=[*done, *work.sources])
    return Work(pending, work.maps, marks, _counts(pending, work.maps))


def _pending(group: PendingGroup, *, idle: str, failed_node: str | None) -> Pending:
    if group.state == "waiting":
        kinds = {wait.kind for wait in group.waits}
        doing = "interrupted" if "interrupt" in kinds else "retry" if "retry" in kinds else "waiting"
        what = ", ".join(dict.fromkeys(map(_what, group.waits)))
        return Pending(group.node, doing, group.count, what, group.since, group.due)
    if group.state == "at_join":
        return Pending(group.node, "at join", group.count, "arrived, and waits for the other branches")
    if group.node == failed_node and group.attempt > 1:
        return Pending(group.node, "failed", group.count, f"{counted(group.attempt - 1, 'attempt')} failed")
    return Pending(group.node, idle, group.count)


def _what(wait: JournalEntry) -> str:
    return {
        "interrupt": f"answer {wait.data.get('key') or wait.name}",
        "signal": f"signal {wait.name}",
        "sleep": "a time",
        "retry": "its next attempt",
    }[wait.kind]


def _together(each: Iterable[Pending]) -> list[Pending]:
    """One line for all steps of a node that are doing the same, whatever they wait for."""
    groups: dict[tuple[str, str], list[Pending]] = {}
    for one in each:
        groups.setdefault((one.node, one.doing), []).append(one)
    return [_one_line(node, doing, group) for (node, doing), group in groups.items()]


def _one_line(node: str, doing: str, group: list[Pending]) -> Pending:
    what = list(dict.fromkeys(one.what for one in group if one.what))
    shown = ", ".join(what[:3]) + (f" and {len(what) - 3:,} more" if len(what) > 3 else "")
    since = min((one.since for one in group if one.since is not None), default=None)
    due = min((one.due for one in group if one.due is not None), default=None)
    return Pending(node, doing, sum(one.count for one in group), shown, since, due)


def _as_pending(map: MapProgress, idle: str) -> Pending:
    what = f"each {map.key}: {map.done:,} of {map.total:,} done, {map.running:,} under way, {map.waiting:,} not begun"
    return Pending(map.node, "map" if idle == "running" else "next", what=what)


def _marks(pending: Iterable[Pending], *, done: Iterable[str]) -> dict[str, str]:
    marks = dict.fromkeys(done, "done")
    for one in pending:
        mark = _MARKS[one.doing]
        if _STRONGEST.index(mark) < _STRONGEST.index(marks.get(one.node, "done")) or one.node not in marks:
            marks[one.node] = mark
    return marks


def _counts(pending: Iterable[Pending], maps: Iterable[MapProgress]) -> dict[str, str]:
    counts: dict[str, str] = {}
    for one in pending:
        if one.count > 1:
            words = {"running": "running", "at join": "arrived", "failed": "failed"}.get(one.doing, "waiting")
            counts[one.node] = f"{one.count:,} {words}"
    totals: dict[str, list[int]] = {}
    for map in maps:
        before = totals.get(map.node, [0, 0])
        totals[map.node] = [before[0] + map.done, before[1] + map.total]
    return counts | {node: f"{done:,} of {total:,}" for node, (done, total) in totals.items()}
