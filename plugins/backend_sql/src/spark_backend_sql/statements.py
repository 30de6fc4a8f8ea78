"""Every statement that reads, and the records and listings that its rows are. Values are bound, never part of the text."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    null,
    or_,
    select,
    union_all,
)

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.storage import (
    CheckpointInfo,
    CheckpointQuery,
    DamagedRecord,
    Record,
    RecordHeader,
    Usage,
    automatic_id,
)
from spark_backend_sql.compiled import Binder, Query
from spark_backend_sql.dialect import Dialect
from spark_backend_sql.schema import Tables, metadata_line

Value = TypeVar("Value")
Bound: TypeAlias = tuple[Query, dict[str, Any]]
"""A query, and the values that it binds."""

HEADER_FIELDS: Final = (
    "graph_id",
    "sequence",
    "checkpoint_id",
    "timestamp",
    "manual",
    "parent",
    "version",
    "format",
    "compression",
    "size",
    "raw_size",
    "nonce",
    "checksum",
    "signature",
    "metadata",
    "references_in_payload",
    "codecs",
    "serializer",
)
"""The columns that are a record's header; the payload's comes after them."""
_fields_of: Final = attrgetter(*HEADER_FIELDS)
INFO_FIELDS: Final = ("checkpoint_id", "graph_id", "sequence", "timestamp", "size", "manual")
"""The columns that make a line of a listing."""
LAST_SEQUENCE: Final = 2**63 - 1
_LARGEST_LIMIT: Final = LAST_SEQUENCE


class Statements:
    """The statements for one set of tables in one kind of database.

    Parameters: ``graph``, ``at`` (a sequence), ``id`` (a checkpoint id), ``most`` (bytes of a payload).
    """

    def __init__(self, tables: Tables, dialect: Dialect, binder: Binder) -> None:
        records, graphs, blobs = tables.checkpoints, tables.graphs, tables.blobs
        self._dialect, self._binder, self._records_table = dialect, binder, records
        self._columns, self._blobs = records.c, blobs.c
        columns = records.c
        of_graph, at = columns.graph_id == bindparam("graph"), columns.sequence == bindparam("at")
        self._of_graph, self._header = of_graph, [columns[name] for name in HEADER_FIELDS]
        small_payload = case((columns.size <= bindparam("most"), columns.payload), else_=null()).label("payload")
        self._record = select(*self._header, columns.payload)
        self.get = select(*self._header, small_payload).where(of_graph, at)
        self.get_latest = (
            select(*self._header, small_payload).where(of_graph).order_by(columns.sequence.desc()).limit(1)
        )
        """With NULL for a payload that is longer than ``most``."""
        is_in_range = columns.sequence.between(bindparam("first"), bindparam("last"))
        offset, step = (bindparam(name, type_=BigInteger) for name in ("offset", "step"))
        is_on_step = (columns.sequence - offset) % step == 0
        self.get_range = self._record.where(of_graph, is_in_range, is_on_step).order_by(columns.sequence)
        self.listing = select(*(columns[name] for name in INFO_FIELDS))
        self.info = self.listing.where(of_graph, at)
        self.find = (
            self.listing.where(columns.checkpoint_id == bindparam("id"), columns.manual)
            .order_by(columns.sequence.desc(), columns.graph_id.desc())
            .limit(1)
        )
        self.used = select(
            select(func.max(columns.sequence)).where(of_graph).scalar_subquery(),
            select(graphs.c.deleted_up_to).where(graphs.c.graph_id == bindparam("graph")).scalar_subquery(),
        )
        """The highest sequence that exists, and the highest that was deleted; None where there is none."""
        self.blob_names = select(blobs.c.name).where(blobs.c.graph_id == bindparam("graph"))
        # A statement for each count and shape, made when it is first needed.
        self._blobs_of = lru_cache(self._blobs_statement)
        self._records_at = lru_cache(self._records_statement)
        self._latest_of = lru_cache(self._latest_statement)
        self._graph_ids = lru_cache(self._graph_ids_statement)
        self._latest_runs = lru_cache(maxsize=64)(self._latest_runs_statement)
        self._usage_of = lru_cache(self._usage_statement)
        self._search = lru_cache(maxsize=64)(self._search_statement)

    def values_of(self, record: Record) -> dict[str, Any]:
        """What an INSERT of this record binds, by column."""
        values = dict(zip(HEADER_FIELDS, _fields_of(record.header), strict=True))
        values["payload"] = record.payload
        return self._binder.bind(values)

    def blobs(self, graph_id: str, names: Sequence[str]) -> Bound:
        """What reads these large values, as pairs of name and content."""
        padded = _padded(names)
        return self._blobs_of(len(padded)), {"graph": graph_id} | _numbered(padded)

    def _blobs_statement(self, count: int) -> Query:
        of_graph = self._blobs.graph_id == bindparam("graph")
        return select(self._blobs.name, self._blobs.content).where(of_graph, _one_of(self._blobs.name, count))

    def records(self, graph_id: str, sequences: Sequence[int]) -> Bound:
        """What reads the records of a graph at these sequences: some, or a rising range. A database can hold each of them."""
        if isinstance(sequences, range):
            step = min(sequences.step, LAST_SEQUENCE)  # a longer one leads nowhere
            bound = {"first": sequences[0], "last": sequences[-1], "step": step, "offset": sequences[0] % step}
            return self.get_range, {"graph": graph_id, **bound}
        padded = _padded(sequences)
        return self._records_at(len(padded)), {"graph": graph_id} | _numbered(padded)

    def _records_statement(self, count: int) -> Query:
        return self._record.where(self._of_graph, _one_of(self._columns.sequence, count)).order_by(
            self._columns.sequence
        )

    def latest_headers(self, graph_ids: Sequence[str]) -> Bound:
        """What reads the headers of the latest records of these graphs: for each one look at the end of its history."""
        padded = _padded(graph_ids)
        return self._latest_of(len(padded)), _numbered(padded)

    def _latest_statement(self, count: int) -> Query:
        columns = self._columns
        kind = columns.graph_id.type
        asked = union_all(
            *(select(bindparam(f"value_{number}", type_=kind).label("graph_id")) for number in range(count))
        ).subquery("asked")
        history = self._records_table.alias("history")
        last = select(func.max(history.c.sequence)).where(history.c.graph_id == asked.c.graph_id).scalar_subquery()
        # The limit excludes nothing. It has PostgreSQL find the ends first, and not while it reads every row.
        ends = select(asked.c.graph_id, last.label("last")).limit(count).subquery("ends")
        is_end = and_(columns.graph_id == ends.c.graph_id, columns.sequence == ends.c.last)
        return select(*self._header).join_from(ends, self._records_table, is_end)

    def graph_ids(self, prefix: str, *, after: str | None, limit: int | None) -> Bound:
        """What lists ids of graphs, in order: for each one look for the next beyond it, whatever its history."""
        values, is_exclusive = _page(prefix, after=after, limit=limit)
        return self._graph_ids(tuple(values), is_exclusive), values

    def _graph_ids_statement(self, bound: tuple[str, ...], is_exclusive: bool) -> Query:
        ids = self._ids_in_order(bound, is_exclusive)
        statement = select(ids.c.graph_id).where(ids.c.graph_id.is_not(None))
        return statement.limit(bindparam("limit", type_=BigInteger)) if "limit" in bound else statement

    def _ids_in_order(self, bound: tuple[str, ...], is_exclusive: bool) -> CTE:
        """The ids of graphs. Each leads to the next, so they come in order; a sort would need all of them before the first."""
        column = self._columns.graph_id
        kind = column.type
        first = bindparam("first", type_=kind)
        before_end = [column < bindparam("end", type_=kind)] if "end" in bound else []
        start = column > first if is_exclusive else column >= first
        found = select(func.min(column).label("graph_id")).where(start, *before_end).cte("found", recursive=True)
        beyond = select(func.min(column)).where(column > found.c.graph_id, *before_end).scalar_subquery()
        return found.union_all(select(beyond).where(found.c.graph_id.is_not(None)))

    def latest_runs(
        self, prefix: str, *, after: str | None, limit: int | None, reasons: Collection[str] | None
    ) -> Bound:
        """What reads the header of each graph's latest record that was not made by hand: a look at the end of each history."""
        values, is_exclusive = _page(prefix, after=after, limit=limit)
        lines = {
            f"line_{number}": metadata_line("reason", reason) for number, reason in enumerate(sorted(reasons or ()))
        }
        return self._latest_runs(tuple(values), is_exclusive, tuple(lines)), values | lines

    def _latest_runs_statement(self, bound: tuple[str, ...], is_exclusive: bool, lines: tuple[str, ...]) -> Query:
        ids, columns = self._ids_in_order(bound, is_exclusive), self._columns
        history = self._records_table.alias("history")
        last = select(func.max(history.c.sequence)).where(history.c.graph_id == ids.c.graph_id)
        of_run = last.where(history.c.manual == false()).scalar_subquery()
        of_any = func.coalesce(of_run, last.scalar_subquery()).label("last")
        # Where only some are wanted, this limit excludes nothing, as above; otherwise no graph beyond the page is looked at.
        most: Any = bindparam("limit", type_=BigInteger) if "limit" in bound and not lines else _LARGEST_LIMIT
        ends = select(ids.c.graph_id, of_any).where(ids.c.graph_id.is_not(None)).limit(most).subquery("ends")
        is_end = and_(columns.graph_id == ends.c.graph_id, columns.sequence == ends.c.last)
        found = select(*self._header).join_from(ends, self._records_table, is_end)
        if lines:
            found = found.where(or_(*map(self._condition, lines)))
        if "limit" not in bound:
            return found
        return found.order_by(columns.graph_id).limit(bindparam("limit", type_=BigInteger))

    def usage(self, graph_ids: Sequence[str] | None) -> Bound:
        """What adds up the records of these graphs, or of all: id, how many, their bytes, how many are not as long as they
        should be; and None in place of the last two for large values. Only lengths are looked at."""
        padded = _padded(graph_ids) if graph_ids is not None else []
        return self._usage_of(len(padded)), _numbered(padded)

    def _usage_statement(self, count: int) -> Query:
        columns, blobs = self._columns, self._blobs
        length = func.length(columns.payload)
        damaged = func.sum(case((columns.size != length, 1), else_=0))
        records = select(
            columns.graph_id, func.count().label("count"), func.sum(length).label("size"), damaged.label("damaged")
        ).group_by(columns.graph_id)
        beside = select(blobs.graph_id, null(), func.sum(func.length(blobs.content)), null()).group_by(blobs.graph_id)
        if count:
            records = records.where(_one_of(columns.graph_id, count))
            beside = beside.where(_one_of(blobs.graph_id, count))
        return select(union_all(records, beside).subquery("sizes"))

    def search(self, query: CheckpointQuery) -> Bound:
        """What lists the checkpoints that a query asks for. Its keys and values are bound, too.

        It reads along the primary key, forwards or backwards, and stops at the limit; nothing is sorted. Queries that differ
        in values alone have the same statement.
        """
        lines = {
            f"line_{number}": metadata_line(key, value) for number, (key, value) in enumerate(query.metadata.items())
        }
        bound: dict[str, Any] = {"graph": query.graph_id, "after": query.after, "before": query.before} | lines
        if query.limit is not None:
            bound["limit"] = min(query.limit, _LARGEST_LIMIT)
        values = {name: value for name, value in bound.items() if value is not None}
        return self._search(tuple(values), query.newest_first, query.with_metadata), values

    def _search_statement(self, bound: tuple[str, ...], newest_first: bool, with_metadata: bool) -> Query:
        keys = (self._columns.graph_id, self._columns.sequence)
        order = [key.desc() for key in keys] if newest_first else keys
        conditions = [self._condition(name) for name in bound if name != "limit"]
        more = [self._columns["metadata"], self._columns["parent"]] if with_metadata else []
        listing = self.listing.add_columns(*more)
        statement = listing.where(*conditions).order_by(*order)
        return statement.limit(bindparam("limit", type_=BigInteger)) if "limit" in bound else statement

    def _condition(self, name: str) -> ColumnElement[bool]:
        columns = self._columns
        if name == "graph":
            return columns.graph_id == bindparam(name)
        if name == "after":
            return columns.timestamp > bindparam(name)
        if name == "before":
            return columns.timestamp < bindparam(name)
        return self._dialect.position_of(bindparam(name, type_=Text), columns["metadata"]) > 0


