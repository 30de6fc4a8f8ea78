"""SQLite: a file, which one connection at a time writes. Statements cost no round trips: all transactions are made in one way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    case,
    event,
    exists,
    null,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ClauseElement

from spark.graphs.checkpoint.storage import path_not_found
from spark_backend_sql.compiled import DriverRows
from spark_backend_sql.dialect import DELETED, IN_USE, LOCK_TIMEOUT, Dialect, PartlyStoredError, RefusedError
from spark_backend_sql.operations import Forget, Operation, Outcomes, Put, PutBlobs
from spark_backend_sql.schema import Tables

_SHORT_LOG: Final = 800
"""Pages in SQLite's log at which a commit moves them into the database file. What no-wait commits leave to the next other
one is more: starting a new part of the log, for which the file has to grow, costs a commit more than reusing one."""
_LONG_LOG: Final = 8_000
_LONG_ENOUGH: Final = _SHORT_LOG * 4096
"""Bytes of a log that need not become longer: it is moved into the file then, and used again from its beginning."""
_ROOM: Final = 1_000_000
"""Bytes by which it is made longer at a time; to write them takes as long as some 20 saves gain by it."""
_CACHE: Final = -500
"""KiB of pages that the writing connection keeps in memory: a run that saves much at once has them beside its state."""
_TAKES_MANY: Final = sqlite3.sqlite_version_info >= (3, 32)
"""A statement may have thousands of values; in older SQLites it has 999, of which a row has 19."""
_ROWS_AT_ONCE: Final = (2, 4, 8, 16, 24, 32, 48, *((64, 80, 104) if _TAKES_MANY else ()))
"""With so many rows there is a statement that inserts them."""
_UNDONE: Final = frozenset((sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_NOTNULL))
"""Why SQLite undoes an INSERT OR ABORT as a whole. Where a trigger says RAISE(FAIL), it keeps the rows before that one."""
_URI: Final = "file:"
"""How a path begins that is written as a URI."""


class SqliteDialect(Dialect):
    """SQLite, through Python's own driver."""

    runs_in_process = True

    @classmethod
    def engine_options(cls, url: URL, *, wait: float) -> dict[str, Any]:
        # We begin transactions ourselves; the driver begins none of its own accord.
        return {"isolation_level": "AUTOCOMMIT", "connect_args": {"timeout": LOCK_TIMEOUT}}

    @classmethod
    def prepare_connections(cls, writing: Engine, reading: Engine, *, wait: float, creates: bool) -> None:
        for engine in (writing, reading):
            event.listen(engine, "do_connect", _find_first(engine.url, creates=creates))
        event.listen(writing, "connect", _prepare_writer)
        event.listen(reading, "connect", _prepare_reader)

    def __init__(self, tables: Tables, sql: Any) -> None:
        self._graphs, self._records = tables.graphs, tables.checkpoints
        super().__init__(tables, sql)
        self._replace_record = self._compiled(self._replace(tables.checkpoints))
        self._log: str | None = None
        """The path of SQLite's log,"""
        self._log_size = -1
        """and its length when it was lengthened last."""
        self._raise_ahead = self._compiled(self._insert_or_raise_ahead())

    def is_snapshot(self, driver: Any) -> bool:
        return isinstance(driver, _Snapshot) or (isinstance(driver, _Reading) and driver.is_of_another_file())

    @contextmanager
    def exclusively(self, connection: Connection, name: str) -> Iterator[None]:
        with connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield

    def begin(self, driver: Any) -> None:
        # A transaction that begins by reading, and writes later, fails at once when another one has written in between.
        driver.execute("BEGIN IMMEDIATE")

    def set_no_wait(self, driver: Any, *, no_wait: bool) -> None:
        driver.execute(f"PRAGMA busy_timeout={0 if no_wait else int(LOCK_TIMEOUT * 1000)}")
        driver.execute(f"PRAGMA wal_autocheckpoint={_LONG_LOG if no_wait else _SHORT_LOG}")

    def make_room(self, driver: sqlite3.Connection) -> None:
        """Lengthen the log, once it is in use, by what a while of saves will need.

        A save for which the file has to grow takes about half as long again, since the disk's own journal is written, too.
        What a transaction that was rolled back leaves in the log is written over by the next ones.
        """
        if self._log_size >= _LONG_ENOUGH:  # and it does not become shorter
            return
        if self._log is None:
            self._log = _log_of(driver)
        with suppress(OSError, sqlite3.Error):  # as it is, the log serves as well
            size = os.path.getsize(self._log)
            if size != self._log_size and size < _LONG_ENOUGH:  # the room that was made is used up
                _write_for_nothing(driver, _ROOM)
                size = os.path.getsize(self._log)
            self._log_size = size

    def is_one_statement(self, operations: Sequence[Operation]) -> bool:
        return len(operations) <= _ROWS_AT_ONCE[-1] and all(map(_only_adds, operations))

    def insert_into(self, table: Table) -> Any:
        return sqlite.insert(table)

    def insert_new(self, table: Table, keys: Sequence[str]) -> ClauseElement:
        """Checked against ``deleted_up_to`` by the same statement: no other connection writes while it runs."""
        bound = {column.name: bindparam(column.name, type_=column.type) for column in table.columns}
        is_free = ~self._was_deleted_before(bound)
        insert = sqlite.insert(table).from_select([*bound], select(*bound.values()).where(is_free))
        return insert.on_conflict_do_nothing(index_elements=keys)

    @cached_property
    def _insert_records(self) -> DriverRows:
        """Inserts many records, or fails and changes nothing if a sequence among them can't be used.

        Made for the first transaction with several.
        """
        table = self._records
        row = select(*(bindparam(column.name, type_=column.type).label(column.name) for column in table.columns))
        new, graphs = row.subquery("new").c, self._graphs.c
        was_deleted = exists().where(graphs.graph_id == new.graph_id, graphs.deleted_up_to >= new.sequence)
        # Without a graph id no row is inserted. A row of nothing is one that there are too few of.
        graph_id = case((was_deleted, null()), else_=new.graph_id)
        rows = select(*(graph_id if each is new.graph_id else each for each in new)).where(new.sequence.is_not(None))
        insert = sqlite.insert(table).prefix_with("OR ABORT").from_select([*table.columns.keys()], rows)
        return DriverRows(insert, row, self._sql, counts=_ROWS_AT_ONCE)

    def _replace(self, table: Table) -> ClauseElement:
        """An UPDATE that puts a new record into the row of an old one of its graph, unless its sequence can't be used."""
        columns, bound = table.c, {column.name: bindparam(column.name, type_=column.type) for column in table.columns}
        statement = table.update().prefix_with("OR IGNORE").values(bound)
        is_old = (columns.graph_id == bound["graph_id"], columns.sequence == bindparam("old", type_=BigInteger))
        return statement.where(*is_old, ~self._was_deleted_before(bound))

    def _was_deleted_before(self, bound: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
        graphs = self._graphs.c
        return exists().where(graphs.graph_id == bound["graph_id"], graphs.deleted_up_to >= bound["sequence"])

    def _insert_or_raise_ahead(self) -> ClauseElement:
        """Raises ``deleted_up_to``, where it is below ``highest``: the highest sequence that is deleted now."""
        new = sqlite.insert(self._graphs)
        is_below = self._graphs.c.deleted_up_to < bindparam("highest", type_=BigInteger)
        raised = {"deleted_up_to": new.excluded.deleted_up_to}
        return new.on_conflict_do_update(index_elements=["graph_id"], set_=raised, where=is_below)

    def apply_all(self, driver: Any, operations: Sequence[Operation]) -> Outcomes:
        """Each kind of statement is run once for all of them: to begin one anew costs as much as to store a small row.

        A record for which one other is deleted takes that one's row, which is half the work.
        """
        if all(map(_only_adds, operations)):
            self._insert_all(driver, operations)  # type: ignore[arg-type]  # puts
            return {each: [] for each in operations}
        puts = [operation for operation in operations if isinstance(operation, Put)]
        if len(puts) < len(operations) and any(isinstance(operation, Forget) for operation in operations):
            return self.apply(driver, operations)
        replacing = [put for put in puts if _takes_a_row(put)]
        others = [each for each in operations if not _takes_a_row(each)] if replacing else operations
        added = [each for each in others if isinstance(each, Put)] if replacing else puts
        if self._replace_all(driver, replacing) < len(replacing):
            raise RefusedError
        self._insert_all(driver, added)
        for each in operations:
            if isinstance(each, PutBlobs) or (isinstance(each, Put) and each.record.blobs):
                self._insert_blob.run_many(driver, each.blobs)
        for operation in operations:
            if operation.blobs_to_delete:
                self._delete_blobs(driver, operation)
        self._delete_all_rows(driver, others)
        self._raise_marks(driver, operations)
        return {each: [*each.to_delete] for each in operations}

    def _replace_all(self, driver: Any, puts: Sequence[Put]) -> int:
        """How many of the records could take the row of the one that goes."""
        if not puts:
            return 0
        rows = [{**put.values, "old": put.to_delete[0]} for put in puts]
        replaced: int = self._replace_record.run_many(driver, rows).rowcount
        return replaced

    def _insert_all(self, driver: Any, puts: Sequence[Put]) -> None:
        """Insert all of the records, or raise ``RefusedError``."""
        if len(puts) == 1:
            if not self._insert_row(driver, puts[0]):
                raise RefusedError
            return
        try:
            inserted = self._insert_records.run(driver, [put.values for put in puts])
        except sqlite3.IntegrityError as error:
            raise (RefusedError if error.sqlite_errorcode in _UNDONE else PartlyStoredError) from error
        if inserted < len(puts):
            raise PartlyStoredError

    def _delete_all_rows(self, driver: Any, operations: Sequence[Operation]) -> None:
        addresses = [
            {"graph_id": each.graph_id, "sequence": sequence} for each in operations for sequence in each.to_delete
        ]
        if addresses and self._delete_record.run_many(driver, addresses).rowcount < len(addresses):
            raise RefusedError

    def _raise_marks(self, driver: Any, operations: Sequence[Operation]) -> None:
        """Raise ``deleted_up_to`` of each graph that loses a record.

        With a new record it goes up to just below that one, so that a run that keeps the last ten raises it once in ten saves:
        what is between was used, too, or is too late.
        """
        marks = [
            {
                "graph_id": each.graph_id,
                "highest": (highest := max(each.to_delete)),
                "deleted_up_to": _mark(each, highest),
            }
            for each in operations
            if each.to_delete
        ]
        if marks:
            self._raise_ahead.run_many(driver, marks)

    def _insert(self, driver: Any, put: Put) -> str:
        if self._insert_row(driver, put):
            return ""
        return IN_USE if self._is_there(driver, put) else DELETED

    def _forget(self, driver: Any, graph_id: str) -> list[int]:
        # Otherwise what is deleted stays in the file until something else is written there.
        driver.execute("PRAGMA secure_delete=ON")
        try:
            return super()._forget(driver, graph_id)
        finally:
            driver.execute("PRAGMA secure_delete=OFF")


def _only_adds(operation: Operation) -> bool:
    """Whether it stores a row, and does nothing else."""
    if not isinstance(operation, Put):
        return False
    return not (operation.to_delete or operation.blobs_to_delete or operation.record.blobs)


def _takes_a_row(operation: Operation) -> bool:
    """Whether it is a record for which one other is deleted."""
    to_delete = operation.to_delete
    return len(to_delete) == 1 and isinstance(operation, Put) and to_delete[0] != operation.record.sequence


def _mark(operation: Operation, highest: int) -> int:
    return max(highest, operation.record.sequence - 1) if isinstance(operation, Put) else highest


def _prepare_writer(connection: sqlite3.Connection, record: object) -> None:
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size={_CACHE}")


def _prepare_reader(connection: sqlite3.Connection, record: object) -> None:
    # Otherwise a changed byte in one row would keep all the others from being read. A row with such text is found damaged.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")


def _log_of(connection: sqlite3.Connection) -> str:
    """The path of the log of this database; nothing where it keeps a journal instead."""
    is_log = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    return f"{connection.execute('PRAGMA database_list').fetchone()[2]}-wal" if is_log else ""


def _write_for_nothing(connection: sqlite3.Connection, size: int) -> None:
    """Write so many bytes to the log, in a transaction that is rolled back: they don't fit into the memory that it has."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("PRAGMA cache_size=10")
        connection.execute("CREATE TABLE room (content)")
        connection.execute("INSERT INTO room VALUES (zeroblob(?))", (size,))
    finally:
        connection.rollback()
        connection.execute(f"PRAGMA cache_size={_CACHE}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers and the writer don't wait for each other. The mode stays with the file."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        # A file that can't have it, as on some network file systems, keeps its own journal.
    except sqlite3.OperationalError as error:
        # That a file is read-only is reported when it is written.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise


# the file


def file_of(url: URL) -> str:
    """The path of the file that holds the database."""
    database = url.database or ""
    if not database.startswith(_URI):
        return database
    path = unquote(database.removeprefix(_URI).partition("?")[0].partition("#")[0])
    return "/" + path[2:].partition("/")[2] if path.startswith("//") else path


def with_absolute_path(url: URL) -> URL:
    """The URL that means the same file whatever the program's working directory becomes; ``~`` is the user's home."""
    path = os.path.abspath(os.path.expanduser(file_of(url)))
    return url.set(database=_URI + quote(path) if (url.database or "").startswith(_URI) else path)


def is_in_memory(url: URL) -> bool:
    """Whether this is no file at all."""
    database = url.database or ""
    is_named_so = database in ("", ":memory:") or database.startswith("file::memory:")
    return is_named_so or url.query.get("mode") == "memory"


def create_for_the_owner(url: URL) -> None:
    """Create the file of a new database so that nobody else can read it, before SQLite creates it for everybody.

    Its log, and whatever else SQLite puts beside it, get the same mode. A file that exists keeps its own.
    """
    if url.query.get("mode") in ("ro", "rw") or url.query.get("immutable"):
        return
    # Where it can't be created, SQLite says so in its own words.
    with suppress(OSError):
        created = os.open(os.path.realpath(file_of(url)), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(created, 0o600)  # whatever the umask takes away
        finally:
            os.close(created)


class _Snapshot(sqlite3.Connection):
    """A database as it stands now. It is read without a log and without locks, which could not be made."""


class _Reading(sqlite3.Connection):
    """A connection of who makes no store: one that is removed, or replaced, is not shown as it was, for ever."""

    def __init__(self, *arguments: Any, path: str, **options: Any) -> None:
        self._path = path
        self._file = _file_at(path)
        super().__init__(*arguments, **options)

    def is_of_another_file(self) -> bool:
        """Whether the file that it reads is no longer at its path."""
        return _file_at(self._path) != self._file


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_unwritable(path: str) -> bool:
    """Whether SQLite can't make the log without which it opens this file, and none is needed, since nobody has it open."""
    if os.access(os.path.dirname(path), os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        return False
    try:
        has_log = os.path.getsize(f"{path}-wal") > 0
    except OSError:
        has_log = False
    return not has_log and _is_kept_with_log(path)


def _is_kept_with_log(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(20)[18:] == b"\2\2"
    except OSError:
        return False


def _find_first(url: URL, *, creates: bool) -> Callable[..., Any]:
    # A function of its own: one that knew the engine would keep it from being collected at once.
    def find(dialect: Any, record: object, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        path = os.path.realpath(file_of(url))
        if creates:
            create_for_the_owner(url)
        elif not os.path.exists(path):
            raise path_not_found(file_of(url))
        if not _is_unwritable(path):
            if not creates:
                options["factory"] = partial(_Reading, path=path)
            return None  # SQLAlchemy then connects
        return dialect.connect(f"{_URI}{quote(path)}?immutable=1", **{**options, "uri": True, "factory": _Snapshot})

    return find
