"""Every statement that the backend runs on its tables, built once. Values are bound, never part of the text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Dialect, Select, bindparam, case, delete, func, null, select

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.storage import (
    LARGEST_INLINE,
    CheckpointInfo,
    DamagedRecord,
    Record,
    RecordHeader,
    automatic_id,
)
from spark_backend_sql.dialects import insert_missing, insert_or_keep, insert_or_raise
from spark_backend_sql.driver_sql import Binder, DriverStatement
from spark_backend_sql.operations import Operation, Put
from spark_backend_sql.schema import Tables
from spark_backend_sql.search import Search

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
)
"""The columns that are a record's header; the payload's comes after them."""
_fields_of: Final = attrgetter(*HEADER_FIELDS)
INFO_FIELDS: Final = ("checkpoint_id", "graph_id", "sequence", "timestamp", "size", "manual")
"""The columns that make a line of a listing."""


class Statements:
    """The statements for one set of tables in one kind of database.

    Parameters: ``graph``, ``at`` (a sequence), ``id`` (a checkpoint id), ``graphs`` (several), ``count``.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        records, graphs = tables.checkpoints, tables.graphs
        columns = records.c
        of_graph, at = columns.graph_id == bindparam("graph"), columns.sequence == bindparam("at")
        by_address = (columns.graph_id, columns.sequence)
        insert = insert_missing(records, name=dialect.name, keys=("graph_id", "sequence"))
        self.insert = DriverStatement(insert, dialect)
        self._binder = Binder(records, dialect)
        self.nonce = select(columns.nonce).where(of_graph, at)
        self.delete = DriverStatement(delete(records).where(of_graph, at), dialect)
        self.floor = DriverStatement(
            select(graphs.c.deleted_up_to).where(graphs.c.graph_id == bindparam("graph")), dialect
        )
        self.floors = select(graphs.c.graph_id, graphs.c.deleted_up_to).where(
            graphs.c.graph_id.in_(bindparam("graphs", expanding=True))
        )
        raise_floor = insert_or_raise(graphs, name=dialect.name, key="graph_id", column="deleted_up_to")
        self.raise_floor = DriverStatement(raise_floor, dialect)
        blobs = tables.blobs
        # One that is there already came with a record whose acknowledgement was lost, and is the same.
        insert_blob = insert_or_keep(blobs, name=dialect.name, keys=("graph_id", "name"))
        self.insert_blob = DriverStatement(insert_blob, dialect)
        self.delete_blob = DriverStatement(
            delete(blobs).where(blobs.c.graph_id == bindparam("graph_id"), blobs.c.name == bindparam("name")), dialect
        )
        of_same_graph = blobs.c.graph_id == bindparam("graph")
        self.blobs = select(blobs.c.name, blobs.c.content).where(
            of_same_graph, blobs.c.name.in_(bindparam("names", expanding=True))
        )
        self.blob_names = select(blobs.c.name).where(of_same_graph)
        self.sequences = select(columns.sequence).where(of_graph).order_by(columns.sequence)
        self.forget = [
            delete(table).where(table.c.graph_id == bindparam("graph")) for table in (records, blobs, tables.graphs)
        ]
        """Every row of a graph."""
        self.get = select(*(columns[name] for name in HEADER_FIELDS), columns.payload).where(of_graph, at)
        self.get_latest = (
            select(*(columns[name] for name in HEADER_FIELDS), columns.payload)
            .where(of_graph)
            .order_by(columns.sequence.desc())
            .limit(1)
        )
        self.get_small, self.get_latest_small = _small(self.get, columns), _small(self.get_latest, columns)
        """The same, with NULL for a payload that is large."""
        self.listing = select(*(columns[name] for name in INFO_FIELDS))
        self.list_all = self.listing.order_by(*by_address)
        self.list_graph = self.listing.where(of_graph).order_by(columns.sequence)
        self.newest = self.listing.where(of_graph).order_by(columns.sequence.desc()).limit(bindparam("count"))
        self.info = self.listing.where(of_graph, at)
        self.find = (
            self.listing.where(columns.checkpoint_id == bindparam("id"), columns.manual)
            .order_by(*(column.desc() for column in by_address))
            .limit(1)
        )
        self.search = Search(self.listing, records, dialect)
        self.used = select(
            select(func.max(columns.sequence)).where(of_graph).scalar_subquery(),
            select(graphs.c.deleted_up_to).where(graphs.c.graph_id == bindparam("graph")).scalar_subquery(),
        )
        """The highest sequence that exists, and the highest that was deleted; None where there is none."""

    def values_of(self, record: Record) -> dict[str, Any]:
        """What an insert of this record binds, by column."""
        values = dict(zip(HEADER_FIELDS, _fields_of(record.header), strict=True))
        values["payload"] = record.payload
        return self._binder.bind(values)


def _small(statement: Select[*tuple[Any, ...]], columns: Any) -> Select[*tuple[Any, ...]]:
    payload = case((columns.size <= LARGEST_INLINE, columns.payload), else_=null())
    return statement.with_only_columns(*(columns[name] for name in HEADER_FIELDS), payload.label("payload"))


def blobs_of(put: Put) -> list[dict[str, Any]]:
    """What the inserts of a record's large values bind, by column."""
    return [{"graph_id": put.graph_id, "name": name, "content": content} for name, content in put.record.blobs.items()]


def names_of(operation: Operation) -> list[dict[str, Any]]:
    """What the removals of an operation's large values bind."""
    return [{"graph_id": operation.graph_id, "name": name} for name in operation.blobs_to_delete]


def record_of(row: Sequence[Any]) -> Record:
    """The record that a row of ``get`` holds.

    :raises CheckpointDamagedError: it can't be one.
    """
    *fields, payload = row
    values = dict(zip(HEADER_FIELDS, fields, strict=True))
    if values["references_in_payload"] is None:  # written before there was this column, by the core
        values["references_in_payload"] = True
    where = f"checkpoint {values['sequence']} of graph {values['graph_id']!r}"
    if None in (values["timestamp"], values["metadata"]) or not isinstance(payload, bytes | memoryview | bytearray):
        raise _damaged(where, "its timestamp, its metadata or its payload is none")
    try:
        header = RecordHeader.of(values)
    except CheckpointDamagedError as error:
        raise _damaged(where, str(error)) from error
    if header.size != len(payload):
        raise _damaged(where, f"its payload has {len(payload):,} bytes where its header says {header.size:,}")
    return Record(header, bytes(payload))


def line_of(row: Sequence[Any], table: str) -> CheckpointInfo | DamagedRecord:
    """The line of a listing that a row holds, or what is damaged in its place."""
    checkpoint_id, graph_id, sequence, timestamp, size, manual = row
    types = ((checkpoint_id, str), (graph_id, str), (sequence, int), (size, int), (timestamp, datetime))
    if not all(isinstance(value, kind) for value, kind in types):
        where = f"checkpoint {sequence} of graph {graph_id!r}"
        return DamagedRecord(
            graph_id if isinstance(graph_id, str) else None,
            sequence if isinstance(sequence, int) else None,
            f"{where} in table {table}",
            str(_damaged(where, "a field of its header is of the wrong type")),
        )
    return CheckpointInfo(
        checkpoint_id=checkpoint_id if manual else automatic_id(graph_id, sequence),
        graph_id=graph_id,
        sequence=sequence,
        timestamp=timestamp,
        size=size,
        manual=bool(manual),
    )


def _damaged(where: str, reason: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"The row of {where} in the database of the sql backend is damaged: {reason}. Delete this checkpoint, or restore "
        "its row from a backup; the others are not affected."
    )
