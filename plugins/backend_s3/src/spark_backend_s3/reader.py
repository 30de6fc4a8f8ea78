"""How records are found and read: one by its address, many at once, by a search, and the ids of all graphs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
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
)
from spark_backend_s3.calls import in_parallel
from spark_backend_s3.listing.listed import ListedGraphs
from spark_backend_s3.listing.walk import Batch, GraphWalk
from spark_backend_s3.names import LAST_SEQUENCE, Keys, beginning_of, is_sequence, quote
from spark_backend_s3.objects import PAGE, Objects
from spark_backend_s3.records import RecordObjects
from spark_backend_s3.scan import FEW, Entry, PrefixScan
from spark_backend_s3.view_cache import keep

Answer = TypeVar("Answer")

Names: TypeAlias = list[str]

_READ_WHOLE: Final = 1024 * 1024
"""A record no longer than this is read whole where its header is asked for first and it itself most likely next."""
_AT_ONCE: Final = 64
"""So many headers are read at least where only some of them may be wanted."""
_MOST_LONG_IDS: Final = 10_000
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
        self._long_ids: OrderedDict[str, str] = OrderedDict()
        """By the name of the graph, which stands for no other id."""

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

    async def sizes(self, graph_id: str, *, action: str) -> list[int]:
        """The bytes of each record of a graph, as they are listed: none is read."""
        scan = PrefixScan(self._objects, self._keys, self._keys.graph(quote(graph_id)), action=action)
        found: list[int] = []
        while (entries := await scan.next_entries()) is not None:
            found += [entry.size for entry in entries]
        return found

    async def graph_ids(self, prefix: str, *, after: str | None, limit: int | None, action: str) -> Names:
        """The ids of graphs that have records. No more is listed than it takes to know the first ``limit`` after ``after``."""
        found: Names = []
        async with aclosing(self._walk(prefix, after=after, action=action)) as batches:
            async for batch in batches:
                found += [graph_id for graph_id, _ in batch]
                if limit is not None and len(found) >= limit:
                    break
        return found[:limit]

    async def latest_runs(
        self, prefix: str, *, after: str | None, limit: int | None, reasons: Collection[str] | None, action: str
    ) -> LatestHeaders:
        """The headers of the latest records that were not made by hand, as ``CheckpointBackend.latest_runs`` gives them."""
        found = LatestHeaders({})
        async with aclosing(self._walk(prefix, after=after, action=action)) as batches:
            async for batch in batches:
                await self._add_runs(found, batch, limit=limit, reasons=reasons, action=action)
                if limit is not None and _count(found) >= limit:
                    break
        return found

    async def _add_runs(
        self, found: LatestHeaders, graphs: Batch, *, limit: int | None, reasons: Collection[str] | None, action: str
    ) -> None:
        """Add what these graphs have, up to the limit. Where few may fit, some more are read than are asked for."""
        least = 1 if reasons is None else _AT_ONCE
        while graphs and (limit is None or _count(found) < limit):
            size = PAGE if limit is None else max(limit - _count(found), least)
            some, graphs = graphs[:size], graphs[size:]
            headers = await in_parallel(lambda graph: self._latest_run(graph[1], action=action), some)
            for (graph_id, _), header in zip(some, headers, strict=True):
                if limit is not None and _count(found) >= limit:
                    return
                if isinstance(header, DamagedRecord):
                    found.damaged.append(replace(header, graph_id=graph_id))
                elif header is not None and (reasons is None or header.metadata.get("reason") in reasons):
                    found.headers[graph_id] = header

    async def _latest_run(self, entry: Entry, *, action: str) -> RecordHeader | DamagedRecord | None:
        """The header of the latest record of a graph that was not made by hand, or else of the latest one.

        :param entry: the latest one when the graph was listed.
        """
        by_hand: list[RecordHeader] = []

        async def read(entry: Entry) -> RecordHeader | DamagedRecord | None:
            header = await self._records.header_or_damage(entry, action=action)
            if isinstance(header, RecordHeader) and header.manual:
                by_hand.append(header)
                return None
            return header

        made_by_run = await read(entry) or await self._newest(entry.name, read, action=action)
        return made_by_run or next(iter(by_hand), None)

    def _walk(self, prefix: str, *, after: str | None, action: str) -> AsyncGenerator[Batch, None]:
        """The graphs that have records, in the order of their ids."""
        listed = ListedGraphs(self._objects, self._keys, beginning_of(prefix), action=action)

        async def read_long_ids(entries: Sequence[Entry]) -> list[str | None]:
            return await in_parallel(lambda entry: self._long_id_of(entry, action=action), entries)

        return GraphWalk(listed, prefix=prefix, after=after, long_ids=read_long_ids).batches()

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

    async def _long_id_of(self, entry: Entry, *, action: str) -> str | None:
        """The id that is too long for the name of its graph to tell it; None when nothing that is there does."""

        async def read(entry: Entry) -> str | None:
            header = await self._records.header_or_damage(entry, action=action)
            return header.graph_id if isinstance(header, RecordHeader) else None

        graph_id = self._long_ids.get(entry.name) or await self._newest(entry.name, read, action=action)
        if graph_id is not None:
            keep(self._long_ids, entry.name, graph_id, most=_MOST_LONG_IDS)
        return graph_id


@dataclass(frozen=True, slots=True)
class _Handed:
    """A record that was read to find the latest, for the one who loads it next."""

    record: Record
    read_at: float

    def is_of(self, graph_id: str, sequence: int) -> bool:
        return (self.record.graph_id, self.record.sequence) == (graph_id, sequence)


def _count(found: LatestHeaders) -> int:
    return len(found.headers) + len(found.damaged)


def _line(header: RecordHeader) -> CheckpointInfo:
    return Record(header, b"").info()
