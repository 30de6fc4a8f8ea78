"""The physical floors: the least that the same work can cost on this machine, with nothing of ours in the way.

Each returns the seconds of one piece of work.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_json

Insert = Callable[..., None]
"""Inserts and commits, given the number of the turn, and perhaps other content."""


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


def bare_files(folder: str | Path, content: bytes, times: int, *, keep: int | None = None) -> float:
    """Write, fsync, link, fsync of the folder.

    :param keep: so many of the newest files remain: then also unlink of the one before those. None keeps all.
    """

    def work(number: int) -> None:
        _write_file(folder, f"{number}", content)
        if keep is not None and number >= keep:
            os.unlink(f"{folder}/{number - keep}")

    return _each(times, work)


def bare_sqlite(file: Path, content: bytes, times: int, *, first: bytes = b"", rows: int = 1) -> float:
    """INSERT and COMMIT, with WAL and ``synchronous=FULL``.

    :param first: is inserted before, and not timed.
    :param rows: how many are inserted in each transaction.
    """
    with _sqlite_insert(file, content, rows) as insert:
        insert(0, first)
        return _each(times, insert)


def bare_postgresql(
    url: str, content: bytes, times: int, *, first: bytes = b"", rows: int = 1, table: str = "bare"
) -> float:
    """INSERT and COMMIT, with ``synchronous_commit=on``, and without compression by the server; as ``bare_sqlite``."""
    with _postgresql_insert(url, table, content, rows) as insert:
        insert(0, first)
        return _each(times, insert)


async def awaited_sqlite(file: Path, content: bytes, times: int) -> float:
    """The same in the one thread of an executor, awaited: what a library for asyncio has to pay at least."""
    return await _awaited(lambda: _sqlite_insert(file, content, 1), times)


async def awaited_postgresql(url: str, content: bytes, times: int, *, table: str = "bare") -> float:
    """The same in PostgreSQL."""
    return await _awaited(lambda: _postgresql_insert(url, table, content, 1), times)


def bare_latest(file: Path, times: int) -> float:
    """SELECT the newest row that ``bare_sqlite`` inserted."""
    return _select(file, times, "SELECT number, content FROM bare ORDER BY number DESC LIMIT 1")


def bare_first(file: Path, times: int) -> float:
    """SELECT the row that ``bare_sqlite`` was given as ``first``."""
    return _select(file, times, "SELECT number, content FROM bare ORDER BY number LIMIT 1")


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


async def _awaited(open_table: Callable[[], AbstractContextManager[Insert]], times: int) -> float:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:  # SQLite's connection belongs to the thread that made it
        table = open_table()
        insert = await loop.run_in_executor(thread, table.__enter__)
        began = time.perf_counter()
        for number in range(times):
            await loop.run_in_executor(thread, insert, number)
        seconds = time.perf_counter() - began
        await loop.run_in_executor(thread, table.__exit__, None, None, None)
    return seconds / times


@contextmanager
def _sqlite_insert(file: Path, content: bytes, rows: int) -> Iterator[Insert]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, content BLOB)")
        numbers = itertools.count(1)

        def insert(turn: int, content: bytes = content) -> None:
            connection.execute("BEGIN IMMEDIATE")
            for number in itertools.islice(numbers, rows):
                connection.execute("INSERT INTO bare VALUES (?, ?)", (number, content))
            connection.execute("COMMIT")

        yield insert


@contextmanager
def _postgresql_insert(url: str, table: str, content: bytes, rows: int) -> Iterator[Insert]:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE {table} (number bigint PRIMARY KEY, content bytea)")
        connection.execute(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL")
        connection.commit()
        numbers = itertools.count(1)

        def insert(turn: int, content: bytes = content) -> None:
            for number in itertools.islice(numbers, rows):
                connection.execute(f"INSERT INTO {table} VALUES (%s, %s)", (number, content))
            connection.commit()

        yield insert
