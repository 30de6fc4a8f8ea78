"""Backends that were opened alike share one set of connections and threads, which is closed with the last of them.

Alike means: the same database, as the same user, with the same settings, table, ``wait``, ``readers``, ``inline_io`` and
``create``. Each event loop may use them.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from typing import Final, NamedTuple

from sqlalchemy import URL

from spark.graphs.checkpoint.storage import InlineLimits, SmallIO, renew_after_fork
from spark_backend_sql.connection import Database, no_fork
from spark_backend_sql.executor import TransactionExecutor
from spark_backend_sql.reads import Reader
from spark_backend_sql.writer import Writer


class Key(NamedTuple):
    """What backends have in common that share connections."""

    url: URL
    table_name: str
    wait: float
    readers: int
    inline: InlineLimits | None
    """For how long small calls may hold up the event loop; None: none of them runs there."""
    creates: bool
    """Tables are made where there are none."""


class Connections:
    """What it takes to use one set of tables: the database, the writer with its thread, and the reader with its own."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self.database: Final = Database(key.url, table_name=key.table_name, wait=key.wait, creates=key.creates)
        is_inline = key.inline is not None and self.database.dialect.runs_in_process
        saves, reads = (SmallIO(is_inline, limits=key.inline) for _ in range(2))
        self.writer: Final = Writer(TransactionExecutor(self.database), wait=key.wait, io=saves)
        self.reader: Final = Reader(self.database, readers=key.readers, io=reads)
        self._users: set[object] = set()
        renew_after_fork(self)

    def join(self, user: object) -> object:
        """Count the user among those who keep all this open, until it leaves or is collected; the token to leave with."""
        token = object()
        self._users.add(token)
        weakref.finalize(user, self._forget, token).atexit = False
        return token

    def leave(self, token: object) -> None:
        """Use all this no more. The last to leave closes it, after what waits is committed. Blocks."""
        self._users.discard(token)
        with _shared.lock:
            if self._users or _shared.open.get(self._key) is not self:
                return
            del _shared.open[self._key]
        self.writer.stop()
        self.reader.close()
        with self.database.no_fork:
            self.database.close()

    def after_fork(self) -> None:
        """In a child process, which has this object and none of its threads, and whose connections are the parent's."""
        self.database.after_fork()
        self.writer.after_fork()
        self.reader.after_fork()

    def _forget(self, token: object) -> None:
        # Called by the collector, in whatever thread, with whatever locks: it only takes a note, and another thread closes.
        was_open = token in self._users
        self._users.discard(token)
        if was_open and not self._users:
            with suppress(RuntimeError):  # the program ends
                threading.Thread(target=self.leave, args=(token,), name="sql-backend-closing", daemon=True).start()


def connect(key: Key, user: object) -> tuple[Connections, object]:
    """The connections of everybody in this process who asks for the same, and the token with which this user leaves."""
    with _shared.lock:
        connections = _shared.open.get(key)
        if connections is None:
            connections = _shared.open[key] = Connections(key)
        return connections, connections.join(user)


class _Shared:
    """Every set of connections that is open in this process."""

    def __init__(self) -> None:
        self.open: dict[Key, Connections] = {}
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a child process: a lock that another thread held is nobody's."""
        self.lock = threading.Lock()
        """Guards who joins, and who is the last to leave."""

    def close_files(self) -> None:
        """Close what a child can't use; it is made again when it is needed."""
        for connections in [*self.open.values()]:
            if connections.database.dialect.runs_in_process:
                connections.database.close()


_shared: Final = _Shared()
no_fork.guard(before=_shared.close_files)
