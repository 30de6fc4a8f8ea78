"""What differs between databases: how they are connected to, how they lock, and how operations are carried out in a transaction.

That a sequence is used once rests on two things: the primary key, and ``deleted_up_to``, at least the highest sequence of a
graph that was ever deleted, and below the next one. A deletion removes the row and raises ``deleted_up_to`` in one transaction.
A put inserts its row and reads ``deleted_up_to`` *after* that: if its sequence was free because of a deletion, that deletion is
committed, and seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import copy
from hashlib import sha256
from math import ceil
from typing import Any, ClassVar, Final, Self

import sqlalchemy
from sqlalchemy import (
    URL,
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    Table,
    bindparam,
    case,
    delete,
    event,
    func,
    select,
)
from sqlalchemy.sql.elements import ClauseElement

from spark_backend_sql.compiled import DriverStatement, Rows
from spark_backend_sql.operations import Forget, Operation, Outcomes, Put, PutBlobs, taken
from spark_backend_sql.schema import Tables

LOCK_TIMEOUT: Final = 0.05
"""Seconds that the database waits for a lock before it reports it. How long a call waits in all is decided by us."""
IN_USE: Final = "is in use"
DELETED: Final = "was used before and its checkpoint, or a later one, has been deleted"


class RefusedError(Exception):
    """Operations can't be carried out together: a sequence among them can't be used, or what is to be deleted is not there."""


class PartlyStoredError(RefusedError):
    """The same, and some of the records may be stored if they needed no BEGIN: a trigger that is not ours left out others."""


class Dialect(ABC):
    """One kind of database. ``driver`` is the driver's own connection, as SQLAlchemy's engine makes it.

    :param tables: those that operations are about.
    :param sql: SQLAlchemy's dialect of the database and its driver.
    """

    drivers: ClassVar[Sequence[tuple[str, str]]] = ()
    """The drivers that work, the best first: module, and SQLAlchemy's name."""
    install: ClassVar[str] = "install the driver that the URL names, or name another one"
    """How to get a driver."""
    runs_in_process: ClassVar[bool] = False
    """The database is a file and not a server. One lock holds up all of it."""
    sends_in_one_piece: bool = False
    """``send`` works with this driver."""

    # to connect

    @classmethod
    @abstractmethod
    def engine_options(cls, url: URL, *, wait: float) -> dict[str, Any]:
        """The options of ``create_engine`` for the engine that writes.

        :param wait: seconds that a call waits at most.
        """

    @classmethod
    @abstractmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float, creates: bool) -> None:
        """Make every new connection of these engines behave as durable storage needs it.

        :param creates: whether a database that is a file is made where there is none.
        """

    def is_snapshot(self, driver: Any) -> bool:
        """Whether this connection does not see what others write after it was made."""
        return False

    @abstractmethod
    def exclusively(self, connection: Connection, name: str) -> AbstractContextManager[None]:
        """A transaction during which no other program changes the tables of this name."""

    # to carry out operations

    def __init__(self, tables: Tables, sql: sqlalchemy.Dialect) -> None:
        self._sql = sql
        records, graphs, blobs = tables.checkpoints, tables.graphs, tables.blobs
        at_address = (records.c.graph_id == bindparam("graph_id"), records.c.sequence == bindparam("sequence"))
        of_graph: BindParameter[str] = bindparam("graph_id")
        self._insert_record = self._compiled(self.insert_new(records, ["graph_id", "sequence"]))
        self._delete_record = self._compiled(delete(records).where(*at_address))
        self._nonce = self._compiled(select(records.c.nonce).where(*at_address))
        self._deleted_up_to = self._compiled(select(graphs.c.deleted_up_to).where(graphs.c.graph_id == of_graph))
        self._raise_deleted_up_to = self._compiled(self.insert_or_raise(graphs, "graph_id", "deleted_up_to"))
        # A blob that exists came with a record whose acknowledgement was lost, and is the same.
        self._insert_blob = self._compiled(self.insert_or_keep(blobs, ["graph_id", "name"]))
        self._delete_blob = self._compiled(
            delete(blobs).where(blobs.c.graph_id == of_graph, blobs.c.name == bindparam("name"))
        )
        self._sequences = self._compiled(select(records.c.sequence).where(records.c.graph_id == of_graph))
        self._delete_all = [
            self._compiled(delete(table).where(table.c.graph_id == of_graph)) for table in (records, blobs, graphs)
        ]

    def copy_for(self, sql: sqlalchemy.Dialect) -> Self:
        """The same for another database, with the statements that are compiled already."""
        copied = copy(self)
        copied._sql = sql
        return copied

    @abstractmethod
    def begin(self, driver: Any) -> None:
        """Begin a transaction that writes. The driver's ``commit`` and ``rollback`` end it."""

    def set_lock_timeout(self, driver: Any, seconds: float) -> None:  # noqa: B027 - most can't
        """Wait no longer for a lock in the transaction under way, where the database has such a setting."""

    def set_no_wait(self, driver: Any, *, no_wait: bool) -> None:  # noqa: B027 - only for what runs in this process
        """From now on wait for no lock, and leave work to others that may take long; or stop doing so."""

    def make_room(self, driver: Any) -> None:  # noqa: B027 - only for what runs in this process
        """Prepare what the next transactions will need, in a thread that may take its time."""

    def fetch(self, driver: Any, run: Callable[[Any], Any]) -> Rows:
        """The rows of a statement that reads. ``run`` runs it, given the driver's connection, and returns the cursor."""
        rows: Rows = run(driver).fetchall()
        return rows

    def takes_pieces(self, driver: Any) -> bool:
        """Whether ``send`` works with this connection."""
        return True

    def send(self, driver: Any, operations: Sequence[Operation]) -> Outcomes:
        """Carry out operations, ``Forget`` aside, in a transaction of its own that takes one round trip. All or nothing.

        :raises RefusedError: a sequence is in use, or may have been deleted. ``apply`` finds out which.
        """
        raise NotImplementedError

    def is_one_statement(self, operations: Sequence[Operation]) -> bool:
        """Whether ``apply_all`` changes the database in one statement, which needs no BEGIN and COMMIT around it."""
        return False

    def apply_all(self, driver: Any, operations: Sequence[Operation]) -> Outcomes:
        """As ``apply``, perhaps faster where nothing is refused and all that is to be deleted is there.

        :raises RefusedError: that is not so. The transaction has to be rolled back, and ``apply`` finds out why.
        """
        return self.apply(driver, operations)

    def apply(self, driver: Any, operations: Sequence[Operation]) -> Outcomes:
        """Carry out operations in the transaction under way. Of those that are refused, nothing is left in it."""
        outcomes: Outcomes = {}
        for operation in operations:
            if isinstance(operation, PutBlobs):
                self._insert_blobs(driver, operation)
            elif isinstance(operation, Put) and (reason := self._store(driver, operation)):
                outcomes[operation] = taken(operation, reason)
        for operation in operations:
            if operation not in outcomes:
                outcomes[operation] = self._delete(driver, operation)
        return outcomes

    def is_stored(self, driver: Any, put: Put) -> bool:
        """Whether the record at this address is this very one."""
        found = self._nonce_at(driver, put)
        return found is not None and found[0] == put.record.header.nonce

    def _store(self, driver: Any, put: Put) -> str:
        """Store the record; returns why that is refused, or ""."""
        reason = self._insert(driver, put)
        if not reason and put.record.blobs:
            self._insert_blobs(driver, put)
        return reason

    def _insert_blobs(self, driver: Any, operation: Put | PutBlobs) -> None:
        self._insert_blob.run_many(driver, operation.blobs)

    def _insert(self, driver: Any, put: Put) -> str:
        """Insert the record; returns why that is refused, or ""."""
        is_inserted = self._insert_row(driver, put)
        if not self._was_deleted(driver, put):
            return "" if is_inserted else IN_USE
        if is_inserted:
            self._delete_row(driver, put.graph_id, put.record.sequence)
        return DELETED

    def _insert_row(self, driver: Any, put: Put) -> bool:
        inserted: int = self._insert_record.run(driver, put.values).rowcount
        return inserted == 1

    def _is_there(self, driver: Any, put: Put) -> bool:
        """Whether some record has this address."""
        return self._nonce_at(driver, put) is not None

    def _nonce_at(self, driver: Any, put: Put) -> Any:
        return self._nonce.run(driver, {"graph_id": put.graph_id, "sequence": put.record.sequence}).fetchone()

    def _was_deleted(self, driver: Any, put: Put) -> bool:
        found = self._deleted_up_to.run(driver, {"graph_id": put.graph_id}).fetchone()
        return found is not None and found[0] >= put.record.sequence

    def _delete(self, driver: Any, operation: Operation) -> list[int]:
        """Delete what the operation says; the sequences that existed."""
        if isinstance(operation, Forget):
            return self._forget(driver, operation.graph_id)
        if operation.blobs_to_delete:
            self._delete_blobs(driver, operation)
        return self._delete_rows(driver, operation) if operation.to_delete else []

    def _delete_blobs(self, driver: Any, operation: Operation) -> None:
        names = [{"graph_id": operation.graph_id, "name": name} for name in operation.blobs_to_delete]
        self._delete_blob.run_many(driver, names)

    def _delete_rows(self, driver: Any, operation: Operation) -> list[int]:
        graph_id = operation.graph_id
        deleted = [sequence for sequence in operation.to_delete if self._delete_row(driver, graph_id, sequence)]
        if deleted:
            self._raise_deleted_up_to.run(driver, {"graph_id": graph_id, "deleted_up_to": max(deleted)})
        return deleted

    def _delete_row(self, driver: Any, graph_id: str, sequence: int) -> bool:
        deleted: int = self._delete_record.run(driver, {"graph_id": graph_id, "sequence": sequence}).rowcount
        return deleted == 1

    def _forget(self, driver: Any, graph_id: str) -> list[int]:
        """Leave no row of a graph; the sequences that existed."""
        found = [sequence for (sequence,) in self._sequences.run(driver, {"graph_id": graph_id}).fetchall()]
        for statement in self._delete_all:
            statement.run(driver, {"graph_id": graph_id})
        return sorted(sequence for sequence in found if isinstance(sequence, int))

    def _compiled(self, statement: ClauseElement) -> DriverStatement:
        return DriverStatement(statement, self._sql)

    # to make statements

    @abstractmethod
    def insert_into(self, table: Table) -> Any:
        """The database's own INSERT."""

    def insert_new(self, table: Table, keys: Sequence[str]) -> ClauseElement:
        """An INSERT that leaves out a row whose keys exist."""
        return self.insert_or_keep(table, keys)

    def insert_or_keep(self, table: Table, keys: Sequence[str]) -> Insert:
        """An INSERT that keeps what is stored where the keys exist."""
        statement: Insert = self.insert_into(table).on_conflict_do_nothing(index_elements=keys)
        return statement

    def insert_or_raise(self, table: Table, key: str, column: str) -> Insert:
        """An INSERT that, where the key exists, makes the column at least as large as the new value."""
        new = self.insert_into(table)
        larger = case((new.excluded[column] > table.c[column], new.excluded[column]), else_=table.c[column])
        statement: Insert = new.on_conflict_do_update(index_elements=[key], set_={column: larger})
        return statement

    def position_of(self, part: ColumnElement[str], column: ColumnElement[Any]) -> ColumnElement[int]:
        """Where in a column's text the part begins, from 1, case and all; 0 when it is not there."""
        return func.instr(column, part)


def connect_timeout(url: URL, wait: float) -> dict[str, Any]:
    """Options of a server's driver, unless the URL has them: don't wait longer for a connection than a call does."""
    is_known = url.get_driver_name() in _WITH_CONNECT_TIMEOUT
    if not is_known or "connect_timeout" in url.query:
        return {}
    return {"connect_timeout": max(2, ceil(min(wait, _LONGEST_CONNECT)))}  # psycopg takes no less


def set_up_sessions(engines: Sequence[Engine], settings: str) -> None:
    """Have each new connection of these engines run this statement first."""

    def set_up(connection: Any, record: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(settings)
        finally:
            cursor.close()
        # Settings made in a transaction would be undone with it.
        connection.commit()

    for engine in engines:
        event.listen(engine, "connect", set_up)


def lock_number(name: str) -> int:
    """The number of the advisory lock on the tables of this name."""
    return int.from_bytes(sha256(f"spark-graphs {name}".encode()).digest()[:7])


_LONGEST_CONNECT: Final = 10.0
_WITH_CONNECT_TIMEOUT: Final = ("psycopg", "psycopg2", "pymysql", "mysqldb")
