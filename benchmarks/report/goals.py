"""What must hold, what we aim at, and what was measured: a table of goals, from the figures of one run of the contest."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.contest.rows import ROWS, Row
from benchmarks.contest.table import Results
from benchmarks.measure import figure

Who = Literal["spark-graphs", "LangGraph", "floor"]
OURS: Who = "spark-graphs"


class Found:
    """The figures of one run, by row and size."""

    def __init__(self, results: Mapping[tuple[str, int], Results]) -> None:
        self._results = results
        self._rows: dict[str, Row] = {row.name: row for row in ROWS}

    def median(self, row: str, size: int = 0, *, who: Who = OURS) -> float:
        """In the row's unit.

        :raises KeyError: it was not measured.
        """
        return statistics.median(self._figures(row, size, who=who))

    def disk(self, row: str, size: int) -> float:
        """Ours, in MB."""
        return statistics.median(self._results[row, size][OURS].megabytes_on_disk())

    def beside(self, who: Who, row: str, size: int = 0) -> float:
        """Ours over theirs: the median of the rounds' ratios, in which both took turns."""
        pairs = zip(self._figures(row, size), self._figures(row, size, who=who), strict=False)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def _figures(self, row: str, size: int, *, who: Who = OURS) -> list[float]:
        found = self._results[row, size][who].in_units(self._rows[row])
        if not found:
            raise KeyError(row, size, who)
        return found


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure, and what it may come to."""

    at_most: float
    of: str
    """What it counts: ``us``, ``MB``, or ``× …``."""
    measured: Callable[[Found], float]

    def cells(self, found: Found) -> str:
        try:
            value = self.measured(found)
        except KeyError:
            return f"{self.at_most:g} {self.of} | not measured"
        verdict = "" if value <= self.at_most else ", **missed**"
        return f"{self.at_most:g} {self.of} | {figure(value)}{verdict}"


@dataclass(frozen=True, slots=True)
class Goal:
    work: str
    must: Limit
    aim: Limit | None = None

    def line(self, found: Found) -> str:
        aim = self.aim.cells(found) if self.aim else "– | –"
        return f"| {self.work} | {self.must.cells(found)} | {aim} |"


def _flat(work: str, row: str, *, large: int, theirs: str) -> Iterator[Goal]:
    """The same cost for large as for small, and less than the peer's; in SQLite, hardly more than a step's of its own."""
    yield Goal(
        work,
        Limit(1.3, "× the same at 100", lambda found: found.median(row, large) / found.median(row, 100)),
        None
        if row.endswith("memory")
        else Limit(
            1.3, "× a step with a state of 1 KB", lambda found: found.median(row, large) / found.median("short")
        ),
    )
    yield Goal(
        "the same, beside LangGraph", Limit(0.6, f"× {theirs}", lambda found: found.beside("LangGraph", row, large))
    )


def _peak(store: str, size: int) -> Goal:
    megabytes, largest = size / 1e6, size / 1e8
    return Goal(
        f"memory at the peak of a run over {megabytes:g} MB in 100 values, {'SQLite' if store == 'sqlite' else 'in memory'}",
        Limit(1.2, "× the state", lambda found: found.median(f"peak_{store}", size) / megabytes),
        Limit(
            1,
            "× the largest value, above the state",
            lambda found: (found.median(f"peak_{store}", size) - megabytes) / largest,
        ),
    )


GOALS = (
    *_flat(
        "a step that adds 1 KB to a list of 5,000, all steps kept, SQLite",
        "append",
        large=5_000,
        theirs="its `DeltaChannel`",
    ),
    Goal(
        "disk after 2,000 of these steps",
        Limit(16, "MB", lambda found: found.disk("append", 2_000)),
        Limit(10, "MB", lambda found: found.disk("append", 2_000)),
    ),
    *_flat("a branch of a fan-out to 10,000, each saved, SQLite", "branches_sqlite", large=10_000, theirs="its `Send`"),
    *_flat("an item of a map over 10,000, each saved, SQLite", "map_sqlite", large=10_000, theirs="its `Send`"),
    *_flat("the fan-out in memory", "branches_memory", large=10_000, theirs="its `Send`"),
    *_flat("the map in memory", "map_memory", large=10_000, theirs="its `Send`"),
    Goal(
        "a step and its checkpoint of 10 KB, in memory",
        Limit(20, "us", lambda found: found.median("memory")),
        Limit(12, "us", lambda found: found.median("memory")),
    ),
    Goal(
        "a step and its checkpoint of 10 KB, SQLite",
        Limit(1.5, "× a bare commit of the whole", lambda found: found.beside("floor", "sqlite")),
        Limit(1.2, "× a bare commit of the change", lambda found: found.beside("floor", "change")),
    ),
    Goal(
        "100 graphs at once, a checkpoint of 10 KB, SQLite",
        Limit(100, "us", lambda found: found.median("graphs", 100)),
        Limit(60, "us", lambda found: found.median("graphs", 100)),
    ),
    _peak("memory", 10_000_000),
    _peak("memory", 50_000_000),
    _peak("sqlite", 10_000_000),
    _peak("sqlite", 50_000_000),
)


def table(results: Mapping[tuple[str, int], Results]) -> Iterator[str]:
    """In Markdown."""
    found = Found(results)
    yield "| work | must be at most | measured | aim | measured |"
    yield "|---|---|---|---|---|"
    yield from (goal.line(found) for goal in GOALS)
