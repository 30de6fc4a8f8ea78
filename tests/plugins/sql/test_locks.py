"""A lock of another program holds up the graph that it concerns, for as long as ``wait`` says, and no cancelled call."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from spark.errors import BackendError, SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.executor import TransactionExecutor
from spark_backend_sql.operations import Put
from spark_testing.children import Child, Tell
from spark_testing.records import make_record
from tests.plugins.support.sql_drivers import before_commits
from tests.plugins.support.sql_servers import PostgresServer, new_table, wait_for_a_lock

AT_ONCE = 10.0
"""Seconds, on a busy machine; locks are waited for much longer here."""


@pytest.fixture
async def backend(postgres: PostgresServer) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        await backend.put(make_record("other", 1))
        yield backend


@pytest.fixture
def holder(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(postgres.url)) as connection:
        yield connection


def take_sequence(holder: psycopg.Connection, backend: DatabaseCheckpointBackend, sequence: int) -> None:
    """Insert a row of the graph "g" and don't commit, as a writer does that stands still."""
    table = backend.table_name
    holder.execute(f"CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT * FROM {table} WHERE graph_id = 'g'")
    holder.execute(f"UPDATE copied SET sequence = {sequence}")
    holder.execute(f"INSERT INTO {table} SELECT * FROM copied")


async def begun(saving: asyncio.Task[None], backend: DatabaseCheckpointBackend) -> None:
    """Return when the save has met the lock."""
    while not backend._writer._lanes:
        assert not saving.done()
        await asyncio.sleep(0)


async def test_a_locked_row_keeps_no_other_graph_from_saving(
    backend: DatabaseCheckpointBackend, holder: psycopg.Connection
) -> None:
    take_sequence(holder, backend, 2)
    saving = asyncio.create_task(backend.put(make_record("g", 2)))

    async with asyncio.timeout(AT_ONCE):
        await asyncio.gather(*(backend.put(make_record(f"h{number}", 1)) for number in range(20)))
        for sequence in range(2, 12):
            await backend.put(make_record("other", sequence))

    assert not saving.done()
    holder.rollback()
    await saving
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]
    assert len((await backend.list()).infos) == 33


async def test_what_waits_for_a_lock_is_refused_when_the_sequence_is_taken_there(
    backend: DatabaseCheckpointBackend, holder: psycopg.Connection
) -> None:
    take_sequence(holder, backend, 2)
    saving = asyncio.create_task(backend.put(make_record("g", 2)))
    await begun(saving, backend)

    holder.commit()

    with pytest.raises(SequenceTakenError):
        await saving


async def test_saves_of_a_locked_graph_are_made_in_order_once_the_lock_is_released(
    backend: DatabaseCheckpointBackend, holder: psycopg.Connection
) -> None:
    take_sequence(holder, backend, 2)
    first = asyncio.create_task(backend.put(make_record("g", 2)))
    await begun(first, backend)
    deletion = asyncio.create_task(backend.delete("g", 2))
    again = asyncio.create_task(backend.put(make_record("g", 2)))
    await asyncio.sleep(0)

    holder.rollback()

    assert await first is None
    assert await deletion is True
    with pytest.raises(SequenceTakenError, match="deleted"):
        await again


async def test_a_cancelled_save_waits_for_no_lock_and_never_happens(
    backend: DatabaseCheckpointBackend, holder: psycopg.Connection
) -> None:
    take_sequence(holder, backend, 2)
    saving = asyncio.create_task(backend.put(make_record("g", 2)))
    await begun(saving, backend)

    saving.cancel()
    await asyncio.wait([saving], timeout=AT_ONCE)

    assert saving.cancelled()

    holder.rollback()
    await backend.put(make_record("g", 3))
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 3]


async def test_a_lock_is_waited_for_no_longer_than_agreed(postgres: PostgresServer, holder: psycopg.Connection) -> None:
    async with DatabaseCheckpointBackend(postgres.url, new_table(), wait=0.3) as backend:
        await backend.put(make_record("g", 1))
        take_sequence(holder, backend, 2)
        began = time.monotonic()

        with pytest.raises(
            BackendError, match=r"checkpoint 2 of graph 'g'.*Another program's transaction holds the lock"
        ):
            await backend.put(make_record("g", 2))

        assert 0.3 <= time.monotonic() - began < AT_ONCE


