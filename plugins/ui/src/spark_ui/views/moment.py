"""A run at one checkpoint: everything that its page shows of that moment but the differences and the tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spark.graphs.checkpoint import GraphCheckpoint, HistoryEntry
from spark_ui.views.failure import Failure, failure_of
from spark_ui.views.journal import Journal
from spark_ui.views.past import Line, Past, status_of
from spark_ui.views.pending import Work, work_of
from spark_ui.views.values import Shown, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where in a history a checkpoint is: what headers tell."""

    entry: HistoryEntry
    place: int
    """From 0."""
    count: int
    before: HistoryEntry | None
    """The checkpoint that it continues."""
    previous: int | None
    """The sequence of the one stored before it, on whatever line."""
    next: int | None
    line: Line
    lines: int
    """How many lines there are."""

    @property
    def is_latest(self) -> bool:
        """Whether it is the newest checkpoint of all."""
        return self.place == self.count - 1

    @property
    def steps(self) -> int:
        """How many steps were committed since the checkpoint before it."""
        before = (self.before.iteration or 0) if self.before is not None else 0
        return max(0, (self.entry.iteration or 0) - before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A run as it stood there."""

    position: Position
    status: str
    """As ``RunInfo.status`` has it: what the run was about to do, or why it had stopped."""
    work: Work
    journal: Journal
    failure: Failure | None
    result: Shown | None
    """What the last finishing node had returned by then."""
    result_node: str
    run_id: str
    origin: str | None
    """Of a fork: the checkpoint that it began with."""
    topology: Mapping[str, Any] | None
    note: str
    """What was given as the reason of an edit, or what its author added by hand."""


def position_of(past: Past, place: int) -> Position:
    """The checkpoint at one place of a history.

    :param place: from 0.
    """
    before = past.before[place]
    return Position(
        entry=past.entries[place],
        place=place,
        count=len(past),
        before=past.entries[before] if before is not None else None,
        previous=past.sequences[place - 1] if place else None,
        next=past.sequences[place + 1] if place + 1 < len(past) else None,
        line=past.lines[past.line_of[place]],
        lines=len(past.lines),
    )


def moment_of(
    checkpoint: GraphCheckpoint, position: Position, *, done: Iterable[str] = (), is_silent: bool = False
) -> Moment:
    """A run as a checkpoint, read raw, has it.

    :param done: the keys of nodes that are known to have completed by then.
    :param is_silent: nobody seems to work on it, so nothing of it is called running.
    """
    facts, frontier = checkpoint.execution_metadata, checkpoint.frontier
    status = status_of(position.entry)
    failure = failure_of(facts.get("error"))
    result = frontier.get("result") if isinstance(frontier, Mapping) else None
    topology = checkpoint.topology if isinstance(checkpoint.topology, Mapping) else None
    finished = [str(result.get("node"))] if isinstance(result, Mapping) else []
    pending = checkpoint.pending()
    failed_node = failure.node if failure is not None else None
    work = work_of(pending, status="silent" if is_silent else status, failed_node=failed_node, done=[*done, *finished])
    return Moment(
        position=position,
        status=status,
        work=_with_failure(work, failure, status),
        journal=Journal.of(pending, run=f"{checkpoint.graph_id}/{facts.get('run_id')}"),
        failure=failure,
        result=shown(result.get("content")) if isinstance(result, Mapping) else None,
        result_node=finished[0] if finished else "",
        run_id=str(facts.get("run_id") or ""),
        origin=checkpoint.origin,
        topology=topology,
        note=_note(facts),
    )


def _with_failure(work: Work, failure: Failure | None, status: str) -> Work:
    if failure is None or status != "failed" or not failure.node:
        return work
    marks = {**work.marks, failure.node: "failed"}
    return Work(work.pending, work.maps, marks, work.counts)


def _note(facts: Mapping[str, Any]) -> str:
    added = facts.get("metadata")
    note = facts.get("edit_reason") or (added.get("reason") if isinstance(added, Mapping) else None)
    by = facts.get("edited_by")
    return ", by ".join(each for each in (note, by) if isinstance(each, str) and each)
