"""In SQLite the writer's thread commits a share of what graphs add in one turn of the event loop while they add the rest."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest

from spark.errors import SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend, writer
from spark_backend_sql.writer import SHARE
from spark_testing.records import make_record
from tests.plugins.support.sql_drivers import Held, before_commits, count_commits
from tests.plugins.support.sql_servers import PostgresServer, new_table


@pytest.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DatabaseCheckpointBackend]:
    monkeypatch.setattr(writer, "LONGEST_SHARED", 60.0)  # however slow the disk is that the tests run on
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/checkpoints.db") as backend:
        await backend.put(make_record("first", 1))
        yield backend


def saves(backend: DatabaseCheckpointBackend, count: int) -> list[Coroutine[None, None, None]]:
    """Saves of so many graphs."""
    return [backend.put(make_record(f"g{number}", 1)) for number in range(count)]


async def test_it_begins_before_the_turn_has_ended(backend: DatabaseCheckpointBackend) -> None:
    held = Held(backend)
    begun: list[bool] = []

    async def look() -> None:
        begun.append(held.is_reached.wait(10))  # in the same turn, which waits for it
        held.release()

    saving = saves(backend, SHARE + 3)
    await asyncio.gather(*saving[:SHARE], look(), *saving[SHARE:])

    assert begun == [True]
    assert len((await backend.list()).infos) == 1 + SHARE + 3


async def test_a_disk_that_is_slow_gets_one_transaction(
    backend: DatabaseCheckpointBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LONGEST_SHARED", -1.0)
    commits = count_commits(backend)

    await asyncio.gather(*saves(backend, 3 * SHARE))

    assert len(commits) == 1


async def test_saves_that_take_several_statements_are_one_transaction(backend: DatabaseCheckpointBackend) -> None:
    """Each statement would have to wait for the interpreter's lock, which the event loop holds until its turn ends."""
    await asyncio.gather(*saves(backend, 3 * SHARE))
    commits = count_commits(backend)

    deleted = await asyncio.gather(
        *(backend.put_and_delete(make_record(f"g{number}", 2), [1]) for number in range(3 * SHARE))
    )

    assert deleted == [[1]] * (3 * SHARE)
    assert len(commits) == 1


async def test_a_server_gets_one_transaction(postgres: PostgresServer) -> None:
    """It takes one round trip, whatever is in it."""
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("first", 1))
        commits = count_commits(backend)

        await asyncio.gather(*saves(backend, 3 * SHARE))

        assert len(commits) == 1


async def test_in_each_share_only_what_was_used_is_refused(backend: DatabaseCheckpointBackend) -> None:
    used, deleted = SHARE // 2, SHARE + 1
    for number in (used, deleted):
        await backend.put(make_record(f"g{number}", 1, payload=b"of somebody else"))
    await backend.delete(f"g{deleted}", 1)

    results = await asyncio.gather(*saves(backend, 3 * SHARE), return_exceptions=True)

    refused = {number: result for number, result in enumerate(results) if result is not None}
    assert [*refused] == [used, deleted]
    assert all(isinstance(result, SequenceTakenError) for result in refused.values())
    assert len((await backend.list()).infos) == 3 * SHARE


async def test_a_save_cancelled_in_the_turn_in_which_its_share_was_taken_is_waited_for(
    backend: DatabaseCheckpointBackend,
) -> None:
    held = Held(backend)
    tasks = [*map(asyncio.create_task, saves(backend, SHARE))]

    async def cancel() -> None:
        assert held.is_reached.wait(10)
        tasks[0].cancel()

    await asyncio.create_task(cancel())
    await asyncio.sleep(0)

    assert not tasks[0].done()
    held.release()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None] * (SHARE - 1)
    assert await backend.get("g0", 1) is not None


async def test_a_share_whose_commit_failed_after_it_took_effect_is_known_to_be_stored(
    backend: DatabaseCheckpointBackend,
) -> None:
    failures: list[object] = []

    def fail_afterwards(driver: sqlite3.Connection) -> None:
        if not failures:
            failures.append(driver)
            sqlite3.Connection.commit(driver)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error

    before_commits(backend, fail_afterwards)

    await asyncio.gather(*saves(backend, SHARE))

    assert failures != []
    assert len((await backend.list()).infos) == 1 + SHARE
