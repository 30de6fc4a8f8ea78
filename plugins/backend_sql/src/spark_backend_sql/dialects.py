"""Where databases differ: drivers, what a new connection needs, locks, and how a conflict is stepped over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from math import ceil
from typing import Any, Final

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Insert, Table, case, event, func, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from spark.errors import BackendError
from spark_backend_sql.patience import SLICE, WAIT
from spark_backend_sql.sqlite_files import create_for_the_owner

_DRIVERS: Final = {
    "postgresql": (("psycopg", "psycopg"), ("psycopg2", "psycopg2")),
    "mysql": (("pymysql", "pymysql"), ("MySQLdb", "mysqldb")),
    "mariadb": (("pymysql", "pymysql"), ("MySQLdb", "mysqldb"), ("mariadb", "mariadbconnector")),
}
"""Of each database the drivers that do, the best first: module, and SQLAlchemy's name."""
_CURES: Final = {
    "postgresql": "pip install 'spark-graphs[postgresql]'",
    "mysql": "pip install pymysql",
    "mariadb": "pip install pymysql",
}


def with_driver(url: URL) -> URL:
    """The URL with a driver that is installed, when it names none.

    :raises BackendError: none is installed.
    """
    if "+" in url.drivername or url.drivername not in _DRIVERS:
        return url
    for module, driver in _DRIVERS[url.drivername]:
        if find_spec(module) is not None:
            return url.set(drivername=f"{url.drivername}+{driver}")
    raise missing_driver(url)


def missing_driver(url: URL) -> BackendError:
    """The error for a database whose driver is not installed."""
    name = url.get_backend_name()
    cure = _CURES.get(name, "install the driver that the URL names, or name another one")
    return BackendError(
        f"The sql backend can't reach a {name} database: the driver for {url.drivername}:// is not installed. "
        f"To get one: {cure}"
    )


def engine_options(url: URL, *, wait: float) -> dict[str, Any]:
    """What ``create_engine`` is told about transactions that write.

    :param wait: seconds that a call waits at most. A server is given no more to answer, unless the URL says ``connect_timeout``.
    """
    # Where we begin transactions ourselves, the driver begins none of its own accord.
    if url.get_backend_name() == "sqlite":
        return {"isolation_level": "AUTOCOMMIT", "connect_args": {"timeout": SLICE}}
    is_told = url.get_driver_name() not in _WITH_CONNECT_TIMEOUT or "connect_timeout" in url.query
    arguments = (
        {} if is_told else {"connect_timeout": max(2, ceil(min(wait, _LONGEST_CONNECT)))}
    )  # psycopg takes no less
    level = "AUTOCOMMIT" if url.get_driver_name() == "psycopg" else "READ COMMITTED"
    return {"isolation_level": level, "connect_args": arguments}


_LONGEST_CONNECT: Final = 10.0
_WITH_CONNECT_TIMEOUT: Final = ("psycopg", "psycopg2", "pymysql", "mysqldb")


def prepare_connections(writing: Engine, reading: Engine, *, wait: float) -> None:
    """Make every new connection of these engines behave as durable storage needs it."""
    name = writing.dialect.name
    begin = _BEGIN.get(writing.dialect.driver)
    if begin is not None:
        event.listen(writing, "begin", lambda connection: connection.connection.execute(begin))
    if name == "sqlite":
        for engine in (writing, reading):
            event.listen(engine, "do_connect", _do_create_first(engine.url))
        event.listen(writing, "connect", _prepare_sqlite_writer)
        event.listen(reading, "connect", _prepare_sqlite_reader)
        return
    settings = _SETTINGS.get(name)
    if settings is not None:
        prepare = partial(
            _prepare_session, settings.format(lock=int(SLICE * 1000), idle=int(max(wait / 2, _SHORTEST_IDLE) * 1000))
        )
        event.listen(writing, "connect", prepare)
        event.listen(reading, "connect", prepare)


_BEGIN: Final = {
    # A transaction that begins by reading, and writes later, fails at once when another has written between.
    "pysqlite": "BEGIN IMMEDIATE",
    # The check against deleted sequences must see what was committed before each statement.
    "psycopg": "BEGIN ISOLATION LEVEL READ COMMITTED",
}
"""By driver, how a transaction begins that writes."""


def _do_create_first(url: URL) -> Callable[..., None]:
    # A function of its own: one that knew the engine would keep it from being collected at once.
    return lambda *_: create_for_the_owner(url)


