"""Which checkpoints of a history belong to other branches? Each checkpoint says that of those before it.

A branch begins where a run continues from a checkpoint that is not the latest: what was made after that one is set aside. The
next checkpoints say so, in their metadata, as long as any of it is left. So what a run has to know of branches is in the
checkpoint that it continues, and a history without branches says nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

ASIDE: Final = "aside"
"""Under which name of a checkpoint's metadata it stands: ``"4-9,12-15"``."""
_LONGEST: Final = 200
"""What is longer would not be in a record's header."""
_RANGE: Final = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Aside:
    """Sequences that are those of other branches."""

    ranges: tuple[tuple[int, int], ...] = ()
    """The first and the last of neighbours, rising."""

    @classmethod
    def of(cls, text: str) -> Self:
        """What a checkpoint says; nothing where no run would write that."""
        if not text:
            return cls()
        found = [_RANGE.fullmatch(part) for part in text.split(",")]
        ranges = [(int(each[1]), int(each[2])) for each in found if each is not None]
        is_valid = len(ranges) == len(found) and all(first <= last for first, last in ranges)
        return cls(tuple(ranges) if is_valid and all(one[1] < other[0] for one, other in pairwise(ranges)) else ())

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, sequence: int) -> bool:
        return any(first <= sequence <= last for first, last in self.ranges)

    def __str__(self) -> str:
        return ",".join(f"{first}-{last}" for first, last in self.ranges)

    def last_outside(self, sequences: Sequence[int], before: int) -> int:
        """The place of the last of these rising sequences, before that place, which is in no range; -1 if all are."""
        for first, last in reversed(self.ranges):
            if before and first <= sequences[before - 1] <= last:
                before = bisect_left(sequences, first, hi=before)
        return before - 1

    def with_range(self, first: int, last: int) -> Self:
        """The same with those from the first to the last.

        Where that would take more than a header has room for, neighbouring ranges become one: more is kept then, never less.
        """
        ranges = [*self.ranges, (first, last)] if first <= last else self.ranges
        made = type(self)(tuple(_merged(ranges, gap=0)))
        while len(str(made)) > _LONGEST:
            gap = min(other[0] - one[1] for one, other in pairwise(made.ranges)) - 1
            made = type(self)(tuple(_merged(made.ranges, gap=gap)))
        return made

    def only_with(self, sequences: Iterable[int]) -> Self:
        """Those ranges in which there are any of these sequences."""
        there = [*sequences]
        return type(self)(
            tuple([each for each in self.ranges if any(each[0] <= sequence <= each[1] for sequence in there)])
        )


def aside_in(metadata: Mapping[str, Any]) -> str:
    """What the metadata of a checkpoint say of other branches."""
    text = metadata.get(ASIDE)
    return text if isinstance(text, str) else ""


def _merged(ranges: Sequence[tuple[int, int]], *, gap: int) -> list[tuple[int, int]]:
    """The same ranges, rising, as one wherever at most this many sequences are between them."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first - merged[-1][1] <= gap + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
