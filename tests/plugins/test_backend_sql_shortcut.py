"""The short way of a single save: what it refuses goes the long way, and whatever rides along is done exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from spark.errors import SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.operations import Delete, Operation, Outcome, Put
from spark_backend_sql.shortcut import RefusedError, driver_connection
from tests.contract.records import make_record
from tests.plugins.sql_servers import PostgresServer, new_table


@pytest.fixture(params=["sqlite", "postgresql"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/c.db" if is_file else request.getfixturevalue("postgres").url
    async with DatabaseCheckpointBackend(url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        yield backend


def commit(backend: DatabaseCheckpointBackend, *operations: Operation) -> Sequence[Outcome]:
    """What becomes of operations that are carried out together."""
    return backend._writer._commit(operations)


def kinds(outcomes: Sequence[Outcome]) -> list[object]:
    return [type(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]


def store(backend: DatabaseCheckpointBackend, put: Put) -> bool:
    """Whether the shortcut alone stores it."""
    with driver_connection(backend.database.writing) as connection:
        return backend._ledger.shortcut.store(connection, put.record, [])[0]


async def test_a_record_that_is_new_needs_nothing_but_the_shortcut(backend: DatabaseCheckpointBackend) -> None:
    assert store(backend, Put(make_record("g", 2)))

    assert [info.sequence for info in await backend.list("g")] == [1, 2]


async def test_the_shortcut_leaves_a_stored_record_alone(backend: DatabaseCheckpointBackend) -> None:
    before = await backend.get("g", 1)

    assert not store(backend, Put(make_record("g", 1, payload=b"another")))

    assert await backend.get("g", 1) == before


async def test_the_shortcut_stores_nothing_where_something_was_deleted(backend: DatabaseCheckpointBackend) -> None:
    """In PostgreSQL the insert has been carried out by then, and is undone."""
    await backend.put(make_record("g", 2))
    await backend.delete("g", 2)

    with suppress(RefusedError):
        assert not store(backend, Put(make_record("g", 2)))

    assert [info.sequence for info in await backend.list("g")] == [1]
    assert commit(backend, Put(make_record("g", 3))) == [None]


async def test_deletions_ride_with_a_save(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 2))

    outcomes = commit(backend, Delete(("g", 1)), Put(make_record("g", 3)), Delete(("g", 9)), Delete(("other", 1)))

    assert outcomes == [True, None, False, False]
    assert [info.sequence for info in await backend.list("g")] == [2, 3]
    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put(make_record("g", 1))
    assert commit(backend, Put(make_record("g", 9)), Put(make_record("other", 1))) == [None, None]


async def test_a_floor_raised_by_what_rides_along_never_sinks(backend: DatabaseCheckpointBackend) -> None:
    for sequence in (2, 3):
        await backend.put(make_record("g", sequence))

    assert commit(backend, Delete(("g", 3)), Delete(("g", 1)), Put(make_record("g", 4))) == [True, True, None]

    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put(make_record("g", 3))


async def test_what_rides_with_a_save_in_conflict_is_done_once(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 2))

    outcomes = commit(backend, Delete(("g", 1)), Put(make_record("g", 2)))

    assert kinds(outcomes) == [True, SequenceTakenError]


async def test_what_rides_with_a_save_that_comes_too_late_is_done_once(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 2))
    await backend.delete("g", 2)

    outcomes = commit(backend, Delete(("g", 1)), Put(make_record("g", 2)))

    assert kinds(outcomes) == [True, SequenceTakenError]
    assert "deleted" in str(outcomes[1])
    assert await backend.list("g") == []


async def test_a_deletion_waits_for_the_save_that_follows_it(backend: DatabaseCheckpointBackend) -> None:
    """As retention's do: each of a run's deletions is followed by its next save."""
    carried_out: list[int] = []
    commit_alone = backend._writer._commit

    def note(operations: Sequence[Operation]) -> Sequence[Outcome]:
        carried_out.append(len(operations))
        return commit_alone(operations)

    backend._writer._commit = note

    deleting = asyncio.create_task(backend.delete("g", 1))
    await asyncio.sleep(0)
    await backend.put(make_record("g", 2))

    assert await deleting is True
    assert carried_out == [2]
    assert await backend.delete("g", 2) is True


async def test_a_session_at_another_level_is_not_trusted(postgres: PostgresServer) -> None:
    """Where the check may not see what the insert waited for, it refuses, and the long way sets its own level."""
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        with backend.database.writing.connect() as connection:
            connection.execute(text("SET default_transaction_isolation = 'repeatable read'"))
            connection.commit()

        with pytest.raises(RefusedError):
            store(backend, Put(make_record("g", 2)))

        await backend.put(make_record("g", 2))
        assert [info.sequence for info in await backend.list("g")] == [1, 2]
