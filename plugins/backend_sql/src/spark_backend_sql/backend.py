"""The sql backend: the promise of ``CheckpointBackend``, kept with a database."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from spark.errors import BackendError, CheckpointDamagedError, InvalidIdError
from spark.graphs.checkpoint.storage import (
    CheckpointBackend,
    CheckpointInfo,
    CheckpointQuery,
    LatestHeaders,
    Listing,
    Record,
    RecordHeader,
    Records,
    Usage,
    parse_automatic_id,
    run_blocking,
    split_options,
)
from spark_backend_sql.compiled import Query, Rows
from spark_backend_sql.connection import WAIT, Database
from spark_backend_sql.operations import Delete, Forget, Operation, Put, PutBlobs
from spark_backend_sql.options import split_own_options
from spark_backend_sql.reads import MOST_READERS, MOST_ROWS, READERS
from spark_backend_sql.schema import LONGEST_CHECKPOINT_ID, LONGEST_GRAPH_ID
from spark_backend_sql.sharing import Key, connect
from spark_backend_sql.statements import LAST_SEQUENCE, damaged_line, header_of, line_of, record_of, usage_in
from spark_backend_sql.urls import parsed

if TYPE_CHECKING:
    from spark.graphs.checkpoint.storage import CheckpointSerializer, Chosen, Codec, Format, ReadLimits

Value = TypeVar("Value")
Sequences: TypeAlias = list[int]
Names: TypeAlias = list[str]

LONGEST_WAIT: Final = 24 * 60 * 60
"""Seconds."""
_LONGEST_PAYLOAD: Final = 2**63 - 1
_BATCH: Final = 256
"""How many values one statement looks for,"""
_NAMES: Final = 512
"""and how many large values: older SQLites take 999 parameters. A checkpoint refers to a few hundred, mostly."""


class DatabaseCheckpointBackend(CheckpointBackend):
    """Keeps checkpoints as rows of a table, one for each.

    Backends that are created alike share their connections and threads, which are closed with the last of them.

    :param connection_string: an SQLAlchemy URL, for instance ``sqlite:///checkpoints.db`` or
        ``postgresql://user:password@host/database``. The database is reached when it is first needed.
    :param table_name: the table, created on first use with two small ones beside it.
    :param format: how the payload is written.
    :param compression: True or ``"gzip"`` to compress it, or ``"zstd"``, which is faster and needs ``spark-graphs[zstd]``.
    :param pretty_print: indent it, where the format is readable.
    :param codec: transforms stored bytes, such as by encryption: a ``Codec``, a name, ``{name: options}``, or a list of these.
    :param serializer: converts your own objects to plain values and back.
    :param limits: what loading one checkpoint may cost beyond what its size accounts for.
    :param wait: the longest time in seconds that a call waits for another program's lock, or for an unavailable server.
    :param readers: the number of reads that run at once at most, each over its own connection.
    :param inline_io: with SQLite, small calls may run in the event loop's thread while the disk is fast; False keeps all of
        them in threads.
    :param create: whether missing tables, and SQLite's file, are created. If False, all calls raise ``StoreNotFoundError``
        instead.

    :raises ValueError: the connection string or the table name can't be used.
    :raises BackendError: the driver of the database is not installed.
    """

    name = "sql"
    keeps_blobs = True
    blob_cost = 8 * 1024

    def __init__(
        self,
        connection_string: str,
        table_name: str = "checkpoints",
        format: Chosen[Format] = "json",
        compression: bool | str = False,
        pretty_print: bool = False,
        serializer: Chosen[CheckpointSerializer] | None = None,
        *,
        codec: Chosen[Codec] | Sequence[Chosen[Codec]] | None = None,
        limits: ReadLimits | Mapping[str, int] | None = None,
        wait: float = WAIT,
        readers: int = READERS,
        inline_io: bool = True,
        create: bool = True,
    ) -> None:
        super().__init__(
            format=format,
            compression=compression,
            pretty_print=pretty_print,
            codec=codec,
            serializer=serializer,
            limits=limits,
            inline_io=inline_io,
            create=create,
        )
        self.table_name = table_name
        inline = self.inline_limits if inline_io else None
        key = Key(parsed(connection_string), table_name, _checked_wait(wait), _checked_readers(readers), inline, create)
        self._connections, self._token = connect(key, user=self)
        self.database: Database = self._connections.database
        self._statements = self.database.statements
        self._writer = self._connections.writer
        self._reader = self._connections.reader
        self._is_closed = False

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """The backend of the database that the URL names.

        Its query may have the options of every backend, and ``table_name``, ``wait`` and ``readers``; the rest is the driver's.

        :raises ValueError: it is not a URL of a database, or has an option that nothing would use.
        """
        address, common = split_options(url)
        address, own = split_own_options(address)
        return cls(address, **common | own | options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database!r}, table_name={self.table_name!r})"

    async def put(self, record: Record) -> None:
        _check(record.header)
        await self._write(Put(record, self._statements.values_of(record)))

    async def put_and_delete(self, record: Record, to_delete: Sequence[int], blobs: Sequence[str] = ()) -> Sequences:
        _check(record.header)
        return await self._write(Put(record, self._statements.values_of(record), to_delete, blobs))

    async def delete(self, graph_id: str, sequence: int) -> bool:
        return await self.delete_many(graph_id, [sequence]) != []

    async def delete_many(self, graph_id: str, sequences: Sequence[int]) -> Sequences:
        to_delete = [sequence for sequence in sequences if _can_exist(graph_id, sequence)]
        return await self._write(Delete(graph_id, to_delete)) if to_delete else []

    async def delete_blobs(self, graph_id: str, names: Sequence[str]) -> None:
        to_delete = [name for name in names if _is_text(name)]
        if _is_text(graph_id) and to_delete:
            await self._write(Delete(graph_id, blobs_to_delete=to_delete))

    async def forget(self, graph_id: str) -> Sequences:
        return await self._write(Forget(graph_id)) if _is_text(graph_id) else []

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        if not 0 < len(graph_id) <= LONGEST_GRAPH_ID or not _is_text(graph_id):
            raise _refused_id("graph id", graph_id, LONGEST_GRAPH_ID)
        await self._write(PutBlobs(graph_id, blobs))
        return True

    async def get_blobs(self, graph_id: str, names: Sequence[str]) -> dict[str, bytes]:
        if not _is_text(graph_id):
            return {}
        doing = f"read large values of graph {graph_id[:80]!r}"
        found: dict[str, bytes] = {}
        for batch in _batched([name for name in names if _is_text(name)], size=_NAMES):
            rows = await self._rows(*self._statements.blobs(graph_id, batch), doing)
            found.update((name, bytes(content)) for name, content in rows)
        return found

    async def blob_names(self, graph_id: str) -> Names:
        if not _is_text(graph_id):
            return []
        doing = f"list the large values of graph {graph_id[:80]!r}"
        return [name for (name,) in await self._rows(self._statements.blob_names, {"graph": graph_id}, doing)]

    async def get(self, graph_id: str, sequence: int) -> Record | None:
        if not _can_exist(graph_id, sequence):
            return None
        doing = f"read checkpoint {sequence} of graph {graph_id[:80]!r}"
        return await self._record(self._statements.get, {"graph": graph_id, "at": sequence}, doing)

    async def get_many(self, graph_id: str, sequences: Sequence[int]) -> Records:
        found = Records({})
        if isinstance(sequences, range):
            possible = _possible(sequences)
            batches: Sequence[Sequence[int]] = [possible] if possible else []
        else:
            batches = [*_batched(sorted({each for each in sequences if _can_exist(graph_id, each)}))]
        doing = f"read checkpoints of graph {graph_id[:80]!r}"
        for batch in batches if _is_text(graph_id) else []:
            for row in await self._rows(*self._statements.records(graph_id, batch), doing):
                try:
                    record = record_of(row)
                except CheckpointDamagedError as error:
                    found.damaged.append(damaged_line(row[0], row[1], self.table_name, error))
                else:
                    found.records[record.sequence] = record
        return found

    async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
        found = LatestHeaders({})
        for batch in _batched([*{each: None for each in graph_ids if _is_text(each)}]):
            rows = await self._rows(*self._statements.latest_headers(batch), "read the latest headers of graphs")
            self._headers_in(rows, found)
        return found

    def _headers_in(self, rows: Iterable[Sequence[Any]], found: LatestHeaders) -> LatestHeaders:
        for row in {row[0]: row for row in rows}.values():
            try:
                found.headers[row[0]] = header_of(row)
            except CheckpointDamagedError as error:
                found.damaged.append(damaged_line(row[0], row[1], self.table_name, error))
        return found

    async def latest_runs(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int | None = None,
        reasons: Collection[str] | None = None,
    ) -> LatestHeaders:
        if not _is_text(prefix) or not (after is None or _is_text(after)) or (reasons is not None and not reasons):
            return await super().latest_runs(prefix, after=after, limit=limit, reasons=reasons)
        bound = self._statements.latest_runs(prefix, after=after, limit=limit, reasons=reasons)
        rows = await self._rows(*bound, "read the latest headers of runs")
        return self._headers_in(sorted(rows, key=lambda row: str(row[0])), LatestHeaders({}))

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Names:
        if not _is_text(prefix):
            return []
        if after is not None and not _is_text(after):
            return await super().graph_ids(prefix, after=after, limit=limit)
        query, values = self._statements.graph_ids(prefix, after=after, limit=limit)
        return [name for (name,) in await self._rows(query, values, "list graphs") if isinstance(name, str)]

    async def usage(self, graph_ids: Sequence[str] | None = None) -> dict[str, Usage]:
        rows: list[Sequence[Any]] = []
        wanted = None if graph_ids is None else [*{each: None for each in graph_ids if _is_text(each)}]
        for batch in [None] if wanted is None else _batched(wanted):
            rows += await self._rows(*self._statements.usage(batch), "measure what graphs take up")
        return usage_in(rows)

    async def list(self, graph_id: str | None = None) -> Listing:
        doing = "list all checkpoints" if graph_id is None else f"list the checkpoints of graph {graph_id[:80]!r}"
        return await self._search(CheckpointQuery(graph_id=graph_id), doing)

    async def query(self, query: CheckpointQuery) -> Listing:
        return await self._search(query, "search for checkpoints")

    async def latest(self, graph_id: str) -> CheckpointInfo | None:
        newest = CheckpointQuery(graph_id=graph_id, newest_first=True, limit=1)
        return _only(await self._search(newest, f"find the latest checkpoint of graph {graph_id[:80]!r}"))

    async def get_latest(self, graph_id: str) -> Record | None:
        if not _is_text(graph_id):
            return None
        doing = f"read the latest checkpoint of graph {graph_id[:80]!r}"
        return await self._record(self._statements.get_latest, {"graph": graph_id}, doing)

    async def next_sequence(self, graph_id: str) -> int:
        if not _is_text(graph_id):
            return 1
        doing = f"find the next sequence of graph {graph_id[:80]!r}"
        (used,) = await self._rows(self._statements.used, {"graph": graph_id}, doing)
        return max((number for number in used if number is not None), default=0) + 1

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None:
        if not _is_text(checkpoint_id):
            return None
        doing = f"find checkpoint {checkpoint_id[:80]!r}"
        info = _only(await self._listing(self._statements.find, {"id": checkpoint_id}, doing))
        address = parse_automatic_id(checkpoint_id)
        if info is None and address is not None and _can_exist(*address):
            info = _only(await self._listing(self._statements.info, {"graph": address[0], "at": address[1]}, doing))
        return info

    async def close(self) -> None:
        self._is_closed = True
        # A thread of its own, so that none is left behind in the event loop's.
        closing = ThreadPoolExecutor(1, thread_name_prefix="sql-backend-closing")
        try:
            await run_blocking(self._connections.leave, self._token, executor=closing)
        finally:
            closing.shutdown(wait=True)

    def _write(self, operation: Operation) -> Coroutine[Any, Any, Sequences]:
        self._check_open()
        return self._writer.run(operation)

    async def _record(self, query: Query, values: Mapping[str, Any], doing: str) -> Record | None:
        """The record that a query finds. It runs inline where the payload is small."""
        self._check_open()
        rows = self._reader.rows_now(query, {**values, "most": self.inline_limits.nbytes})
        if rows is None or (rows and rows[0][-1] is None):
            rows = await self._reader.rows_in_thread(query, {**values, "most": _LONGEST_PAYLOAD}, doing)
        return record_of(rows[0]) if rows else None

    async def _search(self, query: CheckpointQuery, doing: str) -> Listing:
        if query.graph_id is not None and not _is_text(query.graph_id):
            return Listing([])
        is_small = query.limit is not None and query.limit <= MOST_ROWS
        return await self._listing(*self._statements.search(query), doing, is_small=is_small)

    async def _listing(self, query: Query, values: Mapping[str, Any], doing: str, *, is_small: bool = False) -> Listing:
        rows = await self._rows(query, values, doing, is_small=is_small)
        return Listing.of(line_of(row, self.table_name) for row in rows)

    async def _rows(self, query: Query, values: Mapping[str, Any], doing: str, *, is_small: bool = False) -> Rows:
        self._check_open()
        return await self._reader.rows(query, values, doing, is_small=is_small)

    def _check_open(self) -> None:
        if self._is_closed:
            raise BackendError("The sql backend is closed and can't be used any more; make a new one.")


def _checked_wait(wait: float) -> float:
    if isinstance(wait, int | float) and not isinstance(wait, bool) and 0 < wait <= LONGEST_WAIT:
        return float(wait)
    raise ValueError(f"The sql backend can't wait {wait!r} seconds: give more than 0 and at most {LONGEST_WAIT:,}.")


def _checked_readers(readers: int) -> int:
    if isinstance(readers, int) and not isinstance(readers, bool) and 0 < readers <= MOST_READERS:
        return readers
    raise ValueError(f"The sql backend can't have {readers!r} readers: give 1 to {MOST_READERS}.")


def _batched(values: Sequence[Value], *, size: int = _BATCH) -> Iterator[Sequence[Value]]:
    """The values in batches that a statement can bind."""
    return (values[start : start + size] for start in range(0, len(values), size))


def _only(listing: Listing) -> CheckpointInfo | None:
    """The only line of a listing, if it has one."""
    for damaged in listing.damaged:
        raise CheckpointDamagedError(damaged.reason)
    return listing.infos[0] if listing.infos else None


def _is_text(value: str) -> bool:
    """Whether a database can hold this; what it can't hold is not there."""
    if "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _can_exist(graph_id: str, sequence: int) -> bool:
    return _is_text(graph_id) and 0 < sequence <= LAST_SEQUENCE


def _possible(sequences: range) -> range:
    """Those of the sequences that can exist, rising."""
    rising = sequences if sequences.step > 0 else sequences[::-1]
    first, step = rising.start, rising.step
    return rising[max(0, -((first - 1) // step)) : max(0, (LAST_SEQUENCE - first) // step + 1)]


def _check(header: RecordHeader) -> None:
    for kind, value, longest in (
        ("graph id", header.graph_id, LONGEST_GRAPH_ID),
        ("checkpoint id", header.checkpoint_id, LONGEST_CHECKPOINT_ID),
    ):
        if not 0 < len(value) <= longest or not (value.isprintable() or _is_text(value)):
            raise _refused_id(kind, value, longest)
    if not 0 < header.sequence <= LAST_SEQUENCE:
        raise BackendError(
            f"The sql backend can't save sequence {header.sequence} of graph {header.graph_id!r}: it takes 1 to {LAST_SEQUENCE}."
        )


def _refused_id(kind: str, value: str, longest: int) -> InvalidIdError:
    return InvalidIdError(
        f"The sql backend can't save under the {kind} {value[:40]!r}, which has {len(value)} characters: it takes 1 to "
        f"{longest}, none of them NUL or half a surrogate pair. Nothing was written."
    )
