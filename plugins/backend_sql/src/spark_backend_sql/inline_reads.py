"""Small reads done where they are asked for: in SQLite, whose readers wait for nobody, while the disk is fast.

A row that is read from the system's cache takes a few microseconds, and a trip to another thread and back many times that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import Dialect, Select
from sqlalchemy.exc import DBAPIError

from spark.graphs.checkpoint.storage import LatencyGate
from spark_backend_sql.connection import Database
from spark_backend_sql.driver_sql import DriverStatement
from spark_backend_sql.shortcut import DriverConnection

Reading: TypeAlias = Select[*tuple[Any, ...]]
Rows: TypeAlias = Sequence[Sequence[Any]]

MOST_ROWS: Final = 100
"""A listing of no more than so many is made here."""


class InlineReads:
    """One connection for the event loop's thread, and the decision when to use it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = DriverConnection(database.reading)
        self._turn = threading.Lock()
        """Held while the connection is used."""
        self._gate = LatencyGate()
        self._question = lru_cache(maxsize=100)(self._compiled)

    def rows(self, statement: Reading, values: Mapping[str, Any]) -> Rows | None:
        """The answer; None when it was not got here: then a reader's thread gets it, or finds out what is wrong."""
        if not self._gate.is_fast():
            return None
        with self._database.no_fork:
            return self._rows(statement, values)

    def _rows(self, statement: Reading, values: Mapping[str, Any]) -> Rows | None:
        if not self._connection.is_open or not self._turn.acquire(blocking=False):
            return None
        try:
            began = time.perf_counter()
            rows = self._connection.run(self._question(statement).ask, values, no_wait=True)
            self._gate.took(time.perf_counter() - began)
        except DBAPIError:
            return None
        finally:
            self._turn.release()
        return rows

    def read_elsewhere(self, seconds: float) -> None:
        """A reader's thread, which is the caller, has got an answer in this time."""
        self._gate.took_elsewhere(seconds)
        with self._database.no_fork, self._turn, suppress(DBAPIError):  # whatever it is, reads go on in this thread
            if not self._connection.is_open:
                self._connection.run(_nothing, no_wait=True)

    def after_fork(self) -> None:
        """In a child process: leave the parent's connection to the parent, unclosed, and make our own."""
        self._inherited = self._connection
        self._turn = threading.Lock()
        self._connection = DriverConnection(self._database.reading)

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            self._connection.close()

    def _compiled(self, statement: Reading) -> _Question:
        return _Question(statement, self._database.reading.dialect)


class _Question:
    """A statement that reads, in the driver's words, and how to understand its answer."""

    def __init__(self, statement: Reading, dialect: Dialect) -> None:
        self._statement = DriverStatement(statement, dialect)
        self._bind = self._statement.bind_processors(dialect)
        self._processors = [
            column.type.dialect_impl(dialect).result_processor(dialect, None) for column in statement.selected_columns
        ]

    def ask(self, connection: Any, values: Mapping[str, Any]) -> Rows:
        """The rows, as SQLAlchemy would give them.

        :param connection: the driver's own.
        """
        bound = self._statement.constants | {
            name: self._bind[name](value) if name in self._bind else value for name, value in values.items()
        }
        rows = connection.execute(self._statement.text, self._statement.arranged(bound)).fetchall()
        return [self._understood(row) for row in rows]

    def _understood(self, row: tuple[Any, ...]) -> list[Any]:
        return [
            value if process is None else process(value) for process, value in zip(self._processors, row, strict=True)
        ]


def _nothing(connection: Any) -> None:
    """Only open it."""
