"""When is what stays the same put into a chunk, and which chunks are written again with it? Functions of sizes alone.

What a mapping has in its *tail* is written again by each checkpoint. A chunk is written once, and costs a blob. So what did not
change is kept in the tail until writing it again has cost as much as a blob does: the ski rental problem, where nobody knows how
long they will keep skiing, and who buys once the rent has come to the price pays at most twice of what would have been best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

_SMALLEST_BITS: Final = 12
"""All below 4 KB are of one level;"""
_BITS: Final = 4
"""then a level begins at each sixteenfold size."""
_MOST: Final = 64
"""From so many full chunks on, full ones are larger,"""
_GROWTH: Final = 4
"""this many times: then all are merged once, which is little for each byte that was added since the last time."""
_HOT: Final = 16
"""What has changed is put into a chunk at once where it comes to this many times the cost of a blob, which adds little then."""
_REFERENCE: Final = 16
"""Less than this part of the cost of a blob is never put into one: each later checkpoint refers to it, which costs too."""
_CONSTANT: Final = 32
"""What never changes is put there at once where it comes to this part of the cost of a blob,"""
_LEAST_CONSTANT: Final = 256
"""and to this: twice what stands for it then in the payload."""
_CHEAP: Final = 16 * 1024
"""Where a blob costs no more than that, it is written along with the record, and what is appended goes into one at once"""
_APPENDED: Final = 16
"""where it comes to this part of the cost: that takes about as long, and each item is stored once less."""


_SINGLE: Final = 64 * 1024
"""A chunk with one item of this size and more is not merged: the reference to it is small beside it."""


class Thresholds(NamedTuple):
    """Sizes on which it depends what becomes a chunk, all in bytes."""

    blob_cost: float = math.inf
    """As many as the store takes in the time that one more blob takes; infinite where it takes none."""
    worth: int = 2048
    """Less is never put into a chunk: the reference would take its place."""
    nested: int = 8 * 1024
    """From here on, a value that says what changed in it is a mapping or list of its own;"""
    compared: int = 32 * 1024
    """from here on, any list or dict is."""
    each: int = 100
    """Not if its items are smaller than this on average: to look at each would take longer than to write all."""
    largest: int = 2**20
    """Chunks of this size and more are not merged, unless there are very many."""
    appended: float = math.inf
    """So much that was appended to a list becomes a chunk at once: it seldom changes."""
    ratio: int = 16
    """So many chunks of one level become one of the next."""
    held: int = 2**17
    """So much that is new is held in memory once it is encoded. Of what is more, chunks are stored ahead of the record."""

    @classmethod
    def of_store(cls, blob_cost: int) -> Thresholds:
        """Those for a store with this ``CheckpointBackend.blob_cost``."""
        return cls(
            blob_cost,
            worth=max(cls._field_defaults["worth"], blob_cost // _REFERENCE),
            appended=blob_cost / _APPENDED if blob_cost <= _CHEAP else math.inf,
            held=max(cls._field_defaults["held"], blob_cost * _HOT),
        )


class ChunkSize(NamedTuple):
    """What a policy knows of a chunk."""

    live: int
    """Bytes of what is still in use."""
    dead: int
    """Bytes of what is not."""
    is_single: bool = False
    """It holds one item."""


def is_flush_due(thresholds: Thresholds, *, cold: int, rent: float) -> bool:
    """Whether what did not change goes into a chunk now.

    :param cold: the bytes of what is in the tail and did not change.
    :param rent: the bytes that were written again since it was last put into a chunk; this time is not among them.
    """
    return cold >= thresholds.worth and rent + cold >= thresholds.blob_cost


def is_large(thresholds: Thresholds, size: int) -> bool:
    """Whether an item is a chunk by itself, and at once."""
    return size >= max(thresholds.blob_cost, thresholds.worth)


def is_bought_at_once(thresholds: Thresholds, hot: float, *, is_constant: bool, is_growing: bool) -> bool:
    """Whether what has changed, or is new, goes into a chunk already now.

    :param hot: its bytes.
    :param is_constant: it is known that it won't change.
    :param is_growing: it was appended to a list.
    """
    if is_constant:
        return hot >= constant_from(thresholds)
    if is_growing and hot >= thresholds.appended:
        return True
    return hot >= max(thresholds.worth, thresholds.blob_cost * _HOT)


def least(thresholds: Thresholds, *, is_constant: bool, is_growing: bool) -> float:
    """Less than so many bytes in a tail never become a chunk."""
    if thresholds.blob_cost == math.inf:
        return math.inf
    if is_constant:
        return constant_from(thresholds)
    return min(thresholds.worth, thresholds.appended) if is_growing else thresholds.worth


def constant_from(thresholds: Thresholds) -> float:
    """From how many bytes on what never changes goes into a chunk at once."""
    return max(_LEAST_CONSTANT, thresholds.blob_cost / _CONSTANT)


def limit(thresholds: Thresholds, total: int) -> int:
    """The size of a full chunk: one that is not merged.

    :param total: the bytes of all items of the mapping.
    """
    size = thresholds.largest
    while size * _MOST < total:
        size *= _GROWTH
    return size


def level(size: int) -> int:
    """The level of a chunk."""
    return max(0, (size.bit_length() - _SMALLEST_BITS + _BITS - 1) // _BITS)


def to_rewrite(thresholds: Thresholds, chunks: Sequence[ChunkSize], *, written: int, limit: int) -> list[int]:
    """The places of the chunks of which what is live is written again, along with what becomes a chunk now.

    More than half of each is dead; or with the new one they are as many as make one of the next level.

    :param written: the bytes of what becomes a chunk; 0 where nothing does.
    """
    chosen = {place for place, chunk in enumerate(chunks) if chunk.dead > chunk.live}
    written += sum(chunks[place].live for place in chosen)
    levels: dict[int, list[int]] = {}
    for place, chunk in enumerate(chunks):
        if place not in chosen and chunk.live < (_SINGLE if chunk.is_single else limit):
            levels.setdefault(level(chunk.live), []).append(place)
    for each in sorted(levels):
        if len(levels[each]) + (0 < written < limit and level(written) == each) >= thresholds.ratio:
            chosen.update(levels[each])
            written += sum(chunks[place].live for place in levels[each])
    return sorted(chosen)


def divided(sizes: Iterable[int], *, limit: int) -> list[int]:
    """How many items each chunk gets, in their order: all but the last are full, and none holds more than that takes."""
    counts: list[int] = []
    room = 0
    for size in sizes:
        if room <= 0:
            counts.append(0)
            room = limit
        counts[-1] += 1
        room -= size
    return counts
