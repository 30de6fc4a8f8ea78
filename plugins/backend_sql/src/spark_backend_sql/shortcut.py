"""The way of a single save: its whole transaction in one call of the driver, with the deletions that go with it.

It stores the record or it does not, and never finds out why: whoever is refused goes the long way through ``ledger``, which
does. So nothing here needs a second look at the database, nor a second round trip.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    Dialect,
    Engine,
    bindparam,
    case,
    delete,
    exists,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from spark_backend_sql.dialects import hurry, insert_or_raise
from spark_backend_sql.driver_sql import DriverStatement
from spark_backend_sql.operations import Put
from spark_backend_sql.schema import Tables
from spark_backend_sql.statements import Statements, blobs_of, names_of

Result = TypeVar("Result")


class RefusedError(Exception):
    """It can't be done in this way; nothing was changed."""


class Shortcut(Protocol):
    """How one kind of database is told all at once."""

    def store(self, connection: Any, put: Put) -> list[int]:
        """Store the record and remove those that go with it, in one transaction; returns those that there were.

        :param connection: the driver's own, outside any transaction.
        :raises RefusedError: nothing was changed: the record's sequence is in use, or may be one that was deleted.
        """
        ...


def shortcut_for(tables: Tables, engine: Engine, statements: Statements) -> Shortcut | None:
    """The shortcut of this database and driver, where there is one."""
    if engine.dialect.name == "sqlite":
        return SqliteShortcut(tables, engine.dialect, statements)
    if engine.dialect.driver == "psycopg":
        from psycopg import Pipeline

        return PsycopgShortcut(tables, engine.dialect, statements) if Pipeline.is_supported() else None
    return None


