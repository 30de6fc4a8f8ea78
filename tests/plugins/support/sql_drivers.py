"""Drivers' connections that report which thread runs a statement, and when a transaction is about to be committed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import psycopg
from sqlalchemy import event

from spark.graphs.checkpoint.storage import InlineLimits
from spark_backend_sql import DatabaseCheckpointBackend

Hook = Callable[[Any], object]


class OnAFastDisk(DatabaseCheckpointBackend):
    """Runs small calls inline however slow the disk is that the tests run on, once it has been tried in a thread."""

    inline_limits: ClassVar[InlineLimits] = InlineLimits(mean_seconds=60.0, stall_seconds=60.0)


class OnASlowDisk(DatabaseCheckpointBackend):
    """Finds each call too slow to run inline."""

    inline_limits: ClassVar[InlineLimits] = InlineLimits(mean_seconds=0.0, stall_seconds=0.0)


def before_commits(backend: DatabaseCheckpointBackend, hook: Hook) -> None:
    """From now on, have this called before each COMMIT, when its transaction was carried out. It gets the driver's connection.

    Nothing may be under way: open connections are closed.
    """

    def connect(dialect: Any, record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        if dialect.name == "sqlite":
            return sqlite3.connect(*arguments, factory=_watched_sqlite(hook), **options)
        return _watched_psycopg(hook).connect(*arguments, **options)

    event.listen(backend.database.writing, "do_connect", connect)
    backend.database.close()


def count_commits(backend: DatabaseCheckpointBackend) -> list[object]:
    """A list that grows with each COMMIT."""
    commits: list[object] = []
    before_commits(backend, commits.append)
    return commits


class Held:
    """Holds up the next transaction before its COMMIT."""

    def __init__(self, backend: DatabaseCheckpointBackend) -> None:
        self.is_reached, self._is_free = threading.Event(), threading.Event()
        before_commits(backend, self._hold)

    def _hold(self, driver: object) -> None:
        self.is_reached.set()
        self._is_free.wait(60)

    def release(self) -> None:
        """Let it, and all that follow, be committed."""
        self._is_free.set()


@contextmanager
def statements_by_thread(backend: DatabaseCheckpointBackend) -> Iterator[list[tuple[str, int]]]:
    """A list that grows with each statement that SQLite runs: its text, and the thread."""
    seen: list[tuple[str, int]] = []

    def trace(connection: sqlite3.Connection, record: object) -> None:
        connection.set_trace_callback(lambda text: seen.append((text, threading.get_ident())))

    engines = (backend.database.writing, backend.database.reading)
    for engine in engines:
        event.listen(engine, "connect", trace, insert=True)
    backend.database.close()
    yield seen
    for engine in engines:
        event.remove(engine, "connect", trace)


def _watched_sqlite(hook: Hook) -> type[sqlite3.Connection]:
    class WatchedCursor(sqlite3.Cursor):
        def execute(self, sql: str, values: Any = (), /) -> Any:
            if self.connection.in_transaction or not sql.startswith("INSERT"):
                return super().execute(sql, values)
            super().execute("BEGIN IMMEDIATE")  # a statement by itself commits itself: here, in two steps
            try:
                super().execute(sql, values)
                hook(self.connection)
                sqlite3.Connection.commit(self.connection)
            except BaseException:
                self.connection.rollback()
                raise
            return self

    class Watched(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(WatchedCursor)

        def commit(self) -> None:
            if self.in_transaction:
                hook(self)
            super().commit()

    return Watched


def _watched_psycopg(hook: Hook) -> type[psycopg.Connection]:
    class Watched(psycopg.Connection):
        def commit(self) -> None:
            if self.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                hook(self)
            super().commit()

        @contextmanager
        def pipeline(self) -> Iterator[psycopg.Pipeline]:
            with super().pipeline() as pipeline:
                yield pipeline
                self.execute(
                    "SELECT 1"
                ).fetchone()  # the server has carried out all that was sent, and commits at the end
                hook(self)

    return Watched
