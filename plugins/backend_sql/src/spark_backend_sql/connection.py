"""The way to the database: one engine to write with and one to read with, and how failures are met."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from spark_backend_sql.dialects import engine_options, missing_driver, prepare_connections
from spark_backend_sql.faults import explained, is_locked, is_passing, shown
from spark_backend_sql.forks import no_fork
from spark_backend_sql.patience import Patience
from spark_backend_sql.schema import Tables, is_current, migrate
from spark_backend_sql.urls import refuse_async

Result = TypeVar("Result")

READERS: Final = 4
"""At most this many reads at once."""
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 4, 4)
"""Seconds before each further try of what failed for a passing reason, locks aside: about sixteen in all."""


class Database:
    """One database, reached when it is first needed. Every method blocks.

    :param wait: seconds that a call waits at most for locks and for a server that is away.
    :raises ValueError: the URL names an asynchronous driver, or the table can't have that name.
    :raises BackendError: no driver for it is installed.
    """

    def __init__(self, url: URL, *, table_name: str, wait: float) -> None:
        self.url = url
        self.wait = wait
        self.tables = Tables(table_name, dialect=url.get_backend_name())
        self.no_fork = no_fork if url.get_backend_name() == "sqlite" else nullcontext()
        """Held while the database is used in a way that no other thread may fork meanwhile."""
        self._open()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.url)!r})"

    def _open(self) -> None:
        self.writing, self.reading = _engines(self.url, wait=self.wait)
        self._was_reached = False
        self._is_ready = False
        self._preparing = threading.Lock()

    def after_fork(self) -> None:
        """In a child process: leave the parent's connections to the parent, and make our own."""
        self.writing.dispose(close=False)
        self.reading.dispose(close=False)
        self._open()

    def read(self, work: Callable[[Connection], Result], doing: str, patience: Patience | None = None) -> Result:
        """What the work returns, given a connection for single statements that read. Tried again while that may help.

        :raises BackendError: the database failed.
        """

        def once() -> Result:
            with self.reading.connect() as connection:
                return work(connection)

        return self._patiently(once, doing, patience or Patience(self.wait), outlasts_locks=True)

    def write(self, work: Callable[[Engine], Result], is_wanted: Callable[[], bool]) -> Result:
        """What the work returns, given the engine to write with. Tried again while that may help, locks aside.

        :param work: ``str(work)`` says in messages what could not be done.
        :param is_wanted: whether to go on trying.
        """
        patience = Patience(self.wait, is_wanted)
        return self._patiently(lambda: work(self.writing), work, patience, outlasts_locks=False)

    def answers(self) -> bool:
        """Whether a connection can be made, and used."""
        try:
            with self.no_fork, self.writing.connect() as connection:
                connection.scalar(select(1))
        except Exception:  # whatever it is, there is no answer
            return False
        return True

    def close(self) -> None:
        """Close every connection; those that are needed again are made again."""
        self.writing.dispose()
        self.reading.dispose()

    def _patiently(
        self, work: Callable[[], Result], doing: object, patience: Patience, *, outlasts_locks: bool
    ) -> Result:
        pauses = iter(PAUSES)
        while True:
            try:
                with self.no_fork:
                    self._ensure_tables()
                    result = work()
            except Exception as error:
                failure = error
            else:
                self._was_reached = True
                return result
            if is_locked(failure):
                if not outlasts_locks or not patience.rest():
                    break
                continue
            # One that was never reached is more likely misspelt than restarting.
            pause = next(pauses, None) if self._was_reached and is_passing(failure) else None
            if pause is None or not patience.rest(pause):
                break
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


def _engines(url: URL, *, wait: float) -> tuple[Engine, Engine]:
    options = engine_options(url, wait=wait)
    try:
        refuse_async(url)
        writing = create_engine(url, pool_size=1, **_POOL, **options)
        options["isolation_level"] = "AUTOCOMMIT"
        reading = create_engine(url, pool_size=READERS, pool_reset_on_return=None, **_POOL, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise missing_driver(url) from error
    except ArgumentError:  # not chained: it quotes the URL
        raise ValueError(f"{shown(url)!r} is no URL that its driver takes.") from None
    prepare_connections(writing, reading, wait=wait)
    return writing, reading


_POOL: Final[dict[str, Any]] = {
    "poolclass": QueuePool,
    "max_overflow": 0,
    # In messages and logs: they hold the payload.
    "hide_parameters": True,
}
