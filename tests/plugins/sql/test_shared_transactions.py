"""What the database refuses one save of in a transaction that several share, the others are saved all the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from spark.errors import BackendError, SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.executor import TransactionExecutor
from spark_backend_sql.operations import Put
from spark_testing.records import make_record
from tests.plugins.support.sql_drivers import before_commits
from tests.plugins.support.sql_servers import PostgresServer, new_table


@pytest.mark.parametrize(
    "refusal",
    [
        "RAISE EXCEPTION USING ERRCODE = 'disk_full'",
        "RAISE EXCEPTION USING ERRCODE = 'out_of_memory'",
        "RAISE EXCEPTION USING ERRCODE = 'query_canceled'",
        "RAISE EXCEPTION USING ERRCODE = 'serialization_failure'",
        "RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'",
        "RAISE EXCEPTION USING ERRCODE = 'check_violation'",
        "RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded'",
        "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(10)",
    ],
    ids=lambda refusal: refusal.split("'")[1] if "'" in refusal else "connection ended",
)
async def test_whatever_one_save_fails_of_in_a_shared_transaction_the_others_are_saved(
    postgres: PostgresServer, refusal: str
) -> None:
    async with DatabaseCheckpointBackend(postgres.url, new_table(), wait=0.1) as backend:
        await backend.put(make_record("first", 1))
        refuse(postgres, backend.table_name, refusal)

        *saved, failed = commit_together(backend, "a", "b", "victim")

        assert saved == [[], []]
        assert isinstance(failed, BackendError)
        assert "checkpoint 1 of graph 'victim'" in str(failed)
        assert ("not known" in str(failed)) is ("terminate" in refusal)
        assert [info.graph_id for info in (await backend.list()).infos] == ["a", "b", "first"]


def refuse(postgres: PostgresServer, table: str, refusal: str) -> None:
    """Let the server do this instead of storing a checkpoint of the graph "victim"."""
    postgres.run(f"""
        CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.graph_id = 'victim' THEN {refusal}; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()
    """)


@pytest.mark.parametrize("how", ["ABORT, 'refused'", "FAIL, 'refused'", "ROLLBACK, 'refused'", "IGNORE"])
async def test_whatever_sqlite_refuses_in_a_shared_transaction_the_others_are_saved(tmp_path: Path, how: str) -> None:
    """As with a full disk or a failing one, SQLite may end the whole transaction by itself; or keep what it has stored."""
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db") as backend:
        await backend.put(make_record("first", 1))
        with closing(sqlite3.connect(tmp_path / "c.db")) as other:
            other.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON checkpoints WHEN NEW.graph_id = 'victim' "
                f"BEGIN SELECT RAISE({how}); END"
            )

        a, b, failed, c = commit_together(backend, "a", "b", "victim", "c")

        assert [a, b, c] == [[], [], []]
        assert isinstance(failed, SequenceTakenError if how == "IGNORE" else BackendError)
        assert "not known" not in str(failed)
        assert [info.graph_id for info in (await backend.list()).infos] == ["a", "b", "c", "first"]


async def test_a_record_that_is_stored_twice_is_refused_beside_others(tmp_path: Path) -> None:
    """It has the nonce of what is stored, and is none that this transaction could have stored."""
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db") as backend:
        await backend.put(make_record("twice", 1))

        a, refused = commit_together(backend, "a", "twice")

        assert a == []
        assert isinstance(refused, SequenceTakenError)


@pytest.mark.parametrize("count", [2, 3, 48, 49, 104, 105])
async def test_of_many_records_only_those_are_refused_whose_sequence_was_used(tmp_path: Path, count: int) -> None:
    """One statement stores many of them, and gets rows of nothing where they are fewer than it takes."""
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db") as backend:
        await backend.put(make_record("used", 1))
        await backend.put(make_record("deleted", 1))
        await backend.delete("deleted", 1)
        graph_ids = [f"graph {number:03}" for number in range(count)]

        assert commit_together(backend, *graph_ids) == [[]] * count
        for used in ("used", "deleted"):
            again = [f"{each}, again beside what was {used}" for each in graph_ids]
            *saved, refused = commit_together(backend, *again, used)
            assert isinstance(refused, SequenceTakenError)
            assert saved == [[]] * count
        stored = [info.graph_id for info in (await backend.list()).infos]
        assert len(stored) == 3 * count + 1
        assert "deleted" not in stored


async def test_records_whose_commit_failed_after_it_took_effect_are_known_to_be_stored(tmp_path: Path) -> None:
    """They are one statement, which commits itself."""
    failures: list[object] = []

    def fail_afterwards(driver: sqlite3.Connection) -> None:
        if not failures:
            failures.append(driver)
            sqlite3.Connection.commit(driver)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error

    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db") as backend:
        await backend.put(make_record("first", 1))
        before_commits(backend, fail_afterwards)

        assert commit_together(backend, "a", "b", "c") == [[], [], []]

        assert len(failures) == 1
        assert len((await backend.list()).infos) == 4


def commit_together(backend: DatabaseCheckpointBackend, *graph_ids: str) -> Sequence[object]:
    """What becomes of one save of each graph when they share a transaction."""
    records = [make_record(graph_id, 1) for graph_id in graph_ids]
    puts = [Put(record, backend.database.statements.values_of(record)) for record in records]
    return TransactionExecutor(backend.database).execute(puts)
