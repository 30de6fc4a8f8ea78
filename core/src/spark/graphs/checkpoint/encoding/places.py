"""Places: numbers that order the items of a mapping or a list, wherever each is stored. An item keeps its own while it can.

Places are whole numbers, with gaps where something was removed; what is inserted gets a number in between, a fraction if need be.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

Place: TypeAlias = "int | float"


def arranged(wanted: Sequence[Place | None]) -> list[Place]:
    """A place for each item of a sequence, rising. As many as possible keep the one that they have.

    :param wanted: the places that the items have; None for one that is new.
    """
    kept = _rising(wanted)
    while True:
        places, crowded = _numbered(kept)
        if crowded is None:
            return places
        # No number is left there: whatever is on the shorter side gets new ones.
        after = 2 * crowded >= len(kept)
        kept = [place if (at < crowded) is after else None for at, place in enumerate(kept)]


def between(low: Place | None, high: Place | None, count: int) -> list[Place] | None:
    """So many rising numbers between two, whole ones where possible; None where there are not so many.

    :param low: None for no lower bound.
    :param high: None for no upper bound.
    """
    if high is None:
        first = 0 if low is None else math.floor(low) + 1
        return list(range(first, first + count))
    if low is None:
        last = math.ceil(high)
        return list(range(last - count, last))
    first, last = math.floor(low) + 1, math.ceil(high)
    if last - first >= count:
        return list(range(first, first + count))
    step = (high - low) / (count + 1)
    found = [_spelled(low + step * number) for number in range(1, count + 1)]
    bounded = [low, *found, high]
    return found if all(one < other for one, other in pairwise(bounded)) else None


def _spelled(place: float) -> Place:
    """The one way to write a number: a whole one without a fraction."""
    return int(place) if place.is_integer() else place


def compact(places: Sequence[Place]) -> Sequence[Place]:
    """The same rising places; a range, which takes no memory, where they are whole numbers that follow one another."""
    if places and places[-1] - places[0] == len(places) - 1 and {int}.issuperset(map(type, places)):
        return range(int(places[0]), int(places[-1]) + 1)
    return places


def runs(places: Sequence[Place]) -> list[Place | list[int]]:
    """Places as they are stored: neighbouring whole numbers as the first of them and their count, all others one by one."""
    found: list[Place | list[int]] = []
    start = 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1 or type(places[start]) is not int:
            first = places[start]
            found.append(first if end == start + 1 or type(first) is not int else [first, end - start])
            start = end
    return found


def _rising(wanted: Sequence[Place | None]) -> list[Place | None]:
    """The same, without those that are not in the longest part that is in order."""
    ends: list[Place] = []  # of the best part of each length, the smallest last place
    at_end: list[int] = []
    before: dict[int, int] = {}
    for at, place in enumerate(wanted):
        if place is None:
            continue
        length = bisect_left(ends, place)
        if length:
            before[at] = at_end[length - 1]
        ends[length : length + 1] = [place]
        at_end[length : length + 1] = [at]
    kept: list[Place | None] = [None] * len(wanted)
    current = at_end[-1] if at_end else None
    while current is not None:
        kept[current] = wanted[current]
        current = before.get(current)
    return kept


def _numbered(kept: Sequence[Place | None]) -> tuple[list[Place], int | None]:
    """The places, new ones among them; and where there is no number left, if there is such a spot."""
    places: list[Place] = []
    start = 0
    while start < len(kept):
        own = kept[start]
        if own is not None:
            places.append(own)
            start += 1
            continue
        end = next((at for at in range(start, len(kept)) if kept[at] is not None), len(kept))
        new = between(places[-1] if places else None, kept[end] if end < len(kept) else None, end - start)
        if new is None:
            return places, start
        places += new
        start = end
    return places, None
