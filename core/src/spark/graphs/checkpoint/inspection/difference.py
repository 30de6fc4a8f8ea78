"""One difference between two checkpoints, and the part of long texts that differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from spark.graphs.checkpoint.inspection.alignment import blocks
from spark.graphs.checkpoint.serialization.raw_object import raw_data

Mark: TypeAlias = Literal[" ", "-", "+", "…"]
_AROUND: Final = 40
"""Characters of a long line that are shown before and after what differs in it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs, or items that stand one after the other in a list."""

    path: str
    """What leads to it: ``graph_state['order'].lines[3]``."""
    change: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None
    at: int | None = None
    """Where in the list at this path the items were added, or removed: ``after``, or ``before``, is the list of these. Positions
    of what was removed are those in the earlier list, all others those in the later one."""

    def to_data(self) -> dict[str, Any]:
        """It as plain data that JSON can express."""
        values = {"before": raw_data(self.before), "after": raw_data(self.after)}
        return {"path": self.path, "change": self.change, **values, "at": self.at}

    def lines(self, *, context: int = 2) -> list[tuple[Mark, str]]:
        """The part of two texts that differs: lines that were removed ``"-"`` and added ``"+"``, with some around them ``" "``.

        ``"…"`` stands for lines that are left out. In the place of a long line stands what differs in it. Without texts: nothing.

        :param context: so many lines around each difference.
        """
        if type(self.before) is not str or type(self.after) is not str or self.before == self.after:
            return []
        return [*_marked(self.before.split("\n"), self.after.split("\n"), context)]


def _marked(old: Sequence[str], new: Sequence[str], context: int) -> Iterator[tuple[Mark, str]]:
    for kind, old_from, old_to, new_from, new_to in blocks(old, new, key=lambda line: line):
        if kind == "equal":
            first = 0 if old_from == 0 else context
            last = 0 if old_to == len(old) else context
            if old_to - old_from <= first + last:
                yield from ((" ", line) for line in old[old_from:old_to])
                continue
            yield from ((" ", line) for line in old[old_from : old_from + first])
            yield "…", ""
            yield from ((" ", line) for line in old[old_to - last : old_to])
        elif old_to - old_from == new_to - new_from == 1:
            before, after = _cut(old[old_from], new[new_from])
            yield "-", before
            yield "+", after
        else:
            yield from (("-", line) for line in old[old_from:old_to])
            yield from (("+", line) for line in new[new_from:new_to])


def _cut(before: str, after: str) -> tuple[str, str]:
    """Two lines without most of what they begin and end with in common."""
    start = _same(before, after)
    end = min(_same(before[::-1], after[::-1]), len(before) - start, len(after) - start)
    return _part(before, start, end), _part(after, start, end)


def _part(line: str, start: int, end: int) -> str:
    first, last = max(0, start - _AROUND), min(len(line), len(line) - end + _AROUND)
    return f"{'…' if first else ''}{line[first:last]}{'…' if last < len(line) else ''}"


def _same(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