def _page(prefix: str, *, after: str | None, limit: int | None) -> tuple[dict[str, Any], bool]:
    """What is bound to ask for a page of graphs, and whether the first id is left out."""
    is_exclusive = after is not None and after >= prefix
    bound: dict[str, Any] = {"first": after if is_exclusive else prefix, "end": _end_of(prefix)}
    if limit is not None:
        bound["limit"] = min(limit, _LARGEST_LIMIT)
    return {name: value for name, value in bound.items() if value is not None}, is_exclusive


def record_of(row: Sequence[Any]) -> Record:
    """The record that a row of ``get`` holds.

    :raises CheckpointDamagedError: it can't be one.
    """
    *fields, payload = row
    header = header_of(fields)
    where = f"checkpoint {header.sequence} of graph {header.graph_id!r}"
    if not isinstance(payload, bytes | memoryview | bytearray):
        raise _damaged(where, "the payload is not valid")
    if header.size != len(payload):
        raise _damaged(where, f"the payload has {len(payload):,} bytes, and the header says {header.size:,}")
    return Record(header, bytes(payload))


def header_of(fields: Sequence[Any]) -> RecordHeader:
    """The header that a row of ``HEADER_FIELDS`` holds.

    :raises CheckpointDamagedError: it can't be one.
    """
    values = dict(zip(HEADER_FIELDS, fields, strict=True))
    if values["references_in_payload"] is None:  # written before this column existed, by the core
        values["references_in_payload"] = True
    values["serializer"] = values["serializer"] or ""
    where = f"checkpoint {values['sequence']} of graph {values['graph_id']!r}"
    for name in ("timestamp", "metadata"):
        if values[name] is None:
            raise _damaged(where, f"the {name} is not valid")
    try:
        return RecordHeader.of(values)
    except CheckpointDamagedError as error:
        raise _damaged(where, str(error)) from error


