"""The physical floors: the least that the same work can cost on this machine, with nothing of ours in the way.

Each returns the seconds of one piece of work.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_json


async def bare_loop(steps: int) -> float:
    """Await a coroutine in a while loop."""

    async def process(left: int) -> dict[str, Any]:
        return {"left": left - 1}

    output = {"left": steps}
    began = time.perf_counter()
    while output["left"] > 0:
        output = await process(output["left"])
    return (time.perf_counter() - began) / steps


async def bare_fan_out(branches: int) -> float:
    """Gather so many tasks."""
    began = time.perf_counter()
    await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0)) for _ in range(branches)))
    return time.perf_counter() - began


def bare_encode(state: dict[str, Any], times: int) -> float:
    """Encode a state as JSON."""
    return _each(times, lambda number: to_json(state))


def bare_files(folder: str | Path, content: bytes, times: int) -> float:
    """Write, fsync, link, fsync of the folder."""
    return _each(times, lambda number: _write_file(folder, f"{number}", content))


def bare_sqlite(file: Path, content: bytes, times: int, *, first: bytes = b"") -> float:
    """INSERT and COMMIT, with WAL and ``synchronous=FULL``.

    :param first: is inserted before, and not timed.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, content BLOB)")

        def insert(number: int, content: bytes = content) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare VALUES (?, ?)", (number, content))
            connection.execute("COMMIT")

        insert(-1, first)
        return _each(times, insert)


def bare_postgresql(url: str, content: bytes, times: int, *, first: bytes = b"", table: str = "bare") -> float:
    """INSERT and COMMIT, with ``synchronous_commit=on``, and without compression by the server."""
    with _postgresql_table(url, table) as connection:

        def insert(number: int, content: bytes = content) -> None:
            connection.execute(f"INSERT INTO {table} VALUES (%s, %s)", (number, content))
            connection.commit()

        insert(-1, first)
        return _each(times, insert)


def bare_latest(file: Path, times: int) -> float:
    """SELECT the newest row that ``bare_sqlite`` inserted."""
    return _select(file, times, "SELECT number, content FROM bare ORDER BY number DESC LIMIT 1")


def bare_newest(file: Path, times: int) -> float:
    """SELECT the numbers and sizes of the ten newest rows."""
    return _select(file, times, "SELECT number, length(content) FROM bare ORDER BY number DESC LIMIT 10")


def _select(file: Path, times: int, statement: str) -> float:
    with closing(sqlite3.connect(file)) as connection:
        return _each(times, lambda number: connection.execute(statement).fetchall())


def _each(times: int, work: Callable[[int], Any]) -> float:
    began = time.perf_counter()
    for number in range(times):
        work(number)
    return (time.perf_counter() - began) / times


def _write_file(folder: str | Path, name: str, content: bytes) -> None:
    temporary = f"{folder}/temporary"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, content)
    os.fsync(file)
    os.close(file)
    os.link(temporary, f"{folder}/{name}")
    os.unlink(temporary)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


@contextmanager
def _postgresql_table(url: str, table: str) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE {table} (number bigint PRIMARY KEY, content bytea)")
        connection.execute(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL")
        connection.commit()
        yield connection
