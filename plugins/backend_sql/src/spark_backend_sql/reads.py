"""Reads: small ones run where they are asked for while that is fast, all others in a few threads.

A row that is read from the system's cache takes a few microseconds, and the way to another thread and back many times that.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Final

from spark.graphs.checkpoint.storage import SmallIO, run_blocking
from spark_backend_sql.compiled import DriverQuery, Query, Rows
from spark_backend_sql.connection import Database, RetryBudget

READERS: Final = 4
"""At most this many reads run at once by default,"""
MOST_READERS: Final = 64
"""and at most as many as anybody may ask for."""
MOST_ROWS: Final = 100
"""A listing of at most this many rows is a small read."""


class Reader:
    """Answers queries on a database.

    :param readers: how many run at once.
    :param io: decides which small ones run inline.
    """

    def __init__(self, database: Database, *, readers: int, io: SmallIO) -> None:
        self._database = database
        self._readers = readers
        self._io = io
        self._compiled = lru_cache(maxsize=100)(lambda query: DriverQuery(query, database.reading.dialect))
        self._begin()

    def _begin(self) -> None:
        self._threads = ThreadPoolExecutor(self._readers, thread_name_prefix="sql-backend-reader")

    async def rows(self, query: Query, values: Mapping[str, Any], doing: str, *, is_small: bool = False) -> Rows:
        """Every row of the answer.

        :param doing: says in messages what could not be done.
        :raises BackendError: the database failed.
        """
        rows = self.rows_now(query, values) if is_small else None
        return rows if rows is not None else await self.rows_in_thread(query, values, doing, is_small=is_small)

    def rows_now(self, query: Query, values: Mapping[str, Any]) -> Rows | None:
        """The answer to a small query where it runs inline; None where a thread has to find it, or what is wrong."""
        return self._io.try_inline(partial(self._database.read_now, partial(self._compiled(query).rows, values=values)))

    async def rows_in_thread(
        self, query: Query, values: Mapping[str, Any], doing: str, *, is_small: bool = True
    ) -> Rows:
        """The same in a thread."""
        budget = RetryBudget(self._database.wait)
        rows = partial(self._compiled(query).rows, values=values, fetch=self._database.dialect.fetch)
        read = partial(self._database.read, rows, doing, budget)
        work = partial(self._io.in_thread, read) if is_small else read
        return await run_blocking(work, executor=self._threads, on_cancel=budget.give_up)

    def close(self) -> None:
        """End the threads. Blocks until the reads under way are done."""
        self._threads.shutdown(wait=True)

    def after_fork(self) -> None:
        """In a child process, which has none of the threads: begin anew."""
        self._begin()
