"""The short way of a single save: what it refuses goes the long way, and what goes with it goes exactly once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import Record
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.operations import Delete, Operation, Outcome, Put
from spark_backend_sql.shortcut import RefusedError
from spark_testing.records import make_record
from tests.plugins.support.sql_servers import PostgresServer, new_table


@pytest.fixture(params=["sqlite", "postgresql"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/c.db" if is_file else request.getfixturevalue("postgres").url
    async with DatabaseCheckpointBackend(url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        yield backend


def saving(backend: DatabaseCheckpointBackend, record: Record, to_delete: Sequence[int] = ()) -> Put:
    return Put(record, backend._statements.values_of(record), to_delete)


def commit(backend: DatabaseCheckpointBackend, *operations: Operation) -> Sequence[Outcome]:
    """What becomes of operations that are carried out together."""
    return backend._writer._commit(operations)


def kinds(outcomes: Sequence[Outcome]) -> list[object]:
    return [type(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]


def store(backend: DatabaseCheckpointBackend, put: Put) -> list[int]:
    """What the shortcut alone does."""
    return backend._ledger.connection.run(backend._ledger.shortcut.store, put)


async def test_a_record_that_is_new_needs_nothing_but_the_shortcut(backend: DatabaseCheckpointBackend) -> None:
    assert store(backend, saving(backend, make_record("g", 2))) == []

    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]


async def test_the_shortcut_leaves_a_stored_record_alone_and_removes_nothing(
    backend: DatabaseCheckpointBackend,
) -> None:
    await backend.put(make_record("g", 2))
    before = await backend.get("g", 2)

    with pytest.raises(RefusedError):
        store(backend, saving(backend, make_record("g", 2, payload=b"another"), [1]))

    assert await backend.get("g", 2) == before
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]


async def test_the_shortcut_stores_and_removes_nothing_where_something_was_deleted(
    backend: DatabaseCheckpointBackend,
) -> None:
    """In PostgreSQL the insert has been carried out by then, and is undone."""
    await backend.put(make_record("g", 2))
    await backend.delete("g", 2)

    with pytest.raises(RefusedError):
        store(backend, saving(backend, make_record("g", 2), [1]))

    assert [info.sequence for info in (await backend.list("g")).infos] == [1]
    assert commit(backend, saving(backend, make_record("g", 3))) == [[]]


async def test_what_goes_with_a_save_is_gone_when_it_is_stored(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 2))

    assert store(backend, saving(backend, make_record("g", 3), [1, 9])) == [1]

    assert [info.sequence for info in (await backend.list("g")).infos] == [2, 3]
    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put(make_record("g", 1))
    assert commit(backend, saving(backend, make_record("g", 9)), saving(backend, make_record("other", 1))) == [[], []]


async def test_many_saves_take_along_what_goes_with_each(backend: DatabaseCheckpointBackend) -> None:
    """In a transaction that several share, each is answered for its own."""
    await backend.put(make_record("other", 1))

    outcomes = commit(
        backend,
        saving(backend, make_record("g", 2), [1, 7]),
        Delete("g", [8]),
        saving(backend, make_record("other", 2), [1]),
        saving(backend, make_record("third", 1)),
    )

    assert outcomes == [[1], [], [1], []]
    assert [(info.graph_id, info.sequence) for info in (await backend.list()).infos] == [
        ("g", 2),
        ("other", 2),
        ("third", 1),
    ]


async def test_a_floor_raised_by_what_goes_with_a_save_never_sinks(backend: DatabaseCheckpointBackend) -> None:
    for sequence in (2, 3):
        await backend.put(make_record("g", sequence))

    assert commit(backend, saving(backend, make_record("g", 4), [3])) == [[3]]
    assert commit(backend, saving(backend, make_record("g", 5), [1])) == [[1]]

    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put(make_record("g", 3))


@pytest.mark.parametrize("others", [[], ["third"]])
async def test_nothing_goes_with_a_save_in_conflict(backend: DatabaseCheckpointBackend, others: list[str]) -> None:
    """The record that it was to make way for belongs to somebody else."""
    await backend.put(make_record("g", 2))

    outcomes = commit(
        backend, saving(backend, make_record("g", 2), [1]), *(saving(backend, make_record(other)) for other in others)
    )

    assert kinds(outcomes)[0] is SequenceTakenError
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]


@pytest.mark.parametrize("others", [[], ["third"]])
async def test_nothing_goes_with_a_save_that_comes_too_late(
    backend: DatabaseCheckpointBackend, others: list[str]
) -> None:
    await backend.put(make_record("g", 2))
    await backend.delete("g", 2)

    outcomes = commit(
        backend, saving(backend, make_record("g", 2), [1]), *(saving(backend, make_record(other)) for other in others)
    )

    assert kinds(outcomes)[0] is SequenceTakenError
    assert "deleted" in str(outcomes[0])
    assert [info.sequence for info in (await backend.list("g")).infos] == [1]


async def test_a_session_at_another_level_is_not_trusted(postgres: PostgresServer) -> None:
    """Where the check may not see what the insert waited for, it refuses, and the long way sets its own level."""
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        backend._ledger.connection.run(
            lambda connection: connection.execute("SET default_transaction_isolation = 'repeatable read'")
        )

        with pytest.raises(RefusedError):
            store(backend, saving(backend, make_record("g", 2)))

        await backend.put(make_record("g", 2))
        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]