def line_of(row: Sequence[Any], table: str) -> CheckpointInfo | DamagedRecord:
    """The line of a listing that a row of ``INFO_FIELDS``, and perhaps metadata and parent, holds; or the damage in its place."""
    checkpoint_id, graph_id, sequence, timestamp, size, manual, *rest = row
    metadata, parent = rest or ({}, None)
    types: tuple[tuple[Any, Any], ...] = (
        (checkpoint_id, str),
        (graph_id, str),
        (sequence, int),
        (size, int),
        (timestamp, datetime),
        (metadata, dict),
        (parent, int | None),
    )
    if not all(isinstance(value, kind) for value, kind in types):
        error = _damaged(f"checkpoint {sequence} of graph {graph_id!r}", "a field of its header is of the wrong type")
        return damaged_line(graph_id, sequence, table, error)
    return CheckpointInfo(
        checkpoint_id=checkpoint_id if manual else automatic_id(graph_id, sequence),
        graph_id=graph_id,
        sequence=sequence,
        timestamp=timestamp,
        size=size,
        manual=bool(manual),
        metadata=metadata,
        parent=parent,
    )


def usage_in(rows: Iterable[Sequence[Any]]) -> dict[str, Usage]:
    """What the rows of ``usage`` say, by graph id, in order. Large values without any record belong to no graph."""
    records: dict[str, Sequence[Any]] = {}
    blobs: dict[str, int] = {}
    for graph_id, *numbers in rows:
        if isinstance(graph_id, str) and numbers[0] is None:
            blobs[graph_id] = int(numbers[1] or 0)
        elif isinstance(graph_id, str):
            records[graph_id] = numbers
    return {
        graph_id: Usage(int(count) - int(damaged), int(size or 0) + blobs.get(graph_id, 0), int(damaged))
        for graph_id, (count, size, damaged) in sorted(records.items())
    }