def _prepare_sqlite_writer(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    try:
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
    finally:
        cursor.close()


def _prepare_sqlite_reader(connection: Any, record: object) -> None:
    # Or a changed byte in one row would keep all the others from being read. What such text is in, is found damaged.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")


@contextmanager
def overwriting(connection: Connection) -> Iterator[None]:
    """Have SQLite overwrite what is deleted, which otherwise stays in the file until something else is written there."""
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")


def hurry(connection: Any, *, no_wait: bool) -> None:
    """Make a connection of SQLite wait for no lock and leave the log as it is, up to a length; or the contrary of both."""
    connection.execute(f"PRAGMA busy_timeout={0 if no_wait else int(SLICE * 1000)}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LONG_LOG if no_wait else _SHORT_LOG}")


_SHORT_LOG: Final = 800
"""Pages in SQLite's log, at which a commit moves them into the database file. What hurried commits leave to the next other
one is more: to go on in a new part of the log, which the file has to grow for, costs a commit more than to use one again."""
_LONG_LOG: Final = 8_000


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Readers and the writer don't wait for each other. The mode stays with the file."""
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    try:
        cursor.execute("PRAGMA journal_mode=WAL").fetchone()
        # A file that can't have it, as on some network file systems, keeps its own journal.
    except sqlite3.OperationalError as error:
        # A read-only file is told of when it is written.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise


_SHORTEST_IDLE: Final = 1.0
"""Seconds between two statements in a transaction that a busy machine may need."""
_SETTINGS: Final = {
    # A writer that stands still in a transaction holds up its successor for half as long as that one waits.
    "postgresql": """
SELECT set_config('TimeZone', 'UTC', false),
       set_config('lock_timeout', '{lock}ms', false),
       set_config('idle_in_transaction_session_timeout', '{idle}ms', false),
       set_config('default_transaction_isolation', 'read committed', false),
       CASE WHEN current_setting('synchronous_commit') = 'off'
            THEN set_config('synchronous_commit', 'on', false) END
""",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
    "mariadb": "SET SESSION innodb_lock_wait_timeout = 1",
}
"""By database, what a new connection is told."""


def _prepare_session(settings: str, connection: Any, record: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(settings)
    finally:
        cursor.close()
    # Settings made in a transaction would go with it.
    connection.commit()


def wait_less(connection: Connection, seconds: float) -> None:
    """Give up locks after this time in the transaction under way, where the database can be told."""
    if connection.dialect.name == "postgresql":
        milliseconds = max(1, int(seconds * 1000))
        connection.exec_driver_sql(f"SELECT set_config('lock_timeout', '{milliseconds}ms', true)")


@contextmanager
def exclusively(connection: Connection, name: str) -> Iterator[None]:
    """A transaction during which nobody else changes the tables of this name."""
    if connection.dialect.name in ("mysql", "mariadb"):
        with _named_lock(connection, name), connection.begin():
            yield
        return
    with connection.begin():  # which in SQLite is the lock
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_lock_number(name))))
        yield


@contextmanager
def _named_lock(connection: Connection, name: str) -> Iterator[None]:
    # There, creating a table ends the transaction, so the lock is the session's.
    lock = f"spark_{_lock_number(name):x}"
    with connection.begin():
        if connection.scalar(select(func.get_lock(lock, WAIT))) != 1:
            raise BackendError(f"The sql backend waited {WAIT:g} s for the lock on the table {name!r}; run again.")
    try:
        yield
    finally:
        with connection.begin():
            connection.execute(select(func.release_lock(lock)))


def _lock_number(name: str) -> int:
    return int.from_bytes(sha256(f"spark-graphs {name}".encode()).digest()[:7])


def store_as_it_is(connection: Connection, column: Column[Any]) -> None:
    """Keep the database from compressing what is compressed already, or was not meant to be."""
    if connection.dialect.name == "postgresql":
        quoted = connection.dialect.identifier_preparer
        statement = f"ALTER TABLE {quoted.format_table(column.table)} ALTER COLUMN {quoted.format_column(column)} "
        connection.execute(text(f"{statement} SET STORAGE EXTERNAL"))


def insert_missing(table: Table, *, name: str, keys: Sequence[str]) -> Insert:
    """An insert that leaves out rows whose keys are there already; elsewhere a plain one."""
    if name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=keys)
    if name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=keys)
    return table.insert()


def insert_or_keep(table: Table, *, name: str, keys: Sequence[str]) -> Insert:
    """An insert that, where the keys are there already, leaves what is there."""
    if name in ("mysql", "mariadb"):
        return mysql.insert(table).on_duplicate_key_update({keys[0]: table.c[keys[0]]})
    return insert_missing(table, name=name, keys=keys)


def insert_or_raise(table: Table, *, name: str, key: str, column: str) -> Insert:
    """An insert that, where the key is there already, makes the column at least as large as the new value."""
    if name in ("mysql", "mariadb"):
        fresh = mysql.insert(table)
        return fresh.on_duplicate_key_update({column: func.greatest(table.c[column], fresh.inserted[column])})
    new = sqlite.insert(table) if name == "sqlite" else postgresql.insert(table)
    larger = case((new.excluded[column] > table.c[column], new.excluded[column]), else_=table.c[column])
    return new.on_conflict_do_update(index_elements=[key], set_={column: larger})


def position_of(part: ColumnElement[str], column: ColumnElement[Any], *, name: str) -> ColumnElement[int]:
    """Where in a column's text the part begins, from 1, case and all; 0 when it is not there."""
    return func.strpos(column, part) if name == "postgresql" else func.instr(column, part)
