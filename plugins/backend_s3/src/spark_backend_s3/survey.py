"""What one look at the newest part of a graph shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from spark_backend_s3.clock import Timing
from spark_backend_s3.names import Keys
from spark_backend_s3.objects import PAGE, Listed, Objects, Page
from spark_backend_s3.records import Entry

FEW: Final = 10
"""So many objects are asked for where only the newest matters."""


@dataclass(slots=True)
class Survey:
    """A graph, seen from its newest end: floors, then the places of records by falling sequence."""

    floors: dict[int, Listed] = field(default_factory=dict)
    """By sequence."""
    places: dict[int, Listed] = field(default_factory=dict)
    """By sequence, falling. An object of size 0 is a place that is kept: its record was deleted."""
    now: datetime | None = None
    """The time by the store's clock."""
    more: str | None = None
    """What asks for the rest, None when this is all."""

    @property
    def floor(self) -> int:
        """The sequence up to which none may be used any more; 0 when nothing says so."""
        return max(self.floors, default=0)

    @property
    def highest(self) -> int:
        """The highest sequence that was ever used; 0 for a new graph."""
        return max(next(iter(self.places), 0), self.floor)

    @property
    def lowest(self) -> int:
        """How far down this goes."""
        return min(self.places, default=0)

    def entries(self, name: str) -> list[Entry]:
        """The records, newest first."""
        return [
            Entry(name, sequence, found.key, found.etag, found.size)
            for sequence, found in self.places.items()
            if found.size
        ]

    def settled(self, timing: Timing) -> set[int]:
        """The sequences whose objects may be removed: old ones, above which there is an old one too.

        So the highest that was ever used is never removed, nor is an object that a listing under way still needs to see.
        """
        old = [sequence for sequence, found in self.places.items() if self._is_old(found, timing)]
        return set(old) - {max(old, default=0)}

    def stale_floors(self, timing: Timing) -> list[str]:
        """The keys of floors that mean nothing beside a higher one, which every listing under way has seen."""
        reliable = max((sequence for sequence, found in self.floors.items() if self._is_old(found, timing)), default=0)
        return [found.key for sequence, found in self.floors.items() if sequence < reliable]

    def add(self, objects: Iterable[Listed], keys: Keys) -> None:
        """Take in more of the listing."""
        for found in objects:
            if split := keys.split_record(found.key):
                self.places[split[1]] = found
            elif floor := keys.split_floor(found.key):
                self.floors[floor] = found

    def _is_old(self, found: Listed, timing: Timing) -> bool:
        return timing.is_settled(found.written, found.size, now=self.now)


async def look_at(objects: Objects, keys: Keys, name: str, *, action: str, limit: int = PAGE) -> Survey:
    """All floors of a graph, and its newest places.

    :param name: the quoted graph id.
    :param limit: how many objects one request may list.
    """
    survey, page = Survey(), None
    while page is None or (page.more and not survey.places):
        page = await objects.page(keys.graph(name), action=action, limit=limit, more=page.more if page else None)
        survey.add(page.objects, keys)
        survey.now, survey.more = page.now, page.more
    return survey


async def look_on(survey: Survey, objects: Objects, keys: Keys, name: str, *, action: str) -> None:
    """Extend a survey to the whole graph."""
    while survey.more:
        page = await objects.page(keys.graph(name), action=action, more=survey.more)
        survey.add(page.objects, keys)
        survey.more = page.more


async def look_further(
    survey: Survey, objects: Objects, keys: Keys, name: str, wanted: Iterable[int], *, action: str
) -> None:
    """Extend a survey to where these sequences are, leaving out what lies between."""
    lowest = survey.lowest if survey.more else 0
    missing = sorted((sequence for sequence in wanted if sequence < lowest), reverse=True)
    while missing:
        page = await objects.page(keys.graph(name), action=action, after=keys.before_record(name, missing[0]))
        survey.add(page.objects, keys)
        reached = _lowest_of(page, keys) if page.more else 0
        missing = [sequence for sequence in missing if sequence < reached]


async def newest_first(
    objects: Objects, keys: Keys, name: str, *, action: str, limit: int = PAGE
) -> AsyncIterator[list[Entry]]:
    """The records of a graph, newest first, a part at a time.

    :param limit: how many objects the first request may list.
    """
    more: str | None = None
    while True:
        page = await objects.page(keys.graph(name), action=action, limit=limit, more=more)
        survey = Survey()
        survey.add(page.objects, keys)
        yield survey.entries(name)
        if not page.more:
            return
        more, limit = page.more, PAGE


def _lowest_of(page: Page, keys: Keys) -> int:
    split = keys.split_record(page.objects[-1].key) if page.objects else None
    return split[1] if split else 0