def damaged_line(graph_id: Any, sequence: Any, table: str, error: CheckpointDamagedError) -> DamagedRecord:
    """The line for a row that can't be read, with what it says of its address."""
    return DamagedRecord(
        graph_id if isinstance(graph_id, str) else None,
        sequence if isinstance(sequence, int) else None,
        f"checkpoint {sequence} of graph {graph_id!r} in table {table}",
        str(error),
    )


def _damaged(where: str, reason: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"The row of {where} in the database of the sql backend is damaged: {reason}. Delete this checkpoint, or restore "
        "its row from a backup; the others are not affected."
    )


def _padded(values: Sequence[Value]) -> list[Value]:
    """The values, the last one repeated, so that their count is one of a few, and few statements are made."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def _numbered(values: Sequence[Any]) -> dict[str, Any]:
    return {f"value_{number}": value for number, value in enumerate(values)}


def _one_of(column: ColumnElement[Any], count: int) -> ColumnElement[bool]:
    return column.in_([bindparam(f"value_{number}", type_=column.type) for number in range(count)])


def _end_of(prefix: str) -> str | None:
    """The first text, by code points, that is beyond all that begin with the prefix; None where there is none."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    is_surrogate = 0xD800 <= following <= 0xDFFF  # which no text in a database has
    return stem[:-1] + chr(0xE000 if is_surrogate else following)
