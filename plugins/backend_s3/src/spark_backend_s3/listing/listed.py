"""What one call has listed of a store: which graphs have records, and in which ranges of keys that is known."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from spark_backend_s3.names import Keys, is_hashed, unquote
from spark_backend_s3.objects import PAGE, Objects
from spark_backend_s3.scan import FEW, Entry, entry_of

BEYOND = "~"
"""Comes after every character that a name has."""


class ListedGraphs:
    """The graphs below one prefix of keys that have records, listed as far as somebody asks.

    A *spot* is what the keys of one graph begin with, below that prefix: ``"my_graph/"``.

    :param start: what the spots begin with that are listed at all.
    """

    def __init__(self, objects: Objects, keys: Keys, start: str, *, action: str) -> None:
        self._objects = objects
        self._keys = keys
        self._start = start
        self._action = action
        self._newest: dict[str, Entry] = {}
        self._spots: list[str] = []
        self._ranges: list[tuple[str, str]] = []
        """Of spots, that are known, in order: from the first text up to the second one."""
        self._seen_to: dict[str, str] = {}
        """The spot of a graph of which nothing but emptied places is listed yet, to the last key of these."""

    async def first(self, low: str, high: str, *, tree: str) -> Entry | None:
        """The newest record of the first graph whose spot is not below ``low`` and below ``high``; None where there is none.

        :param tree: what all spots there begin with.
        """
        while low < high:
            known_to = self._known_to(low)
            if known_to is None:
                await self._list_at(low, high, tree=tree)
                continue
            at = bisect_left(self._spots, low)
            if at < len(self._spots) and self._spots[at] < min(known_to, high):
                return self._newest[self._spots[at]]
            low = known_to
        return None

    def known(self, low: str, high: str) -> list[Entry] | None:
        """The newest records of all graphs between, in the order of keys; None where not all of that is listed yet."""
        known_to = self._known_to(low)
        if known_to is None or known_to < high:
            return None
        return [
            self._newest[spot] for spot in self._spots[bisect_left(self._spots, low) : bisect_left(self._spots, high)]
        ]

    def _known_to(self, spot: str) -> str | None:
        at = bisect_right(self._ranges, (spot, BEYOND)) - 1
        return self._ranges[at][1] if at >= 0 and spot < self._ranges[at][1] else None

    async def _list_at(self, spot: str, high: str, *, tree: str) -> None:
        """List until a spot is known, with as few requests as may be: what lies around it will be asked for, too."""
        if self._ranges and self._known_to(self._start) is None and not self._is_end(spot):
            await self._list_from(self._start, high, limit=PAGE)  # of a small store, that is all
        elif (end := self._end_in(tree)) is not None and end < spot:
            await self._list_from(end, high, limit=PAGE)
        if self._known_to(spot) is None and spot == f"{tree}/":
            await self._list_from(f"{tree}-", high, limit=FEW)  # hyphens and dots come before the slash
        if self._known_to(spot) is None:
            await self._list_from(spot, high, limit=PAGE if not self._ranges or self._is_end(spot) else FEW)

    def _is_end(self, spot: str) -> bool:
        return any(spot == known_to for _, known_to in self._ranges)

    def _end_in(self, tree: str) -> str | None:
        """Where what is known of a tree ends, if it is known from its beginning, and seems to be small."""
        known_to = self._known_to(tree)
        if known_to is None or bisect_left(self._spots, known_to) - bisect_left(self._spots, tree) > FEW:
            return None
        return known_to

    async def _list_from(self, spot: str, high: str, *, limit: int) -> None:
        """List a page from there on, and as much more as it takes to know whether its last graph has records."""
        graphs, known_to = self._keys.graphs, ""
        after = self._seen_to.get(spot, graphs + spot)
        while not known_to:
            page = await self._objects.page(graphs + self._start, action=self._action, limit=limit, after=after)
            for found in page.objects:
                self._add(entry_of(found, self._keys))
            if page.more is None:
                known_to = self._start + BEYOND
            elif page.objects:
                after, limit = page.objects[-1].key, PAGE
                name = self._keys.name_in(after)
                if f"{name}/" in self._newest:
                    known_to = f"{name}0"  # just after its keys: what is left of them is passed over
                elif f"{name}/" >= high:
                    known_to = f"{name}/"
                    self._seen_to[known_to] = after
        self._note(spot, max(known_to, spot))

    def _add(self, entry: Entry | None) -> None:
        spot = f"{entry.name}/" if entry else ""
        if entry and spot not in self._newest and (is_hashed(entry.name) or unquote(entry.name) is not None):
            self._newest[spot] = entry
            insort(self._spots, spot)

    def _note(self, low: str, high: str) -> None:
        """Note that a range is known. Ranges that touch become one."""
        apart = [each for each in self._ranges if each[1] < low or each[0] > high]
        touching = [each for each in self._ranges if each not in apart]
        low, high = min([low, *(each[0] for each in touching)]), max([high, *(each[1] for each in touching)])
        self._ranges = sorted([*apart, (low, high)])
