"""Graphs in the order of their ids, from any id on, though S3 lists by key. Why this is so: docs/decisions/s3-backend.md.

The octets of ids make a tree. The keys of all ids that begin alike and continue with octets of one kind are one range: so are
``a`` to ``z``, and so are the escapes ``!7B`` to ``!FF``, which S3 lists elsewhere. Ranges are visited in the order of ids, and
listed when they are visited, unless they are known by then. A part of the tree that is known is sorted in memory.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias

from spark_backend_s3.listing.listed import BEYOND, ListedGraphs
from spark_backend_s3.names import (
    EMPTY,
    HASH,
    LONGEST_CUT,
    LONGEST_NAME,
    PLAIN,
    SHORTEST_CUT,
    cut,
    first_octet,
    is_hashed,
    octets_of,
    spell,
    unquote,
)
from spark_backend_s3.scan import Entry

Found: TypeAlias = tuple[str, Entry]
"""The id of a graph, and its newest record."""
Batch: TypeAlias = list[Found]
LongIds: TypeAlias = Callable[[Sequence[Entry]], Awaitable[Sequence[str | None]]]

_ID: Final = itemgetter(0)


@dataclass(frozen=True, slots=True)
class _Tree:
    """The graphs whose ids begin with these octets."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class _Range:
    """The graphs whose ids begin with these octets and continue with one of a range, which are all of one kind."""

    octets: bytes
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _One:
    """The graph whose id is these octets."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What was read ahead of the graphs whose ids begin with these octets, or of those before them."""

    octets: bytes


_Place: TypeAlias = _Tree | _Range | _One | _Ahead


class GraphWalk:
    """The graphs that have records and whose ids begin with a text, in the order of ids.

    :param listed: of the names that begin with ``beginning_of(prefix)``.
    :param after: only ids that come after this text.
    :param long_ids: reads the ids that keys don't tell; None for one that nothing tells.
    """

    def __init__(self, listed: ListedGraphs, *, prefix: str, after: str | None, long_ids: LongIds) -> None:
        self._listed = listed
        self._prefix = prefix
        self._after = after
        self._after_octets = None if after is None else octets_of(after)
        self._long_ids = long_ids
        self._ahead: Batch = []
        """Graphs whose names hold a hash, from where one of them may be the next."""
        self._to_visit: list[_Place] = []
        """The last of these comes first."""

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """All of them, some at a time."""
        octets = octets_of(self._prefix)
        self._to_visit = [_Ahead(octets), _Tree(octets)]
        if len(spell(octets)) > LONGEST_CUT:
            await self._read_ahead(cut(spell(octets)))
        while self._to_visit:
            place = self._to_visit.pop()
            if found := await self._visit(place):
                yield found

    async def _visit(self, place: _Place) -> Batch:
        match place:
            case _Tree(octets):
                return await self._visit_tree(octets)
            case _Range(octets, first, last):
                return await self._visit_range(octets, first, last)
            case _One(octets):
                name = spell(octets) or EMPTY
                entry = await self._listed.first(f"{name}/", f"{name}0", tree=name)
                return await self._in_order([entry] if entry else [])
            case _Ahead(octets):
                before = bisect_right(self._ahead, octets, key=lambda found: octets_of(found[0])[: len(octets)])
                batch, self._ahead = self._ahead[:before], self._ahead[before:]
                return batch

    async def _visit_tree(self, octets: bytes) -> Batch:
        name, after = spell(octets), self._after_octets
        has_cursor = after is not None and after.startswith(octets)
        if after is not None and after[: len(octets)] > octets:
            return []  # all of it comes before the cursor
        if not has_cursor and await self._listed.first(name, name + BEYOND, tree=name) is None:
            return []
        if (known := self._known(name, name, name + BEYOND)) is not None:
            return await self._in_order(known)
        if SHORTEST_CUT <= len(name) <= LONGEST_CUT:
            self._to_visit.append(_Ahead(octets))
            await self._read_ahead(name)
        beyond = after[len(octets) :] if after is not None and has_cursor else b""
        lowest = beyond[0] + 1 if beyond else 0
        if len(name) < LONGEST_NAME:
            runs = _RUNS if octets else _RUNS_AT_FIRST
            self._to_visit += [_Range(octets, max(first, lowest), last) for first, last in runs if last >= lowest]
            self._to_visit += [_Tree(octets + beyond[:1])] if beyond else []
        if not has_cursor:
            self._to_visit.append(_One(octets))
        return []

    async def _visit_range(self, octets: bytes, first: int, last: int) -> Batch:
        name = spell(octets)
        low, high = spell(octets + bytes([first])), spell(octets + bytes([last])) + BEYOND
        entry = await self._listed.first(low, high, tree=name)
        if entry is None:
            return []
        if (known := self._known(name, low, high)) is not None:
            return await self._in_order(known)
        octet = first_octet(entry.name[len(name) :])
        self._to_visit += [_Range(octets, octet + 1, last)] if octet < last else []
        self._to_visit.append(_Tree(octets + bytes([octet])))
        return []

    def _known(self, name: str, low: str, high: str) -> list[Entry] | None:
        """The graphs between two spots where all that is known, and no id that is to be read needs to be for their order."""
        known = self._listed.known(low, high)
        if known is None or (len(name) < SHORTEST_CUT and any(is_hashed(entry.name) for entry in known)):
            return None
        return known

    async def _in_order(self, entries: Sequence[Entry]) -> Batch:
        """These graphs, with those that were read ahead and come before the last of them."""
        hashed = [entry for entry in entries if is_hashed(entry.name)]
        found = [(unquote(entry.name), entry) for entry in entries if not is_hashed(entry.name)]
        found += zip(await self._long_ids(hashed), hashed, strict=True) if hashed else []
        batch = sorted(self._asked_for(found), key=_ID)
        if batch and self._ahead:
            before = bisect_left(self._ahead, batch[-1][0], key=_ID)
            batch, self._ahead = sorted(batch + self._ahead[:before], key=_ID), self._ahead[before:]
        return batch

    async def _read_ahead(self, name: str) -> None:
        """Read the ids of all graphs whose names are this one and a hash: which of them comes first, no key tells."""
        entries, low, high = list[Entry](), name + HASH, name + HASH + BEYOND
        while entry := await self._listed.first(low, high, tree=name):
            entries.append(entry)
            low = f"{entry.name}0"
        if entries:
            found = zip(await self._long_ids(entries), entries, strict=True)
            self._ahead = sorted([*self._ahead, *self._asked_for(found)], key=_ID)

    def _asked_for(self, found: Iterable[tuple[str | None, Entry]]) -> Batch:
        return [
            (graph_id, entry)
            for graph_id, entry in found
            if graph_id is not None
            and graph_id.startswith(self._prefix)
            and (self._after is None or graph_id > self._after)
        ]


def _runs(plain: Container[int]) -> list[tuple[int, int]]:
    """The ranges of octets that are spelt alike, from the highest to the lowest."""
    runs = [[*run] for _, run in groupby(range(256), key=lambda octet: octet in plain)]
    return [(run[0], run[-1]) for run in reversed(runs)]


_RUNS: Final = _runs(PLAIN)
_RUNS_AT_FIRST: Final = _runs(PLAIN - {ord(".")})
