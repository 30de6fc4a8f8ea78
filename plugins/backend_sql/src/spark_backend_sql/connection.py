"""The way to the database: its URL, one engine to write with and one to read with, and how failures are met."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from spark.hooks import is_cut_short, redact
from spark_backend_sql.dialects import engine_options, missing_driver, prepare_connections, with_driver
from spark_backend_sql.faults import explained, is_passing, shown
from spark_backend_sql.schema import Tables, is_current, migrate

Result = TypeVar("Result")

READERS: Final = 4
"""At most this many reads at once."""
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 4, 4)
"""Seconds before each further try of what failed for a passing reason: about sixteen in all."""


class Database:
    """One database, reached when it is first needed. Every method blocks.

    :raises ValueError: the connection string can't be understood, or means a database in memory.
    :raises BackendError: no driver for it is installed.
    """

    def __init__(self, connection_string: str, *, table_name: str) -> None:
        self.url = _parse(connection_string)
        self.tables = Tables(table_name, dialect=self.url.get_backend_name())
        self._open()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.url)!r})"

    def _open(self) -> None:
        self.writing, self.reading = _engines(self.url)
        self._process = os.getpid()
        self._was_reached = False
        self._is_ready = False
        self._preparing = threading.Lock()

    def after_fork(self) -> None:
        """In a child process: leave the parent's connections to the parent, and make our own."""
        if self._process != os.getpid():
            self.writing.dispose(close=False)
            self.reading.dispose(close=False)
            self._open()

    def read(self, work: Callable[[Connection], Result], doing: str) -> Result:
        """What the work returns, given a connection for single statements that read. Tried again while that may help.

        :raises BackendError: the database failed.
        """

        def once() -> Result:
            with self.reading.connect() as connection:
                return work(connection)

        return self._patiently(once, doing)

    def write(self, work: Callable[[Engine], Result]) -> Result:
        """What the work returns, given the engine to write with. Tried again while that may help.

        :param work: ``str(work)`` says in messages what could not be done.
        """
        return self._patiently(lambda: work(self.writing), work)

    def close(self) -> None:
        """Close every connection."""
        if self._process == os.getpid():
            self.writing.dispose()
            self.reading.dispose()

    def _patiently(self, work: Callable[[], Result], doing: object) -> Result:
        pauses = iter(PAUSES)
        while True:
            try:
                self._ensure_tables()
                result = work()
            except Exception as error:
                failure = error
            else:
                self._was_reached = True
                return result
            # One that was never reached is more likely misspelt than restarting.
            pause = next(pauses, None) if self._was_reached and is_passing(failure) else None
            if pause is None:
                break
            time.sleep(pause)
        # Outside of the handler: what is raised must not carry along an error that may show a password.
        raise explained(failure, str(doing), self.url)

    def _ensure_tables(self) -> None:
        if self._is_ready:
            return
        with self._preparing:
            if not self._is_ready:
                self._prepare()
                self._is_ready = True

    def _prepare(self) -> None:
        with self.reading.connect() as connection:
            if is_current(connection, self.tables):
                return
        with self.writing.connect() as connection:
            migrate(connection, self.tables)


def _parse(connection_string: str) -> URL:
    if not isinstance(connection_string, str | URL):
        raise TypeError(f"The connection string of the sql backend is a str, not {type(connection_string).__name__}.")
    try:
        url = make_url(connection_string)
    except (ArgumentError, ValueError):
        url = None
    if url is None or (isinstance(connection_string, str) and is_cut_short(connection_string)):
        # Not chained: the parser's message may quote a piece of the password.
        raise ValueError(
            f"{redact(str(connection_string))!r} is no connection string of the sql backend; write for instance "
            "sqlite:///checkpoints.db or postgresql://user:password@host/database, with special characters "
            "in the password as %XX."
        )
    return with_driver(_with_absolute_path(url) if url.get_backend_name() == "sqlite" else url)


def _with_absolute_path(url: URL) -> URL:
    database = url.database or ""
    if database in ("", ":memory:") or url.query.get("mode") == "memory" or database.startswith("file::memory:"):
        raise ValueError(
            f"{shown(url)!r} is a database in memory, which the sql backend does not use: its connections would not share it. "
            "Take InMemoryCheckpointBackend() or memory://, or name a file: sqlite:///checkpoints.db"
        )
    if database.startswith("file:"):
        return url
    # Absolute from now on, whatever the program's working directory becomes.
    return url.set(database=os.path.abspath(database))


def _engines(url: URL) -> tuple[Engine, Engine]:
    options = engine_options(url)
    try:
        _refuse_async(url)
        writing = create_engine(url, pool_size=1, **_POOL, **options)
        options["isolation_level"] = "AUTOCOMMIT"
        reading = create_engine(url, pool_size=READERS, pool_reset_on_return=None, **_POOL, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise missing_driver(url) from error
    except ArgumentError:  # not chained: it quotes the URL
        raise ValueError(f"{shown(url)!r} is no URL that its driver takes.") from None
    prepare_connections(writing, reading)
    return writing, reading


def _refuse_async(url: URL) -> None:
    if url.get_dialect().is_async:
        raise ValueError(
            f"{shown(url)!r} names an asynchronous driver, which the sql backend does not use: it has threads of its own. "
            f"Write {url.get_backend_name()}:// alone."
        )


_POOL: Final[dict[str, Any]] = {
    "poolclass": QueuePool,
    "max_overflow": 0,
    # In messages and logs: they hold the payload.
    "hide_parameters": True,
}
