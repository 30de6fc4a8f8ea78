"""Backends that were opened alike share one set of connections and threads, which goes when the last of them does.

Alike means: the same database, as the same user, with the same settings, table and patience. Each event loop may use them.
"""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from sqlalchemy import URL

from spark_backend_sql.connection import READERS, Database
from spark_backend_sql.forks import guard_forks
from spark_backend_sql.inline_commits import inline_commits
from spark_backend_sql.inline_reads import InlineReads
from spark_backend_sql.ledger import Ledger
from spark_backend_sql.statements import Statements
from spark_backend_sql.urls import parsed
from spark_backend_sql.writer import Writer

_Key = tuple[URL, str, float]


class Connections:
    """What it takes to use one set of tables: engines, the writer's thread, and those of the readers, each made when needed."""

    def __init__(self, key: _Key) -> None:
        url, table_name, wait = self._key = key
        self.database: Final = Database(url, table_name=table_name, wait=wait)
        self.statements: Final = Statements(self.database.tables, self.database.writing.dialect)
        self.ledger: Final = Ledger(self.database, self.statements)
        self.writer: Final = Writer(
            self.ledger.commit, inline_commits(self.ledger), lane_of=self.ledger.lane_of, wait=wait
        )
        self.inline_reads: Final = InlineReads(self.database) if self.ledger.can_commit_at_once else None
        self.readers = _readers()
        self._users: set[object] = set()

    def join(self, user: object) -> object:
        """Count the user among those who keep all this open, until it leaves or is collected; the token to leave with."""
        token = object()
        self._users.add(token)
        weakref.finalize(user, self._forget, token).atexit = False
        return token

    def leave(self, token: object) -> None:
        """Use all this no more. The last to leave closes it, after what waits is committed. Blocks."""
        self._users.discard(token)
        with _lock:
            if self._users or _open.get(self._key) is not self:
                return
            del _open[self._key]
        self.writer.stop()
        self.readers.shutdown(wait=True)
        with self.database.no_fork:
            self._close_connections()

    def before_fork(self) -> None:
        """Close what a child of SQLite's can't do with; it is made again when it is needed."""
        if self.inline_reads is not None:
            self._close_connections()

    def after_fork(self) -> None:
        """In a child process, which has this object and none of its threads, and whose connections are the parent's."""
        self.readers = _readers()
        self.database.after_fork()
        self.ledger.after_fork()
        self.writer.after_fork()
        if self.inline_reads is not None:
            self.inline_reads.after_fork()

    def _close_connections(self) -> None:
        self.ledger.connection.close()
        if self.inline_reads is not None:
            self.inline_reads.close()
        self.database.close()

    def _forget(self, token: object) -> None:
        # Called by the collector, in whatever thread, with whatever locks: it only says so, and another thread closes.
        was_open = token in self._users
        self._users.discard(token)
        if was_open and not self._users:
            with suppress(RuntimeError):  # the program ends
                threading.Thread(target=self.leave, args=(token,), name="sql-backend-closing", daemon=True).start()


def connect(connection_string: str, *, table_name: str, wait: float, user: object) -> tuple[Connections, object]:
    """The connections of everybody in this process who asks for the same, and the token with which this user leaves.

    :raises ValueError: the connection string or the table name can't be used.
    :raises BackendError: the driver of the database is not installed.
    """
    key = (parsed(connection_string), table_name, wait)
    with _lock:
        connections = _open.get(key)
        if connections is None:
            connections = _open[key] = Connections(key)
        return connections, connections.join(user)


_lock = threading.Lock()
"""Guards the next: who joins, and who is the last to leave."""
_open: Final[dict[_Key, Connections]] = {}


def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix="sql-backend-reader")


def _before_fork() -> None:
    for connections in [*_open.values()]:
        connections.before_fork()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for connections in _open.values():
        connections.after_fork()


guard_forks(before=_before_fork, in_child=_after_fork)
