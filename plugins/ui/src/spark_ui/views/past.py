"""The history of a run: one entry for each checkpoint, and which of them follow one another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from spark.graphs.checkpoint import HistoryEntry

ENDED: Final = frozenset({"queued", "completed", "interrupted", "waiting", "drained", "failed", "cancelled", "budget"})
"""Reasons for which a run makes its last checkpoint before it returns."""

EDITED: Final = frozenset({"edited", "forked"})
"""Reasons of checkpoints that no run has made."""


def status_of(entry: HistoryEntry) -> str:
    """The status of the run at a checkpoint, as ``RunInfo.status`` has it."""
    if entry.info is None:
        return "damaged"
    if entry.manual:
        return "manual"
    said = entry.info.metadata.get("status")  # of a checkpoint that was edited, or forked
    reason = said if isinstance(said, str) else entry.reason
    return reason if reason in ENDED or reason in EDITED else "running"


@dataclass(frozen=True, slots=True)
class Line:
    """Checkpoints that follow one another: what one execution of the run made, and what was resumed from its last one."""

    number: int
    """0 is the line that the newest checkpoint is on."""
    start: int | None
    """The sequence of the checkpoint, on another line, that it was resumed from; None where it begins at the beginning."""
    entries: tuple[int, ...]
    """Their places in the history, in order."""


class Past:
    """All stored checkpoints of one graph.

    :param entries: in the order of their sequences.
    """

    def __init__(self, entries: Sequence[HistoryEntry]) -> None:
        self.entries: Sequence[HistoryEntry] = entries
        self.sequences: list[int] = [entry.sequence for entry in entries]

    def __len__(self) -> int:
        return len(self.entries)

    def place_of(self, sequence: int) -> int | None:
        """Where in the history this checkpoint is; None where it is not, or no longer."""
        place = bisect_left(self.sequences, sequence)
        return place if place < len(self.sequences) and self.sequences[place] == sequence else None

    @cached_property
    def before(self) -> list[int | None]:
        """The place of the checkpoint before each: its parent, or where that was deleted, the last one left of its line."""
        return [self._before(entry, place) for place, entry in enumerate(self.entries)]

    @cached_property
    def line_of(self) -> list[int]:
        """The number of the line that each is on."""
        numbers = [0] * len(self.entries)
        for line in self.lines:
            for place in line.entries:
                numbers[place] = line.number
        return numbers

    @cached_property
    def lines(self) -> list[Line]:
        """The lines, the newest first."""
        lines: list[Line] = []
        taken = [False] * len(self.entries)
        for last in reversed(range(len(self.entries))):
            places: list[int] = []
            place: int | None = last
            while place is not None and not taken[place]:
                taken[place] = True
                places.append(place)
                place = self.before[place]
            if places:
                start = self.sequences[place] if place is not None else None
                lines.append(Line(len(lines), start, tuple(reversed(places))))
        return lines

    @cached_property
    def times(self) -> list[datetime]:
        """When each was made; of a damaged one, when the one before it was."""
        times: list[datetime] = []
        for entry in self.entries:
            times.append(entry.timestamp or (times[-1] if times else datetime.fromtimestamp(0, UTC)))
        return times

    def nodes_until(self, place: int) -> list[str]:
        """The keys of the nodes that are known to have completed on the way to a checkpoint."""
        found: dict[str, None] = {}
        at: int | None = place
        while at is not None:
            node = self.entries[at].node
            if node is not None and not self.entries[at].error:
                found[node] = None
            at = self.before[at]
        return [*found]

    def to_data(self, *, after: int = 0) -> dict[str, Any]:
        """The same for the slider, column by column: 5,000 checkpoints are about 200 KB.

        :param after: only those with a higher sequence.
        """
        first = bisect_left(self.sequences, after + 1)
        entries = self.entries[first:]
        nodes, reasons = _numbered([e.node for e in entries]), _numbered([e.reason for e in entries])
        return {
            "sequences": self.sequences[first:],
            "times": [round(time.timestamp() * 1000) for time in self.times[first:]],
            "iterations": [entry.iteration or 0 for entry in entries],
            "nodes": [*nodes],
            "node": [nodes[entry.node or ""] for entry in entries],
            "reasons": [*reasons],
            "reason": [reasons[entry.reason or ""] for entry in entries],
            "lines": self.line_of[first:],
            "branches": len(self.lines),
            "failed": [place for place, entry in enumerate(entries) if entry.reason == "failed"],
        }

    def _before(self, entry: HistoryEntry, place: int) -> int | None:
        if entry.parent is None:
            return place - 1 if entry.manual and place else None
        before = min(bisect_left(self.sequences, entry.parent + 1), place) - 1
        if before >= 0 and self.sequences[before] != entry.parent:
            before = entry.last_of_line(self.sequences, before + 1)
        return before if before >= 0 else None


def _numbered(texts: list[str | None]) -> dict[str, int]:
    """Each text, once, to its number."""
    return {text: number for number, text in enumerate(dict.fromkeys(each or "" for each in texts))}
