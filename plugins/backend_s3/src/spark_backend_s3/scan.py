"""What S3 lists of one graph, and how long that is trusted.

S3 lists by key, and keys are in falling order of sequence: the newest records come first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from spark.graphs import Clock
from spark_backend_s3.calls import SLOWEST
from spark_backend_s3.names import Keys
from spark_backend_s3.objects import PAGE, Listed, Objects

FEW: Final = 10
"""So many objects are asked for where only the newest matters."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as a listing shows it."""

    name: str
    """The quoted graph id."""
    sequence: int
    key: str
    etag: str
    size: int
    """In bytes."""


class PrefixScan:
    """The records whose keys begin with a prefix, a page at a time; of one graph, the newest first."""

    def __init__(self, objects: Objects, keys: Keys, prefix: str, *, action: str, after: str = "") -> None:
        """Nothing is listed yet.

        :param after: begin after this key.
        """
        self._objects = objects
        self._keys = keys
        self._prefix = prefix
        self._action = action
        self._after = after
        self._more: str | None = None
        self._is_at_end = False

    async def next_entries(self, *, limit: int = PAGE) -> list[Entry] | None:
        """The records on the next page; None when there is none.

        :param limit: how many objects to list.
        """
        if self._is_at_end:
            return None
        page = await self._objects.page(
            self._prefix, action=self._action, limit=limit, after=self._after, more=self._more
        )
        self._more, self._is_at_end = page.more, page.more is None
        return [entry for found in page.objects if (entry := entry_of(found, self._keys))]


class GraphScan:
    """The objects of one graph, listed from the newest end as far as somebody needs to see them."""

    def __init__(self, objects: Objects, keys: Keys, name: str, *, action: str) -> None:
        """Nothing is listed yet.

        :param name: the quoted graph id.
        """
        self.markers: dict[int, Listed] = {}
        """Sequence to the object whose name says: up to this one, no sequence may be used any more."""
        self.places: dict[int, Listed] = {}
        """Sequence, falling, to the object in the place of its record: an empty one where the record was deleted."""
        self.now: datetime | None = None
        """The time by the store's clock when it answered; None when it did not say."""
        self._objects = objects
        self._keys = keys
        self._name = name
        self._action = action
        self._more: str | None = None
        """What asks for the rest, None when this is all."""

    async def list_newest(self, *, limit: int = PAGE) -> None:
        """List all markers, and the newest places.

        :param limit: how many objects one request may list.
        """
        await self._list_page(limit=limit)
        while self._more and not self.places:
            await self._list_page(limit=limit)

    async def list_rest(self) -> None:
        """List everything that is not listed yet."""
        while self._more:
            await self._list_page()

    async def list_down_to(self, sequences: Collection[int]) -> None:
        """List the places of these sequences, leaving out what lies between."""
        reached = min(self.places, default=0) if self._more else 0
        while missing := [sequence for sequence in sequences if sequence < reached]:
            prefix, after = self._keys.graph(self._name), self._keys.before_record(self._name, max(missing))
            page = await self._objects.page(prefix, action=self._action, after=after)
            self._add(page.objects)
            last = self._keys.split_record(page.objects[-1].key) if page.objects else None
            reached = last[1] if page.more and last else 0

    @property
    def deleted_up_to(self) -> int:
        """The sequence up to which none may be used any more, because records there were deleted; 0 when nothing says so."""
        return max(self.markers, default=0)

    @property
    def highest(self) -> int:
        """The highest sequence that was ever used; 0 for a new graph."""
        return max(next(iter(self.places), 0), self.deleted_up_to)

    @property
    def entries(self) -> list[Entry]:
        """The records that were listed, newest first."""
        return [entry for found in self.places.values() if (entry := entry_of(found, self._keys))]

    def removable(self, trust: Trust) -> set[int]:
        """The sequences whose objects may be removed: old ones, above which there is an old one too.

        So the highest that was ever used is never removed, nor is an object that a listing under way still needs to see.
        """
        old = [sequence for sequence, found in self.places.items() if trust.is_old(found, now=self.now)]
        return set(old) - {max(old, default=0)}

    def stale_markers(self, trust: Trust) -> list[str]:
        """The keys of markers that mean nothing beside a higher one, which every listing under way has seen."""
        old = [sequence for sequence, found in self.markers.items() if trust.is_old(found, now=self.now)]
        return [found.key for sequence, found in self.markers.items() if sequence < max(old, default=0)]

    async def _list_page(self, *, limit: int = PAGE) -> None:
        prefix = self._keys.graph(self._name)
        page = await self._objects.page(prefix, action=self._action, limit=limit, more=self._more)
        self.now, self._more = page.now, page.more
        self._add(page.objects)

    def _add(self, objects: Iterable[Listed]) -> None:
        for found in objects:
            if split := self._keys.split_record(found.key):
                self.places[split[1]] = found
            elif deleted_up_to := self._keys.split_marker(found.key):
                self.markers[deleted_up_to] = found


def entry_of(found: Listed, keys: Keys) -> Entry | None:
    """The record that an object is; None for an emptied place, and for whatever else is kept there."""
    split = keys.split_record(found.key)
    return Entry(*split, found.key, found.etag, found.size) if split and found.size else None


class BootClock:
    """The clock of this machine, even of the time for which it was suspended: a writer that slept has not looked."""

    def monotonic(self) -> float:
        return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)

    def utc_now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_BOOT: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How long a look at a graph is trusted, and how long the objects that it may have missed stay in their places.

    What makes it safe is that ``grace`` exceeds ``window`` by more than two clocks of the store may differ, and more than
    lies between the moment that a store notes as the time of an object and the moment when the object is there.
    """

    window: float = 10.0
    """For so many seconds after a look at a graph, a writer knows that the sequences above what it saw were never used."""
    grace: float = 60.0
    """An object younger than so many seconds, by the store's clock, is not removed from its place."""
    batch: int = 100
    """So many emptied places are worth a request of their own."""
    probe_age: float = 86_400.0
    """A probe of so many seconds is a leftover. To remove it earlier would make the store seem unfit to whoever tries it out."""
    clock: Clock = field(default_factory=BootClock)
    """The writer's own; only ``monotonic`` is asked for."""

    def is_old(self, found: Listed, *, now: datetime | None) -> bool:
        """Whether an object is so old that nobody can be writing to its place who has not looked since it was there.

        :param now: the time by the store's clock, None when it is not known.
        """
        # Some stores note when an upload began. One that was slow came to be so much later.
        needed = timedelta(seconds=self.grace + found.size / SLOWEST)
        return now is not None and now - found.written > needed


TRUST: Final = Trust()
"""What holds unless somebody says otherwise."""
