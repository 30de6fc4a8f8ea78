"""Which items of two sequences belong together, in bounded time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, TypeAlias

Block: TypeAlias = tuple[str, int, int, int, int]
"""As difflib has them: ``"equal"``, ``"replace"``, ``"delete"`` or ``"insert"``, and where it begins and ends in both."""
_MOST_PAIRS: Final = 1_000_000
"""Of equal items, beyond which sequences are not aligned: that would take seconds."""


def blocks(before: Sequence[Any], after: Sequence[Any], *, key: Callable[[Any], Hashable]) -> Iterator[Block]:
    """What stays, goes and comes, in order. What is the same at both ends is found first.

    :param key: tells items apart; what has the same key may belong together.
    """
    old, new = [*map(key, before)], [*map(key, after)]
    shorter = min(len(old), len(new))
    first = next((place for place in range(shorter) if old[place] != new[place]), shorter)
    room = shorter - first
    last = next((place for place in range(room) if old[-1 - place] != new[-1 - place]), room)
    if first:
        yield "equal", 0, first, 0, first
    for kind, *places in _aligned(old[first : len(old) - last], new[first : len(new) - last]):
        yield kind, *(place + first for place in places)  # type: ignore[misc]
    if last:
        yield "equal", len(old) - last, len(old), len(new) - last, len(new)


def _aligned(old: list[Hashable], new: list[Hashable]) -> Sequence[Block]:
    if not old and not new:
        return []
    if not old or not new:
        return [("delete" if old else "insert", 0, len(old), 0, len(new))]
    counts = Counter(new)
    if sum(counts[each] for each in old) > _MOST_PAIRS:
        return [("replace", 0, len(old), 0, len(new))]
    return SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
