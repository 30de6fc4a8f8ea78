"""How records are found and read: one by its address, many at once, by a search, and the ids of all graphs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

from spark.graphs import Clock
from spark.graphs.checkpoint.storage import (
    CheckpointInfo,
    CheckpointQuery,
    DamagedRecord,
    LatestHeaders,
    Listing,
    Record,
    RecordHeader,
    Records,
    page_of,
)
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.names import LAST_SEQUENCE, Keys, is_hashed, is_sequence, quote, unquote
from spark_backend_s3.objects import PAGE, Objects
from spark_backend_s3.records import RecordObjects
from spark_backend_s3.scan import FEW, Entry, PrefixScan

Answer = TypeVar("Answer")

Names: TypeAlias = list[str]

_READ_WHOLE: Final = 1024 * 1024
"""A record no longer than this is read whole where its header is asked for first and it itself most likely next."""
_HANDED_FOR: Final = 1.0
"""So many seconds: longer, and what was deleted meanwhile by somebody else might still be handed out."""


class RecordReader:
    """The records of one store, as somebody reads them."""

    def __init__(self, objects: Objects, keys: Keys, records: RecordObjects, *, clock: Clock) -> None:
        self._objects = objects
        self._keys = keys
        self._records = records
        self._clock = clock
        self._handed: _Handed | None = None

    async def get(self, graph_id: str, sequence: int, *, action: str) -> Record | None:
        """The record at an address, or None."""
        handed, self._handed = self._handed, None
        if (
            handed is not None
            and handed.is_of(graph_id, sequence)
            and self._clock.monotonic() - handed.read_at < _HANDED_FOR
        ):
            return handed.record
        return await self._records.read_at(quote(graph_id), sequence, action=action)

    async def latest(self, graph_id: str, *, action: str) -> CheckpointInfo | None:
        """The line of the last record.

        :raises CheckpointDamagedError: what stands in the last place can't be read as a record; an older one would be a guess.
        """
        header = await self._newest(
            quote(graph_id), lambda entry: self._header_of_latest(entry, action=action), action=action
        )
        return None if header is None else _line(header)

    async def get_many(self, graph_id: str, sequences: Sequence[int], *, action: str) -> Records:
        """The records of a graph at these sequences, read in parallel, and what is damaged there."""
        name, found = quote(graph_id), Records({})
        if isinstance(sequences, range):
            sequences = await self._sequences_in(name, sequences, action=action)
        wanted = sorted({sequence for sequence in sequences if is_sequence(sequence)})
        read = await in_parallel(lambda each: self._records.record_or_damage(name, each, action=action), wanted)
        for sequence, record in zip(wanted, read, strict=True):
            if isinstance(record, DamagedRecord):
                found.damaged.append(replace(record, graph_id=graph_id))
            elif record is not None:
                found.records[sequence] = record
        return found

    async def latest_headers(self, graph_ids: Sequence[str], *, action: str) -> LatestHeaders:
        """The headers of the last records of these graphs, read in parallel, and what is damaged in their places."""

        async def read(graph_id: str) -> RecordHeader | DamagedRecord | None:
            return await self._newest(
                quote(graph_id), lambda entry: self._records.header_or_damage(entry, action=action), action=action
            )

        wanted, found = [*dict.fromkeys(graph_ids)], LatestHeaders({})
        for graph_id, header in zip(wanted, await in_parallel(read, wanted), strict=True):
            if isinstance(header, DamagedRecord):
                found.damaged.append(replace(header, graph_id=graph_id))
            elif header is not None:
                found.headers[graph_id] = header
        return found

    async def query(self, query: CheckpointQuery, *, action: str) -> Listing:
        """The checkpoints that a query asks for, and what is damaged of the objects that were looked at."""
        found: list[RecordHeader] = []
        damaged: list[DamagedRecord] = []
        beginning = self._keys.graphs if query.graph_id is None else self._keys.graph(quote(query.graph_id))
        scan = PrefixScan(self._objects, self._keys, beginning, action=action)
        while (entries := await scan.next_entries()) is not None:
            for header in await self._records.headers_of(entries, action=action):
                if isinstance(header, DamagedRecord):
                    damaged.append(header if query.graph_id is None else replace(header, graph_id=query.graph_id))
                elif query.covers(header.timestamp) and query.fits(header.metadata):
                    found.append(header)
            comes_newest_first = query.newest_first and query.graph_id is not None
            if comes_newest_first and query.limit is not None and len(found) >= query.limit:
                break
        return Listing(query.ordered(map(_line, found))[: query.limit], damaged)

    async def graph_ids(self, prefix: str, *, after: str | None, limit: int | None, action: str) -> Names:
        """The ids of graphs that have records.

        The order of keys is not that of ids, so all with this prefix are looked at, whatever the cursor and the limit are.
        """
        newest: dict[str, Entry] = {}
        scan = PrefixScan(self._objects, self._keys, self._keys.graphs_like(prefix), action=action)
        while (entries := await scan.next_entries()) is not None:
            for entry in entries:
                newest.setdefault(entry.name, entry)
            if entries:
                # What is left of a graph that is known to have records is passed over.
                scan.skip_to(self._keys.after_graph(entries[-1].name))
        graph_ids = await in_parallel(lambda entry: self._graph_id_of(entry, action=action), newest.values())
        return page_of(filter(None, graph_ids), prefix, after=after, limit=limit)

    async def find_given(self, checkpoint_id: str, *, action: str) -> CheckpointInfo | None:
        """The last record that was given this id by hand. Of two graphs' records, the higher sequence is meant."""
        keys = await self._objects.all_keys(self._keys.ids(checkpoint_id), action=action)
        aliases = filter(None, (self._keys.split_alias(key, checkpoint_id) for key in keys))
        for name, sequence in sorted(aliases, key=lambda alias: alias[1], reverse=True):
            header = await self._records.header_at(name, sequence, action=action)
            if header and header.manual and header.checkpoint_id == checkpoint_id:
                return _line(header)
        return None

    async def line(self, graph_id: str, sequence: int, *, action: str) -> CheckpointInfo | None:
        """The line of one record, or None."""
        header = await self._records.header_at(quote(graph_id), sequence, action=action)
        return None if header is None else _line(header)

    def forget(self, graph_id: str) -> None:
        """Hand nobody a record of this graph that was read before."""
        if self._handed is not None and self._handed.record.graph_id == graph_id:
            self._handed = None

    async def _newest(
        self, name: str, read: Callable[[Entry], Awaitable[Answer | None]], *, action: str
    ) -> Answer | None:
        """What reading the newest record of a graph gives, or the next one where that gives nothing."""
        scan = PrefixScan(self._objects, self._keys, self._keys.graph(name), action=action)
        limit = FEW
        while (entries := await scan.next_entries(limit=limit)) is not None:
            for entry in entries:
                if (answer := await read(entry)) is not None:
                    return answer
            limit = PAGE
        return None

    async def _header_of_latest(self, entry: Entry, *, action: str) -> RecordHeader | None:
        if entry.size > _READ_WHOLE or self._records.known(entry.key, entry.etag):
            return await self._records.header_of(entry, action=action)
        record = await self._records.read_at(entry.name, entry.sequence, action=action)
        self._handed = _Handed(record, self._clock.monotonic()) if record else None
        return record.header if record else None

    async def _sequences_in(self, name: str, wanted: range, *, action: str) -> list[int]:
        """The sequences of those records of a graph that are within a range."""
        if not wanted:
            return []
        lowest, highest = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
        after = self._keys.before_record(name, min(max(highest, 1), LAST_SEQUENCE))
        scan = PrefixScan(self._objects, self._keys, self._keys.graph(name), action=action, after=after)
        found: list[int] = []
        while (entries := await scan.next_entries()) is not None:
            found += [entry.sequence for entry in entries if entry.sequence in wanted]
            if entries and entries[-1].sequence <= lowest:
                break
        return found

    async def _graph_id_of(self, entry: Entry, *, action: str) -> str | None:
        """The id that the name of a graph stands for; None when nothing that is there tells it."""
        if not is_hashed(entry.name):
            return unquote(entry.name)

        async def read(entry: Entry) -> str | None:
            header = await self._records.header_or_damage(entry, action=action)
            return header.graph_id if isinstance(header, RecordHeader) else None

        return await self._newest(entry.name, read, action=action)


@dataclass(frozen=True, slots=True)
class _Handed:
    """A record that was read to find the latest, for the one who loads it next."""

    record: Record
    read_at: float

    def is_of(self, graph_id: str, sequence: int) -> bool:
        return (self.record.graph_id, self.record.sequence) == (graph_id, sequence)


def _line(header: RecordHeader) -> CheckpointInfo:
    return Record(header, b"").info()