async def test_a_locked_table_fails_every_call_in_the_same_time(
    postgres: PostgresServer, holder: psycopg.Connection
) -> None:
    async with DatabaseCheckpointBackend(postgres.url, new_table(), wait=0.5) as backend:
        await backend.put(make_record("g", 1))
        holder.execute(f"LOCK TABLE {backend.table_name} IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()

        results = await asyncio.gather(
            *(backend.put(make_record(f"g{number}", 1)) for number in range(30)),
            *(backend.list(f"g{number}") for number in range(4)),
            return_exceptions=True,
        )

        assert {type(result) for result in results} == {BackendError}
        assert time.monotonic() - began < AT_ONCE
        holder.rollback()
        assert len((await backend.list()).infos) == 1


async def test_a_cancelled_read_waits_for_no_lock(
    backend: DatabaseCheckpointBackend, holder: psycopg.Connection, postgres: PostgresServer
) -> None:
    holder.execute(f"LOCK TABLE {backend.table_name} IN ACCESS EXCLUSIVE MODE")
    reading = asyncio.create_task(backend.list())
    await asyncio.to_thread(wait_for_a_lock, postgres)

    reading.cancel()
    await asyncio.wait([reading], timeout=AT_ONCE)

    assert reading.cancelled()


async def test_closing_waits_for_saves_that_a_lock_holds_up(
    backend: DatabaseCheckpointBackend, holder: psycopg.Connection
) -> None:
    take_sequence(holder, backend, 2)
    saving = asyncio.create_task(backend.put(make_record("g", 2)))
    await begun(saving, backend)
    closed = asyncio.create_task(backend.close())
    await asyncio.sleep(0)

    holder.rollback()
    await closed

    assert await saving is None


def test_a_writer_that_is_stopped_in_a_transaction_does_not_hold_up_its_successor(postgres: PostgresServer) -> None:
    """The server ends its connection; when it resumes, its save is refused."""
    table = new_table()
    reading, writing = os.pipe()

    async def be_stopped(tell: Tell) -> None:
        async with DatabaseCheckpointBackend(postgres.url, table, wait=0.4) as backend:
            for graph_id in ("g", "other"):
                await backend.put(make_record(graph_id, 1))
            stops = iter([True])

            def stop(_: object) -> None:
                if next(stops, False):
                    tell("in its transaction")
                    os.read(reading, 1)

            before_commits(backend, stop)
            # One that is refused has both carried out statement by statement.
            values_of = backend.database.statements.values_of
            puts = [Put(record, values_of(record)) for record in (make_record("g", 2), make_record("other", 1))]
            outcomes = TransactionExecutor(backend.database).execute(puts)
            if [type(outcome) for outcome in outcomes] == [SequenceTakenError] * 2:
                tell("overtaken")

    child = Child.start(be_stopped)
    assert child.next_line() == "in its transaction"
    os.kill(child.pid, signal.SIGSTOP)

    async def succeed() -> int:
        async with DatabaseCheckpointBackend(postgres.url, table, wait=AT_ONCE) as successor:
            await successor.put(make_record("g", 2, payload=b"the successor's"))
            return await successor.next_sequence("g")

    try:
        assert asyncio.run(succeed()) == 3
    finally:
        os.write(writing, b"x")
        os.kill(child.pid, signal.SIGCONT)
    assert child.wait() == ["overtaken"]
    os.close(reading)
    os.close(writing)


# SQLite, where one lock is everybody's


@pytest.fixture
async def in_file(tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db") as backend:
        await backend.put(make_record("g", 1))
        yield backend


@pytest.fixture
def locker(in_file: DatabaseCheckpointBackend, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def test_a_cancelled_save_waits_for_no_lock_of_sqlite_and_never_happens(
    in_file: DatabaseCheckpointBackend, locker: sqlite3.Connection
) -> None:
    saving = asyncio.create_task(in_file.put(make_record("g", 2)))
    await begun(saving, in_file)
    other = asyncio.create_task(in_file.put(make_record("other", 1)))
    await asyncio.sleep(0)

    saving.cancel()
    await asyncio.wait([saving], timeout=AT_ONCE)

    assert saving.cancelled()

    locker.execute("COMMIT")
    await other
    assert [info.graph_id for info in (await in_file.list()).infos] == ["g", "other"]


async def test_a_lock_of_sqlite_is_waited_for_no_longer_than_agreed(tmp_path: Path, locker: sqlite3.Connection) -> None:
    began = time.monotonic()
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db", wait=0.3) as backend:
        results = await asyncio.gather(
            *(backend.put(make_record(f"g{number}", 2)) for number in range(10)), return_exceptions=True
        )

    assert {type(result) for result in results} == {BackendError}
    assert "keeps the database locked" in str(results[0])
    assert 0.3 <= time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize("wait", [0, -1, float("nan"), float("inf"), True, "30", None])
def test_a_wait_that_is_no_number_of_seconds_is_refused(tmp_path: Path, wait: object) -> None:
    with pytest.raises(ValueError, match="give more than 0"):
        DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db", wait=wait)  # type: ignore[arg-type]
