"""The way of a single save: its whole transaction in one call of the driver, with the deletions that ride along.

It stores the record or it does not, and never finds out why: whoever is refused goes the long way through ``ledger``, which
does. So nothing here needs a second look at the database, nor a second round trip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import (
    Dialect,
    Engine,
    PoolProxiedConnection,
    bindparam,
    case,
    delete,
    exists,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from spark.graphs.checkpoint import Record
from spark_backend_sql.dialects import insert_or_raise
from spark_backend_sql.driver_sql import DriverStatement
from spark_backend_sql.operations import Address
from spark_backend_sql.schema import Tables
from spark_backend_sql.statements import values_of


class RefusedError(Exception):
    """It can't be done in this way; nothing was changed."""


class Shortcut(Protocol):
    """How one kind of database is told all at once."""

    def store(self, connection: Any, record: Record, going: Sequence[Address]) -> tuple[bool, list[bool]]:
        """Store the record and delete the others, in one transaction.

        :param connection: the driver's own, outside any transaction.
        :return: whether the record was stored, and which of the others there were.
        :raises RefusedError: nothing was changed, since the record's sequence may be one that was deleted.
        """
        ...


def shortcut_for(tables: Tables, engine: Engine) -> Shortcut | None:
    """The shortcut of this database and driver, where there is one."""
    if engine.dialect.name == "sqlite":
        return SqliteShortcut(tables, engine.dialect)
    if engine.dialect.driver == "psycopg":
        from psycopg import Pipeline

        return PsycopgShortcut(tables, engine.dialect) if Pipeline.is_supported() else None
    return None


@contextmanager
def driver_connection(engine: Engine) -> Iterator[Any]:
    """A connection of the driver, from the engine's pool; what fails on it is raised as SQLAlchemy's error, and costs it."""
    dialect, pooled = engine.dialect, None
    try:
        pooled = engine.raw_connection()
        yield pooled.dbapi_connection
    except RefusedError:
        raise
    except dialect.loaded_dbapi.Error as error:
        is_lost = dialect.is_disconnect(error, pooled and pooled.dbapi_connection, None)
        _invalidate(pooled)
        raise _wrapped(error, dialect, is_lost=is_lost) from error
    except BaseException:
        _invalidate(pooled)
        raise
    finally:
        if pooled is not None:
            pooled.close()


def _invalidate(pooled: PoolProxiedConnection | None) -> None:
    # Its transaction may still be open; nobody shall inherit that.
    if pooled is not None:
        pooled.invalidate()


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

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
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
        self._raise_floor = DriverStatement(
            insert_or_raise(graphs, name=dialect.name, key="graph_id", column="deleted_up_to"), dialect
        )

    def store(self, connection: Any, record: Record, going: Sequence[Address]) -> tuple[bool, list[bool]]:
        if not going:
            return self._put(connection, record), []
        connection.execute("BEGIN IMMEDIATE")
        is_stored = self._put(connection, record)
        deleted = [self._remove(connection, address) for address in going]
        connection.execute("COMMIT")
        return is_stored, deleted

    def _put(self, connection: Any, record: Record) -> bool:
        done: int = connection.execute(self._insert.text, self._insert.bound(values_of(record))).rowcount
        return done == 1

    def _remove(self, connection: Any, address: Address) -> bool:
        graph_id, sequence = address
        values = {"graph_id": graph_id, "sequence": sequence}
        if connection.execute(self._delete.text, self._delete.bound(values)).rowcount != 1:
            return False
        connection.execute(
            self._raise_floor.text, self._raise_floor.bound({"graph_id": graph_id, "deleted_up_to": sequence})
        )
        return True


class PsycopgShortcut:
    """In PostgreSQL several statements go there in one piece, and are one transaction; a check among them can end it.

    Each sees what was committed before it began, so the check after the insert sees a deletion that the insert waited for.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        records, graphs = tables.checkpoints, tables.graphs
        insert = postgresql.insert(records).on_conflict_do_nothing(index_elements=["graph_id", "sequence"])
        self._insert = DriverStatement(insert, dialect)
        was_deleted = exists().where(
            graphs.c.graph_id == bindparam("graph_id"), graphs.c.deleted_up_to >= bindparam("sequence")
        )
        # Whoever changed the level of the session, a pooler between for instance, made the check worthless.
        is_unsound = text("current_setting('transaction_isolation') <> 'read committed'")
        divisor = case((or_(was_deleted, is_unsound), literal_column("0")), else_=literal_column("1"))
        self._check = DriverStatement(select(literal_column("1").op("/")(divisor)), dialect)
        address = (records.c.graph_id == bindparam("graph_id"), records.c.sequence == bindparam("sequence"))
        gone = delete(records).where(*address).returning(records.c.graph_id, records.c.sequence).cte("gone")
        raise_floor = insert_or_raise(graphs, name=dialect.name, key="graph_id", column="deleted_up_to")
        self._delete = DriverStatement(
            raise_floor.from_select(["graph_id", "deleted_up_to"], select(gone.c.graph_id, gone.c.sequence)), dialect
        )

    def store(self, connection: Any, record: Record, going: Sequence[Address]) -> tuple[bool, list[bool]]:
        from psycopg.errors import DivisionByZero

        # Outside of BEGIN and COMMIT, what is sent in one piece is one transaction.
        connection.autocommit = True
        try:
            with connection.pipeline():
                values = values_of(record)
                inserted = connection.execute(self._insert.text, self._insert.bound(values))
                connection.execute(self._check.text, self._check.bound(values))
                deleted = [
                    connection.execute(self._delete.text, self._delete.bound(_values_of_address(each)))
                    for each in going
                ]
        except DivisionByZero:
            connection.autocommit = False
            raise RefusedError from None
        connection.autocommit = False
        return inserted.rowcount == 1, [each.rowcount == 1 for each in deleted]


def _values_of_address(address: Address) -> Mapping[str, Any]:
    return {"graph_id": address[0], "sequence": address[1]}
