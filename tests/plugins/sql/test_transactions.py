"""Outcomes of operations in one transaction: each has its own, and what is deleted with a save is deleted exactly once."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy.dialects import mysql

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import Record
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.dialect import RefusedError
from spark_backend_sql.executor import TransactionExecutor
from spark_backend_sql.mysql import MariadbDialect, MysqlDialect
from spark_backend_sql.operations import Delete, Forget, Operation, Outcome, Put
from spark_backend_sql.schema import Tables
from spark_testing.records import make_record
from tests.plugins.support.sql_drivers import count_commits
from tests.plugins.support.sql_servers import PostgresServer, new_table

STATEMENT_BY_STATEMENT = "postgresql, statement by statement"
"""As with drivers that have no pipelines."""


@pytest.fixture(params=["sqlite", "postgresql", STATEMENT_BY_STATEMENT])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/c.db" if is_file else request.getfixturevalue("postgres").url
    async with DatabaseCheckpointBackend(url, new_table(url)) as backend:
        if request.param == STATEMENT_BY_STATEMENT:
            backend.database.dialect.sends_in_one_piece = False
        await backend.put(make_record("g", 1))
        yield backend


def saving(backend: DatabaseCheckpointBackend, record: Record, to_delete: Sequence[int] = ()) -> Put:
    return Put(record, backend.database.statements.values_of(record), to_delete)


def commit(backend: DatabaseCheckpointBackend, *operations: Operation) -> Sequence[object]:
    """What becomes of operations that are carried out together."""
    return TransactionExecutor(backend.database).execute(operations)


def kinds(outcomes: Sequence[object]) -> list[object]:
    return [type(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]


async def test_a_save_deletes_what_it_supersedes_when_it_is_stored(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 2))

    assert commit(backend, saving(backend, make_record("g", 3), [1, 9])) == [[1]]

    assert [info.sequence for info in (await backend.list("g")).infos] == [2, 3]
    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put(make_record("g", 1))
    assert commit(backend, saving(backend, make_record("g", 9)), saving(backend, make_record("other", 1))) == [[], []]


async def test_each_of_many_saves_deletes_its_own(backend: DatabaseCheckpointBackend) -> None:
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


async def test_the_highest_deleted_sequence_never_sinks(backend: DatabaseCheckpointBackend) -> None:
    for sequence in (2, 3):
        await backend.put(make_record("g", sequence))

    assert commit(backend, saving(backend, make_record("g", 4), [3])) == [[3]]
    assert commit(backend, saving(backend, make_record("g", 5), [1])) == [[1]]

    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put(make_record("g", 3))


@pytest.mark.parametrize("others", [[], ["third"]])
async def test_a_save_in_conflict_deletes_nothing(backend: DatabaseCheckpointBackend, others: list[str]) -> None:
    """The record that it would have replaced was not superseded: another writer's was stored."""
    await backend.put(make_record("g", 2))

    outcomes = commit(
        backend, saving(backend, make_record("g", 2), [1]), *(saving(backend, make_record(other)) for other in others)
    )

    assert kinds(outcomes)[0] is SequenceTakenError
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]


@pytest.mark.parametrize("others", [[], ["third"]])
async def test_a_save_that_comes_too_late_deletes_nothing(
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


async def test_a_graph_that_is_forgotten_beside_others_begins_anew(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 2))

    assert commit(backend, Forget("g"), saving(backend, make_record("other", 1))) == [[1, 2], []]

    assert commit(backend, saving(backend, make_record("g", 1))) == [[]]


@pytest.mark.parametrize("count", [1, 5])
async def test_a_transaction_is_one_commit_however_many_operations_it_holds(
    backend: DatabaseCheckpointBackend, count: int
) -> None:
    commits = count_commits(backend)

    commit(backend, *(saving(backend, make_record(f"g{number}")) for number in range(count)), Delete("g", [1]))

    assert len(commits) == 1


# PostgreSQL, to which a transaction is sent in one piece


@pytest.fixture
async def on_server(postgres: PostgresServer) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))
        yield backend


def send(backend: DatabaseCheckpointBackend, *operations: Operation) -> dict[Operation, Outcome]:
    """What becomes of operations that are sent in one piece."""
    return backend.database.writer.run(backend.database.dialect.send, operations)


