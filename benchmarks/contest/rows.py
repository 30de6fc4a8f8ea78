"""The rows of the table of peers: which work each participant does, and how much of it. Imports nothing of ours."""

from __future__ import annotations

import time
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
    """What is done, as the table says it."""
    unit: str
    """``us`` or ``ms``."""
    times: int
    """How many steps are run, or how often something is read, for one figure."""
    is_large: bool = False
    """Over the state of 10 MB instead of that of 10 KB."""
    history: int = 0
    """How many checkpoints the module's function ``fill`` makes before; 0 for none."""
    disk: str = ""
    """What the size of the job's folder afterwards is called, when it is a row of its own."""

    @property
    def needs_postgresql(self) -> bool:
        return "postgresql" in self.name


_CHECKPOINT = "a step and its checkpoint of 10 KB"
_LARGE = "a step and its checkpoint of 10 MB, of which 100 KB changed"

ROWS = (
    Row("loop", "a step of a one-node loop, no checkpoint", "us", 5_000),
    Row("memory", f"{_CHECKPOINT}, in memory", "us", 500),
    Row("sqlite", f"{_CHECKPOINT}, SQLite", "us", 200),
    Row("postgresql", f"{_CHECKPOINT}, PostgreSQL", "us", 200),
    Row("files", f"{_CHECKPOINT}, files", "us", 200),
    Row("large_sqlite", f"{_LARGE}, SQLite", "ms", 50, is_large=True, disk="disk after 50 of these steps"),
    Row("large_postgresql", f"{_LARGE}, PostgreSQL", "ms", 20, is_large=True),
    Row("latest", "loading the latest of 5,000 checkpoints, SQLite", "us", 50, history=5_000),
    Row("newest", "listing the newest 10 of 5,000 checkpoints, SQLite", "us", 50, history=5_000),
    Row("fan_out", "a fan-out to 100 and a join", "ms", 10),
    Row("imports", "a process that imports it", "ms", 1),
)
BRANCHES = 100
"""Of ``fan_out``."""


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
    branches: int = BRANCHES
    is_large: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """The values to begin with."""
        return state.large() if self.is_large else dict(state.SMALL)

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
        kept = self.marks[1:]
        return (kept[-1] - kept[0]) / (len(kept) - 1)


def next_value(value: Any) -> Any:
    """What a step makes of the key that changes."""
    return state.value_of(state.step_of(value) + 1, value)
