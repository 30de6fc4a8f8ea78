"""The rows of the table of peers: which work each participant does, and how much of it. Imports nothing of ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import state


@dataclass(frozen=True, slots=True)
class Row:
    """A piece of work that participants are compared by.

    A participant is a module with a function of this name for each row that it takes part in, plain or ``async``:
    it is handed a ``Job`` and returns the seconds that one piece of the work took.
    """

    name: str
    work: str
    """What is done, as the table says it; ``{size}`` stands for one of the sizes."""
    unit: str
    """``us``, ``ms``, or ``MB``: then not the time counts, but the memory that the work takes at its peak."""
    times: int = 1
    """How many steps are run, or how often something is read, for one figure."""
    sizes: tuple[int, ...] = ()
    """How large what grows is: a line of the table for each. None: nothing grows."""
    is_large: bool = False
    """Over a state of so many bytes as the size says, instead of that of 10 KB."""
    history: int = 0
    """How many checkpoints the module's function ``fill`` makes before; 0 for none."""
    disk: str = ""
    """What the size of the job's folder afterwards is called, when it is a row of its own."""
    rounds: int = 0
    """At most so many, where each takes long; 0 for as many as are asked for."""

    @property
    def needs_postgresql(self) -> bool:
        return "postgresql" in self.name

    @property
    def is_of_memory(self) -> bool:
        return self.unit == "MB"

    def said(self, text: str, size: int) -> str:
        """``work`` or ``disk`` with its size."""
        return text.format(size=f"{size / 1e6:g} MB" if self.is_large else f"{size:,}")


_CHECKPOINT = "a step and its checkpoint of 10 KB"
_LARGE = "a step and its checkpoint of {size}, of which 100 KB changed"
_LIST = "a step that adds a message of 1 KB to a list, and its checkpoint, all kept, SQLite, at {size} messages"
_BRANCH = "a branch of a fan-out to {size} and a join, with a checkpoint after each branch"
_MAPPED = "an item of a map over {size} and a join, with a checkpoint after each item"
_PEAK = "memory at the peak of a run over {size} in 100 values, of which one changes in each step"
_LENGTHS = (100, 400, 2_000, 5_000)
_WIDTHS = (100, 1_000, 3_000, 10_000)
_TEN_MB = (10_000_000,)

ROWS = (
    Row("loop", "a step of a one-node loop, no checkpoint", "us", 5_000),
    Row("memory", f"{_CHECKPOINT}, in memory", "us", 500),
    Row("sqlite", f"{_CHECKPOINT}, SQLite", "us", 200),
    Row("change", f"{_CHECKPOINT}, SQLite; the floor commits 100 bytes, which is what changed", "us", 200),
    Row("short", "a step and its checkpoint of a state of 1 KB, SQLite", "us", 200),
    Row("graphs", "a checkpoint of 10 KB of one of {size} graphs at once, SQLite", "us", 50, sizes=(100,)),
    Row("postgresql", f"{_CHECKPOINT}, PostgreSQL", "us", 200),
    Row("files", f"{_CHECKPOINT}, files", "us", 200),
    Row("append", _LIST, "us", sizes=_LENGTHS, disk="disk after {size} of these steps", rounds=3),
    Row(
        "rewrite",
        f"{_LIST}; the list is read, extended and set",
        "us",
        sizes=_LENGTHS,
        disk="disk after {size} of these steps",
        rounds=2,
    ),
    Row("branches_memory", f"{_BRANCH}, in memory", "us", sizes=_WIDTHS, rounds=3),
    Row("branches_sqlite", f"{_BRANCH}, SQLite", "us", sizes=_WIDTHS, rounds=3),
    Row("map_memory", f"{_MAPPED}, in memory", "us", sizes=(100, 1_000, 10_000), rounds=3),
    Row("map_sqlite", f"{_MAPPED}, SQLite", "us", sizes=(100, 1_000, 10_000), rounds=3),
    Row(
        "large_sqlite", f"{_LARGE}, SQLite", "ms", 50, sizes=_TEN_MB, is_large=True, disk="disk after 50 of these steps"
    ),
    Row("large_postgresql", f"{_LARGE}, PostgreSQL", "ms", 20, sizes=_TEN_MB, is_large=True),
    Row("peak_memory", f"{_PEAK}, in memory", "MB", 10, sizes=(10_000_000, 50_000_000), is_large=True, rounds=3),
    Row("peak_sqlite", f"{_PEAK}, SQLite", "MB", 10, sizes=(10_000_000, 50_000_000), is_large=True, rounds=3),
    Row("latest", "loading the latest of 5,000 checkpoints, SQLite", "us", 50, history=5_000),
    Row("newest", "listing the newest 10 of 5,000 checkpoints, SQLite", "us", 50, history=5_000),
    Row("fan_out", "a fan-out to {size} and a join", "ms", 10, sizes=(100,)),
    Row("imports", "a process that imports it", "ms"),
)
WARM = 100
"""The largest size of the round that does not count."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a participant is asked to do once."""

    times: int
    """How many steps to run, or how often to read."""
    folder: Path
    """An empty folder on a disk; of a row with a history, the one that ``fill`` filled."""
    name: str
    """No other job has it: an id for the run, in a store that is shared."""
    postgresql: str = ""
    """The URL of a database that is this participant's own."""
    history: int = 0
    """How many checkpoints ``fill`` has to make, or has made."""
    size: int = 0
    """How many messages, branches, items, graphs, or bytes of a large state."""
    is_large: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """The values to begin with."""
        return state.large(self.size) if self.is_large else dict(state.SMALL)

    def of(self, times: int) -> Job:
        """The same with so many steps."""
        return replace(self, times=times)

    def is_done(self, value: Any) -> bool:
        """Whether the run ends with this value of the key that changes."""
        return state.step_of(value) >= self.times


@dataclass(slots=True)
class Laps:
    """The steps of a run, timed from within: what starting and ending a run costs is left out."""

    marks: list[float] = field(default_factory=list)

    def mark(self) -> None:
        """A step begins."""
        self.marks.append(time.perf_counter())

    def seconds(self) -> float:
        """What one step took, with the checkpoint after it; the first, which also writes what never changes, is left out."""
        return self._mean(self.marks[1:])

    def seconds_at_the_end(self) -> float:
        """What one of the last steps took: of the last fifth, and of fifty at least."""
        return self._mean(self.marks[1:][-max(50, len(self.marks) // 5) :])

    @staticmethod
    def seconds_together(runs: Sequence[Laps]) -> float:
        """What one step took while all of these runs were under way, of which each had taken its first."""
        began, ended = max(run.marks[1] for run in runs), min(run.marks[-1] for run in runs)
        return (ended - began) / sum(began < mark <= ended for run in runs for mark in run.marks)

    @staticmethod
    def _mean(marks: list[float]) -> float:
        return (marks[-1] - marks[0]) / (len(marks) - 1)


def next_value(value: Any) -> Any:
    """What a step makes of the key that changes."""
    return state.value_of(state.step_of(value) + 1, value)