async def test_new_records_and_deletions_need_one_piece(on_server: DatabaseCheckpointBackend) -> None:
    put, deletion = saving(on_server, make_record("g", 3), [1, 7]), Delete("g", [2, 8])

    assert send(on_server, put, deletion) == {put: [1], deletion: [2]}

    assert [info.sequence for info in (await on_server.list("g")).infos] == [3]
    with pytest.raises(SequenceTakenError, match="deleted"):
        await on_server.put(make_record("g", 2))


async def test_a_piece_in_conflict_changes_nothing(on_server: DatabaseCheckpointBackend) -> None:
    before = await on_server.get("g", 2)

    with pytest.raises(RefusedError):
        send(
            on_server,
            saving(on_server, make_record("a")),
            saving(on_server, make_record("g", 2, payload=b"another"), [1]),
        )

    assert await on_server.get("g", 2) == before
    assert [info.graph_id for info in (await on_server.list()).infos] == ["g", "g"]


async def test_a_piece_that_reuses_a_deleted_sequence_changes_nothing(on_server: DatabaseCheckpointBackend) -> None:
    """The insert has been carried out by then, and is undone."""
    await on_server.delete("g", 2)

    with pytest.raises(RefusedError):
        send(on_server, saving(on_server, make_record("g", 2), [1]), Delete("g", [1]))

    assert [info.sequence for info in (await on_server.list("g")).infos] == [1]
    assert commit(on_server, saving(on_server, make_record("g", 3))) == [[]]


async def test_a_session_at_another_level_is_not_trusted(on_server: DatabaseCheckpointBackend) -> None:
    """If the check may not see what the insert waited for, it refuses, and the transaction that follows sets its own level."""
    on_server.database.writer.run(
        lambda driver: driver.execute("SET default_transaction_isolation = 'repeatable read'")
    )

    with pytest.raises(RefusedError):
        send(on_server, saving(on_server, make_record("g", 3)))

    await on_server.put(make_record("g", 3))
    assert [info.sequence for info in (await on_server.list("g")).infos] == [1, 2, 3]


# MySQL, for which no server is at hand; for MariaDB see test_mariadb.py


class RecordingDriver:
    """Stands for the driver's connection and its cursors: writes statements down, and carries out none."""

    rowcount = 1

    def __init__(self, *, is_in_conflict: bool) -> None:
        self.texts: list[str] = []
        self._is_in_conflict = is_in_conflict

    def cursor(self) -> RecordingDriver:
        return self

    def execute(self, text: str, values: object) -> None:
        self.texts.append(text)
        if self._is_in_conflict and text.startswith("INSERT INTO checkpoints "):
            raise sqlite3.IntegrityError(1062)

    executemany = execute

    def fetchone(self) -> None:
        return None


@pytest.mark.parametrize("kind", [MysqlDialect, MariadbDialect])
def test_mysql_gets_statements_of_its_own_dialect(kind: type[MysqlDialect]) -> None:
    dialect = kind(Tables("checkpoints", dialect="mysql"), mysql.dialect(dbapi=sqlite3))
    put = Put(make_record("g", 3, blobs={"name": b"content"}), defaultdict(str), [1])
    driver = RecordingDriver(is_in_conflict=False)

    assert dialect.apply(driver, [put]) == {put: [1]}

    assert [" ".join(text.split()[:3]) for text in driver.texts] == [
        "INSERT INTO checkpoints",
        "SELECT checkpoints_graphs.deleted_up_to FROM",
        "INSERT INTO checkpoints_blobs",
        "DELETE FROM checkpoints",
        "INSERT INTO checkpoints_graphs",
    ]
    assert [text.partition("ON DUPLICATE KEY UPDATE ")[2] for text in driver.texts if "ON DUPL" in text] == [
        "graph_id = checkpoints_blobs.graph_id",
        "deleted_up_to = greatest(checkpoints_graphs.deleted_up_to, VALUES(deleted_up_to))",
    ]


def test_an_insert_in_conflict_is_refused_in_mysql() -> None:
    """The error leaves the transaction usable, so the others of a batch are carried out in it."""
    dialect = MysqlDialect(Tables("checkpoints", dialect="mysql"), mysql.dialect(dbapi=sqlite3))
    put, deletion = Put(make_record("g", 3), defaultdict(str), [1]), Delete("g", [2])

    outcomes = dialect.apply(RecordingDriver(is_in_conflict=True), [put, deletion])

    assert kinds([outcomes[put], outcomes[deletion]]) == [SequenceTakenError, [2]]
