"""One run in detail: how it stands, what it waits for, why it failed, what is left to do, and its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from spark_cli.terminal.output import Line, Span
from spark_cli.terminal.screen import Screen
from spark_cli.terminal.showing import counted, map_line, size, summary
from spark_cli.terminal.signs import MORE
from spark_cli.terminal.tables import Column, table
from spark_cli.terminal.times import age, due, in_full
from spark_cli.views.failures import in_lines
from spark_cli.views.history import history
from spark_cli.views.statuses import name_of, status_of

if TYPE_CHECKING:
    from spark.graphs import Interrupt
    from spark.graphs.checkpoint import CheckpointInfo, JournalEntry, PendingGroup, PendingWork, RunInfo, Usage

_MOST: Final = 10
"""So many kinds of pending steps are shown."""
_IN: Final = "  "


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What is known of the latest run of a graph."""

    run: RunInfo
    questions: Sequence[Interrupt]
    error: Any
    """What its latest checkpoint records of the failure."""
    pending: PendingWork | None
    """The work that is left; None if nothing tells."""
    usage: Usage
    """What it takes up in the store."""
    recent: Sequence[CheckpointInfo]
    """Its last checkpoints, oldest first."""
    branches: int
    """How many lines of checkpoints its history has."""
    origin: str | None
    """Of a fork: the id of the checkpoint that it began with."""
    forks: Mapping[str, str] | None
    """The graph ids that began with one of its checkpoints, each with that one; None if nobody has looked."""
    unreadable: str = ""
    """Why its latest checkpoint can't be shown."""


def report(
    found: RunReport, screen: Screen, *, now: datetime, verbose: bool, commands: Sequence[tuple[str, str]]
) -> Iterator[Line]:
    """It in lines.

    :param verbose: the whole stack of an error, and all pending steps.
    :param commands: what can be done, and the command for it.
    """
    yield from _head(found, now)
    yield from _section("error", [[Span(line)] for line in in_lines(found.error, is_whole=verbose)])
    yield from _section("open questions", _questions(found.questions, now))
    yield from _section("pending", _pending(found, screen, now, None if verbose else _MOST))
    yield from _section(_title(found), _checkpoints(found, screen, now), indent="")
    yield from _section("forks", [[Span(f"{id}  from {origin}")] for id, origin in (found.forks or {}).items()])
    yield from _section("commands", [[Span(f"{purpose}: ", "dim"), Span(command)] for purpose, command in commands])


def _head(found: RunReport, now: datetime) -> Iterator[Line]:
    run = found.run
    status = status_of(name_of(run))
    since = f"  since {in_full(run.since)} UTC, {age(run.since, now)} ago" if run.since is not None else ""
    yield [Span(run.graph_id, "bold"), Span("  "), status.span(), Span(since)]
    yield [Span(f"{_IN}{found.unreadable or status.meaning}", status.style if found.unreadable else "dim")]
    place = [counted(run.iteration, "step")]
    place += [f"{'failed in' if run.error else 'last'} node {run.node}"] if run.node else []
    place += [f"owner {run.owner}"] if run.owner else []
    place += [f"run {run.run_id}"] if run.run_id else []
    yield [Span(f"{_IN}{', '.join(place)}")]
    if run.due is not None:
        yield [Span(f"{_IN}{due(run.due, now)}, at {in_full(run.due)} UTC", status.style)]
    if found.origin:
        yield [Span(f"{_IN}forked from {found.origin}")]


def _section(title: str, lines: Sequence[Line], *, indent: str = _IN) -> Iterator[Line]:
    if lines:
        yield []
        yield [Span(title, "bold")]
        for line in lines:
            yield [Span(indent), *line]


def _questions(questions: Sequence[Interrupt], now: datetime) -> list[Line]:
    lines: list[Line] = []
    for each in questions:
        lines.append(
            [Span(each.id, "yellow"), Span(f"  {each.node}, for {age(each.since, now)}: {summary(each.payload)}")]
        )
        if each.error:
            lines.append([Span(f"{_IN}the last answer was refused: {each.error}", "red")])
    return lines


def _pending(found: RunReport, screen: Screen, now: datetime, most: int | None) -> list[Line]:
    """Maps, and the other steps by what they wait for."""
    if found.pending is None:
        return []
    rows = [
        [Span(each.node), Span(_doing(each, now)), Span(f"{each.count:,} times" if each.count > 1 else "")]
        for each in found.pending.groups()
    ]
    columns = (Column(title="", shortest=12, middle=True), Column(title="", shortest=16), Column(title=""))
    lines = table(columns, rows[:most], screen.narrower(len(_IN)))[1:]
    more = (
        [[Span(f"{MORE} {len(rows) - most:,} more; --verbose shows them", "dim")]] if most and len(rows) > most else []
    )
    return [*([Span(line)] for line in map(map_line, found.pending.maps)), *lines, *more]


def _doing(steps: PendingGroup, now: datetime) -> str:
    """What they wait for."""
    if steps.state == "waiting":
        return ", ".join(_wait(each, steps, now) for each in steps.waits)
    if steps.state == "at_join":
        return "waits at a join"
    return "to be run" if steps.attempt == 1 else f"to be run, attempt {steps.attempt}"


def _wait(wait: JournalEntry, steps: PendingGroup, now: datetime) -> str:
    texts = {
        "interrupt": f"waits for the answer to {wait.name}",
        "signal": f"waits for the signal {wait.name}",
        "sleep": "waits for a time",
        "retry": f"waits for attempt {steps.attempt}",
    }
    if wait.due is None:
        return texts[wait.kind]
    return f"{texts[wait.kind]}, {'the first ' if steps.count > 1 else ''}{due(steps.due or wait.due, now)}"


def _title(found: RunReport) -> str:
    """How many checkpoints there are, and what they take up."""
    usage = found.usage
    parts = [counted(usage.checkpoints, "checkpoint"), size(usage.bytes)]
    parts += [f"{usage.damaged:,} damaged"] if usage.damaged else []
    parts += [counted(found.branches, "branch", "branches")] if found.branches > 1 else []
    return ", ".join(parts)


def _checkpoints(found: RunReport, screen: Screen, now: datetime) -> list[Line]:
    """The last ones, without the heading that names the graph."""
    lines = history(found.recent, screen, now=now)
    return [line for index, line in enumerate(lines) if index != 1]
