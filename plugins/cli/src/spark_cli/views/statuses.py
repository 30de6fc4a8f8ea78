"""The statuses of runs: their names, signs and colours, and which of them need a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from spark_cli.terminal.output import Span
from spark_cli.terminal.signs import DOT

if TYPE_CHECKING:
    from spark.graphs.checkpoint import RunInfo


class Status(NamedTuple):
    """How runs of one status are shown."""

    name: str
    sign: str
    style: str
    meaning: str

    def span(self) -> Span:
        """Sign and name."""
        return Span(f"{self.sign} {self.name}", self.style)


_ALL: Final = (
    Status("damaged", "!", "red", "its latest checkpoint can't be read"),
    Status("failed", "✗", "red", "a node raised"),
    Status("budget", "■", "red", "a limit of its budget was reached"),
    Status("interrupted", "?", "yellow", "questions are open"),
    Status("silent", "◌", "magenta", "nobody claims it: it was killed, or runs without a claim"),
    Status("cancelled", "∅", "yellow", "it was cancelled"),
    Status("drained", "‖", "blue", "it was asked to stop"),
    Status("edited", "‖", "blue", "its state was edited, and it has not been resumed since"),
    Status("forked", "‖", "blue", "it was forked, and has not been resumed since"),
    Status("queued", "▫", "cyan", "it was submitted, and has not begun"),
    Status("running", "●", "cyan", "it is under way"),
    Status("waiting", "○", "cyan", "it waits for a time, a signal or a retry"),
    Status("manual", DOT, "dim", "its checkpoints were made by hand"),
    Status("completed", "✓", "green", "nothing is left to do"),
)
"""Those first that need a person first."""
STATUSES: Final = {status.name: status for status in _ALL}
RANKS: Final = {status.name: rank for rank, status in enumerate(_ALL)}
_UNKNOWN: Final = Status("unknown", "?", "dim", "")


def name_of(run: RunInfo) -> str:
    """The status as people are told it: a run that nobody claims may be under way or dead, so it is not called running."""
    return "silent" if run.status == "running" and run.owner is None else run.status


def status_of(name: str) -> Status:
    """How this status is shown, even one of a later release."""
    return STATUSES.get(name) or _UNKNOWN._replace(name=name)