class DriverConnection:
    """The writer's own connection of the driver, kept from one save to the next.

    Fetching one from the pool, and putting it back, costs as much as storing a small checkpoint. It is made as the pool makes
    its own, and used by one thread at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._is_hurried = False

    @property
    def is_open(self) -> bool:
        """Whether the next save finds it made."""
        return self._connection is not None

    def open(self) -> None:
        """Make the connection, where there is none: what fails here has changed nothing.

        :raises sqlalchemy.exc.DBAPIError: the driver's error, as SQLAlchemy wraps it.
        """
        self.run(lambda connection: None)

    def run(self, work: Callable[..., Result], *arguments: Any, no_wait: bool = False) -> Result:
        """What the work returns, given the connection and the arguments.

        :param no_wait: SQLite shall wait for nobody's lock, and leave its checkpoint to others.

        What fails costs the connection, as does what is refused: a transaction may still be open, and of statements sent in
        one piece with one that failed, nobody knows which the server has prepared.

        :raises sqlalchemy.exc.DBAPIError: the driver's error, as SQLAlchemy wraps it.
        """
        dialect = self._engine.dialect
        try:
            if self._connection is None:
                self._connection, self._is_hurried = self._new(), False
            if no_wait is not self._is_hurried:
                hurry(self._connection, no_wait=no_wait)
                self._is_hurried = no_wait
            return work(self._connection, *arguments)
        except dialect.loaded_dbapi.Error as error:
            is_lost = dialect.is_disconnect(error, self._connection, None)
            self.close()
            raise _wrapped(error, dialect, is_lost=is_lost) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next save makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._engine.dialect.loaded_dbapi.Error):
                connection.close()

    def _new(self) -> Any:
        pooled = self._engine.raw_connection()
        pooled.detach()
        return pooled.dbapi_connection


def _wrapped(error: Exception, dialect: Dialect, *, is_lost: bool) -> BaseException:
    return DBAPIError.instance(
        None,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )


class SqliteShortcut:
    """In SQLite a statement sees nothing change from its beginning to its end, so one does it all."""

    def __init__(self, tables: Tables, dialect: Dialect, statements: Statements) -> None:
        self._insert_blob, self._delete_blob = statements.insert_blob, statements.delete_blob
        records, graphs = tables.checkpoints, tables.graphs
        names = [column.name for column in records.columns]
        bound = {column.name: bindparam(column.name, type_=column.type) for column in records.columns}
        was_deleted = exists().where(
            graphs.c.graph_id == bound["graph_id"], graphs.c.deleted_up_to >= bound["sequence"]
        )
        insert = sqlite.insert(records).from_select(names, select(*bound.values()).where(~was_deleted))
        self._insert = DriverStatement(insert.on_conflict_do_nothing(index_elements=["graph_id", "sequence"]), dialect)
        address = (records.c.graph_id == bindparam("graph_id"), records.c.sequence == bindparam("sequence"))
        self._delete = DriverStatement(delete(records).where(*address), dialect)
        self._raise_floor = statements.raise_floor

    def store(self, connection: Any, put: Put) -> list[int]:
        if not put.to_delete and not put.record.blobs:
            self._insert_into(connection, put)
            return []
        connection.execute("BEGIN IMMEDIATE")
        self._insert_into(connection, put)
        for blob in blobs_of(put):
            connection.execute(self._insert_blob.text, self._insert_blob.arranged(blob))
        for name in names_of(put):
            connection.execute(self._delete_blob.text, self._delete_blob.arranged(name))
        graph_id = put.record.graph_id
        deleted = [sequence for sequence in put.to_delete if self._remove(connection, graph_id, sequence)]
        if deleted:
            floor = {"graph_id": graph_id, "deleted_up_to": max(deleted)}
            connection.execute(self._raise_floor.text, self._raise_floor.arranged(floor))
        connection.execute("COMMIT")
        return deleted

    def _insert_into(self, connection: Any, put: Put) -> None:
        if connection.execute(self._insert.text, self._insert.arranged(put.values)).rowcount != 1:
            raise RefusedError

    def _remove(self, connection: Any, graph_id: str, sequence: int) -> bool:
        values = {"graph_id": graph_id, "sequence": sequence}
        removed: int = connection.execute(self._delete.text, self._delete.arranged(values)).rowcount
        return removed == 1


class PsycopgShortcut:
    """In PostgreSQL several statements go there in one piece, and are one transaction; a check among them can end it.

    Each sees what was committed before it began, so the check after the insert sees a deletion that the insert waited for.
    """

    def __init__(self, tables: Tables, dialect: Dialect, statements: Statements) -> None:
        self._insert_blob, self._delete_blob = statements.insert_blob, statements.delete_blob
        records, graphs = tables.checkpoints, tables.graphs
        # A sequence in use is an error, which ends the transaction: nothing may go for a record that is not stored.
        self._insert = DriverStatement(records.insert(), dialect)
        was_deleted = exists().where(
            graphs.c.graph_id == bindparam("graph_id"), graphs.c.deleted_up_to >= bindparam("sequence")
        )
        # Whoever changed the level of the session, a pooler between for instance, made the check worthless.
        is_unsound = text("current_setting('transaction_isolation') <> 'read committed'")
        divisor = case((or_(was_deleted, is_unsound), literal_column("0")), else_=literal_column("1"))
        self._check = DriverStatement(select(literal_column("1").op("/")(divisor)), dialect)
        address = (records.c.graph_id == bindparam("graph_id"), records.c.sequence == bindparam("sequence"))
        deleted = delete(records).where(*address).returning(records.c.graph_id, records.c.sequence).cte("gone")
        raise_floor = insert_or_raise(graphs, name=dialect.name, key="graph_id", column="deleted_up_to")
        self._delete = DriverStatement(
            raise_floor.from_select(["graph_id", "deleted_up_to"], select(deleted.c.graph_id, deleted.c.sequence)),
            dialect,
        )

    def store(self, connection: Any, put: Put) -> list[int]:
        from psycopg.errors import DivisionByZero, UniqueViolation

        graph_id = put.record.graph_id
        # Made before anything is sent: where the pipeline ends, be it by an error, what it was given is committed.
        coming, to_delete = blobs_of(put), names_of(put)
        try:
            # Outside of BEGIN and COMMIT, what is sent in one piece is one transaction.
            with connection.pipeline():
                connection.execute(self._insert.text, put.values)
                connection.execute(self._check.text, put.values)
                for blob in coming:
                    connection.execute(self._insert_blob.text, blob)
                for name in to_delete:
                    connection.execute(self._delete_blob.text, name)
                removed = [
                    connection.execute(self._delete.text, {"graph_id": graph_id, "sequence": sequence})
                    for sequence in put.to_delete
                ]
        except (DivisionByZero, UniqueViolation):
            raise RefusedError from None
        return [sequence for sequence, result in zip(put.to_delete, removed, strict=True) if result.rowcount == 1]
