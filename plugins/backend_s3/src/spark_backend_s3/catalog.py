"""What is there? Listings, searches, and the latest, from the names and headers of records."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Final

from spark.graphs.checkpoint.storage import (
    CheckpointInfo,
    CheckpointQuery,
    DamagedRecord,
    Listing,
    Record,
    RecordHeader,
)
from spark_backend_s3.names import Keys, quote
from spark_backend_s3.objects import Objects
from spark_backend_s3.records import Entry, Records
from spark_backend_s3.survey import FEW, newest_first

_READ_WHOLE: Final = 1024 * 1024
"""A record no longer than this is read whole where its header is asked for first and it itself most likely next."""
_HANDED_FOR: Final = 1.0
"""So many seconds: longer, and what was deleted meanwhile by somebody else might still be handed out."""


@dataclass(frozen=True, slots=True)
class _Handed:
    """A record that was read to find the latest, for the one who loads it next."""

    record: Record
    read_at: float


class Catalog:
    """The records of one store, to be looked at."""

    def __init__(
        self, objects: Objects, keys: Keys, records: Records, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._objects = objects
        self._keys = keys
        self._records = records
        self._now = now
        self._handed: _Handed | None = None

    async def read(self, name: str, sequence: int, *, action: str) -> Record | None:
        """The record at an address, or None."""
        handed, self._handed = self._handed, None
        if handed is not None and self._now() - handed.read_at < _HANDED_FOR:
            header = handed.record.header
            if (quote(header.graph_id), header.sequence) == (name, sequence):
                return handed.record
        return await self._records.read_at(name, sequence, action=action)

    def forget(self, graph_id: str) -> None:
        """Hand nobody a record of this graph that was read before."""
        if self._handed is not None and self._handed.record.header.graph_id == graph_id:
            self._handed = None

    async def query(self, query: CheckpointQuery, *, action: str) -> Listing:
        """The checkpoints that a query asks for, and what is damaged of the objects that were looked at."""
        found: list[RecordHeader] = []
        damaged: list[DamagedRecord] = []
        async for entries in self._parts(query, action=action):
            for head in await self._records.headers_of(entries, action=action):
                if isinstance(head, DamagedRecord):
                    damaged.append(head if query.graph_id is None else replace(head, graph_id=query.graph_id))
                elif query.covers(head.timestamp) and query.fits(head.metadata):
                    found.append(head)
            if (
                query.limit is not None
                and query.newest_first
                and query.graph_id is not None
                and len(found) >= query.limit
            ):
                break
        return Listing(query.ordered(map(_line, found))[: query.limit], damaged)

    async def latest(self, name: str, *, action: str) -> CheckpointInfo | None:
        """The line of the last record.

        :raises CheckpointDamagedError: what stands in the last place is no record; to pass it over would be a guess.
        """
        async for entries in newest_first(self._objects, self._keys, name, action=action, limit=FEW):
            for entry in entries:
                header = await self._header_of_latest(entry, action=action)
                if header is not None:
                    return _line(header)
        return None

    async def line(self, name: str, sequence: int, *, action: str) -> CheckpointInfo | None:
        """The line of one record, or None."""
        header = await self._records.header_at(name, sequence, action=action)
        return None if header is None else _line(header)

    async def find_given(self, checkpoint_id: str, *, action: str) -> CheckpointInfo | None:
        """The last record that was given this id by hand. Of two graphs' records, the higher sequence is meant."""
        aliases, more = [], None
        while True:
            page = await self._objects.page(self._keys.ids(checkpoint_id), action=action, more=more)
            aliases += [self._keys.split_alias(found.key, checkpoint_id) for found in page.objects]
            more = page.more
            if more is None:
                break
        for name, sequence in sorted(filter(None, aliases), key=lambda alias: alias[1], reverse=True):
            header = await self._records.header_at(name, sequence, action=action)
            if header and header.manual and header.checkpoint_id == checkpoint_id:
                return _line(header)
        return None

    async def _header_of_latest(self, entry: Entry, *, action: str) -> RecordHeader | None:
        if entry.size > _READ_WHOLE or self._records.known(entry.key, entry.etag):
            return await self._records.header_of(entry, action=action)
        record = await self._records.read_at(entry.name, entry.sequence, action=action)
        self._handed = _Handed(record, self._now()) if record else None
        return record.header if record else None

    async def _parts(self, query: CheckpointQuery, *, action: str) -> AsyncIterator[list[Entry]]:
        if query.graph_id is not None:
            async for entries in newest_first(self._objects, self._keys, quote(query.graph_id), action=action):
                yield entries
            return
        more = None
        while True:
            page = await self._objects.page(self._keys.graphs, action=action, more=more)
            split = [(self._keys.split_record(found.key), found) for found in page.objects]
            yield [Entry(at[0], at[1], found.key, found.etag, found.size) for at, found in split if at and found.size]
            more = page.more
            if more is None:
                return


def _line(header: RecordHeader) -> CheckpointInfo:
    return Record(header, b"").info()
