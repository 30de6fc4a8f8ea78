"""The tables of the sql backend: what they are, how they come to be and grow, and that names can't leave their place."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from spark.errors import BackendError, CheckpointDamagedError, CheckpointError
from spark.graphs.checkpoint.storage import CheckpointQuery, Record
from spark_backend_sql import DatabaseCheckpointBackend, schema
from spark_testing.records import BLOB, HOSTILE_IDS, NOON, make_record
from tests.plugins.support.sql_drivers import statements_by_thread
from tests.plugins.support.sql_plans import plan_of
from tests.plugins.support.sql_servers import PostgresServer, new_table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


def rows(file: Path, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


# what is there


async def test_the_tables_are_what_the_documentation_says(url: str, file: Path) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 1, checkpoint_id="by hand"))
        await backend.put(make_record("g", 2))
        await backend.delete("g", 1)

        assert rows(file, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1") == [
            ("checkpoints",),
            ("checkpoints_blobs",),
            ("checkpoints_graphs",),
            ("checkpoints_schema",),
        ]
        columns = "graph_id, sequence, checkpoint_id, timestamp, manual, parent, version, format, compression, size"
        assert rows(file, f"SELECT {columns} FROM checkpoints") == [
            ("g", 2, "ckpt_g_000002", "2024-02-29 12:00:02.123457", 0, 1, "1.0.0", "json", "", 23)
        ]
        assert rows(file, "SELECT * FROM checkpoints_graphs") == [("g", 1)]
        assert rows(file, "SELECT * FROM checkpoints_schema") == [(4,)]
        assert rows(file, "SELECT * FROM checkpoints_blobs") == []


async def test_postgresql_keeps_payloads_as_they_are_and_knows_instants(postgres: PostgresServer) -> None:
    table = new_table()
    async with DatabaseCheckpointBackend(postgres.url, table) as backend:
        await backend.put(make_record("g", 1, payload=b"x" * 100_000))

    storage = f"SELECT attstorage FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = 'payload'"
    assert postgres.run(storage) == [("e",)]
    assert postgres.run(f"SELECT pg_column_size(payload) FROM {table}") == [(100_000,)]
    instant = datetime(2024, 2, 29, 12, 0, 1, 123457, tzinfo=UTC)
    assert postgres.run(f"SELECT timestamp = %s FROM {table}", (instant,)) == [(True,)]


async def test_sqlite_writes_to_a_log_and_waits_for_the_disk(url: str) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())
        names = ("journal_mode", "synchronous", "busy_timeout")
        found = backend.database.writer.run(
            lambda driver: {name: driver.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
        )
        with statements_by_thread(backend) as seen:
            await backend.put(make_record("g", 2))  # makes room in the log
            seen.clear()
            await backend.put_and_delete(make_record("g", 3), [1])
            await backend.list()

    assert found == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 50}
    statements = [statement for statement, _ in seen if not statement.startswith("PRAGMA")]
    assert statements[0] == "BEGIN IMMEDIATE", "a transaction that may write begins with its lock"
    assert [statement for statement in statements if statement.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]


async def test_sqlite_saves_one_record_in_one_statement(url: str) -> None:
    """Which is a transaction by itself: a BEGIN and a COMMIT would cost a tenth of the save."""
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())
        with statements_by_thread(backend) as seen:
            await backend.put(make_record("g", 2))  # makes room in the log
            seen.clear()
            await backend.put(make_record("g", 3))

    assert [statement.split()[0] for statement, _ in seen if not statement.startswith("PRAGMA")] == ["INSERT"]


async def test_postgresql_is_made_to_wait_for_the_disk(postgres: PostgresServer) -> None:
    """Where the administrator has turned that off, an acknowledged checkpoint could be lost."""
    url = postgres.new_database()
    name = url.split("/")[3].partition("?")[0]
    postgres.run(f"ALTER DATABASE {name} SET synchronous_commit = off")

    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())
        (shown,) = backend.database.writer.run(lambda driver: driver.execute("SHOW synchronous_commit").fetchone())

    assert shown == "on"


async def test_two_tables_of_one_database_are_two_stores(url: str) -> None:
    async with DatabaseCheckpointBackend(url, "one") as one, DatabaseCheckpointBackend(url, "two") as two:
        await one.put(make_record())

        assert (await two.list()).infos == []
        assert await two.next_sequence("g") == 1


# indexes


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_indexes_serve_what_is_asked_often(kind: str, url: str, postgres: PostgresServer) -> None:
    """Nothing is sorted, and no table is read from end to end, however long the history."""
    where = url if kind == "sqlite" else postgres.url
    async with DatabaseCheckpointBackend(where, new_table(where)) as backend:
        await asyncio.gather(*(backend.put(make_record(f"g{number % 4}", number // 4 + 1)) for number in range(2_000)))
        await backend.put(make_record("g1", 9_000, checkpoint_id="by hand"))
        if kind == "postgresql":
            postgres.run(f"ANALYZE {backend.table_name}")
        statements = backend.database.statements
        plans = {
            "newest ten": plan_of(
                backend, *statements.search(CheckpointQuery(graph_id="g1", newest_first=True, limit=10))
            ),
            "get": plan_of(backend, statements.get, {"graph": "g1", "at": 7, "most": 2**63 - 1}),
            "latest": plan_of(backend, statements.get_latest, {"graph": "g1", "most": 2**63 - 1}),
            "used": plan_of(backend, statements.used, {"graph": "g1"}),
            "range": plan_of(backend, *statements.records("g1", range(3, 9))),
            "latest headers": plan_of(backend, *statements.latest_headers(["g1", "g3", "g7"])),
            "graph ids": plan_of(backend, *statements.graph_ids("g", after="g1", limit=2)),
            "latest runs": plan_of(backend, *statements.latest_runs("g", after="g1", limit=None, reasons=["failed"])),
            "all runs": plan_of(backend, *statements.latest_runs("", after=None, limit=None, reasons=None)),
        }
        some = plan_of(backend, *statements.records("g1", [3, 5, 8]))
        finding = plan_of(backend, statements.find, {"id": "by hand"})

    assert f"ix_{backend.table_name}_id".upper() in finding
    for name, plan in plans.items():
        assert "INDEX" in plan, (name, plan)
        assert "SORT" not in plan, (name, plan)
        assert "TEMP B-TREE" not in plan, (name, plan)
        assert "SEQ SCAN" not in plan, (name, plan)
        assert "SCAN CHECKPOINTS" not in plan, (name, plan)
    assert "INDEX" in some
    assert "SEQ SCAN" not in some


async def test_listing_reads_no_payload(url: str) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())
        with statements_by_thread(backend) as seen:
            await backend.list()
            await backend.list("g")
            await backend.latest("g")
            await backend.find("ckpt_g_000001")
            await backend.next_sequence("g")
            await backend.graph_ids()
            await backend.latest_headers(["g"])

    statements = [statement for statement, _ in seen if not statement.startswith("PRAGMA")]
    assert len(statements) == 8
    assert not [statement for statement in statements if ".payload" in statement]


# versions


async def test_a_schema_newer_than_the_code_is_refused(url: str, file: Path) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())
    rows(file, "UPDATE checkpoints_schema SET version = 7")

    async with DatabaseCheckpointBackend(url) as backend:
        for call in (backend.list(), backend.put(make_record("g", 2)), backend.get("g", 1)):
            with pytest.raises(
                BackendError, match=r"schema version 7.*up to 4.*pip install --upgrade spark-graphs-backend-sql"
            ):
                await call

    assert rows(file, "SELECT count(*) FROM checkpoints") == [(1,)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_an_older_schema_is_brought_forward_once(
    kind: str, url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when several backends come upon it at once; and the records stay."""
    where = url if kind == "sqlite" else postgres.url
    table = new_table(where)
    async with DatabaseCheckpointBackend(where, table) as backend:
        await backend.put(make_record())
    steps: list[str] = []

    def add_note(connection, tables) -> None:
        steps.append("add_note")
        connection.execute(text(f"ALTER TABLE {tables.name} ADD COLUMN note text"))

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, add_note))
    backends = [DatabaseCheckpointBackend(where, table) for _ in range(5)]
    listed = await asyncio.gather(*(backend.list() for backend in backends))
    for backend in backends:
        await backend.put(make_record(f"g{id(backend)}"))
        await backend.close()

    assert [len(listing.infos) for listing in listed] == [1] * 5
    assert steps == ["add_note"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_records_of_the_second_version_of_the_tables_are_read_as_they_were(
    kind: str, url: str, file: Path, postgres: PostgresServer
) -> None:
    """It had no columns for what only some records say."""
    where = url if kind == "sqlite" else postgres.url
    table = new_table(where)
    ours = Record(replace(make_record().header, references_in_payload=True), make_record().payload)
    async with DatabaseCheckpointBackend(where, table) as backend:
        await backend.put(ours)
    for statement in (
        *(f"ALTER TABLE {table} DROP COLUMN {name}" for name in ("references_in_payload", "codecs", "serializer")),
        f"UPDATE {table}_schema SET version = 2",
    ):
        rows(file, statement) if kind == "sqlite" else postgres.run(statement)

    async with DatabaseCheckpointBackend(where, table) as backend:
        assert await backend.get("g", 1) == ours
        theirs = replace(make_record("g", 2).header, references_in_payload=False, codecs=("a", "b"), serializer="c")
        await backend.put(Record(theirs, make_record("g", 2).payload))
        stored = await backend.get("g", 2)
    assert stored is not None
    assert stored.header == theirs


async def test_a_migration_that_fails_changes_nothing(url: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())

    def half(connection, tables) -> None:
        connection.execute(text("CREATE TABLE half (n integer)"))
        connection.execute(text("SELECT no_such_column FROM half"))

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, half))
    async with DatabaseCheckpointBackend(url) as backend:
        with pytest.raises(BackendError, match="no_such_column"):
            await backend.list()

    assert rows(file, "SELECT version FROM checkpoints_schema") == [(4,)]
    assert rows(file, "SELECT name FROM sqlite_master WHERE name = 'half'") == []


# names and ids


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x; DROP TABLE checkpoints",
        'x"',
        "x'--",
        "a b",
        "a-b",
        "1st",
        "a.b.c",
        ".a",
        "a.",
        "x" * 51,
        "größe",
        "x\0",
        "x\n",
        "sqlite_x",
        "%s",
        ":x",
        None,
        7,
    ],
)
def test_a_hostile_table_name_is_refused_before_any_sql(tmp_path: Path, name: object) -> None:
    with pytest.raises(ValueError, match="table name"):
        DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/x.db", name)  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["select", "Order", "_x", "x" * 50, "CamelCase"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_table_may_have_any_other_name(kind: str, name: str, url: str, postgres: PostgresServer) -> None:
    async with DatabaseCheckpointBackend(url if kind == "sqlite" else postgres.url, name) as backend:
        await backend.put(make_record("g", 1, checkpoint_id="x"))
        await backend.delete("g", 1)

        assert await backend.next_sequence("g") == 2


async def test_a_table_may_stand_in_a_schema_of_postgresql(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    postgres.run("CREATE SCHEMA runs", url=url)

    async with DatabaseCheckpointBackend(url, "runs.checkpoints") as backend:
        await backend.put(make_record())

    assert postgres.run("SELECT graph_id FROM runs.checkpoints", url=url) == [("g",)]


def test_a_schema_is_for_postgresql_only(url: str) -> None:
    with pytest.raises(ValueError, match="on PostgreSQL only; write 'checkpoints'"):
        DatabaseCheckpointBackend(url, "main.checkpoints")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("hostile", ["", "x\0y", "x" * 5_000, "\ud800", "a\nb", *HOSTILE_IDS[-3:]])
async def test_no_id_does_harm(kind: str, url: str, postgres: PostgresServer, hostile: str) -> None:
    """Also ids that are refused long before they come here; and no other operation fails with theirs."""
    where = url if kind == "sqlite" else postgres.url
    async with DatabaseCheckpointBackend(where, new_table(where)) as backend:

        async def put_hostile(graph_id: str, checkpoint_id: str) -> None:
            with suppress(CheckpointError):
                await backend.put(make_record(graph_id, 1, checkpoint_id=checkpoint_id))

        saved = await asyncio.gather(
            put_hostile(hostile, "x"), put_hostile("h", hostile or "x"), backend.put(make_record("innocent"))
        )
        with suppress(CheckpointError):
            await backend.get(hostile, 1)
        await backend.latest(hostile)
        await backend.find(hostile)
        await backend.list(hostile)
        await backend.next_sequence(hostile)
        await backend.delete(hostile, 1)

        assert saved[2] is None
        assert "innocent" in [info.graph_id for info in (await backend.list()).infos]


@pytest.mark.parametrize("sequence", [0, -1, 2**63, 2**200])
async def test_a_sequence_that_no_database_holds_is_refused(url: str, sequence: int) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        with pytest.raises(BackendError, match="sequence"):
            await backend.put(make_record("g", sequence, timestamp=NOON))

        assert await backend.get("g", sequence) is None
        assert await backend.delete("g", sequence) is False


# damaged rows


@pytest.mark.parametrize(
    "change",
    [
        "timestamp = 'long ago'",
        "payload = 'text'",
        "payload = x'00'",
        "size = 'big'",
        "checkpoint_id = x'ff'",
        "checkpoint_id = CAST(x'ff' AS TEXT)",
    ],
)
async def test_a_damaged_row_is_an_error_that_names_it(url: str, file: Path, change: str) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 1))
        await backend.put(make_record("g", 2))
        rows(file, f"UPDATE checkpoints SET {change} WHERE sequence = 2")

        with pytest.raises(CheckpointDamagedError, match=r"checkpoint 2 of graph 'g'.*damaged"):
            await backend.get("g", 2)
        assert await backend.get("g", 1) is not None


async def test_a_listing_names_damaged_rows(url: str, file: Path) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        for sequence in (1, 2, 3, 4):
            await backend.put(make_record("g", sequence))
        rows(file, "UPDATE checkpoints SET timestamp = 'long ago' WHERE sequence = 1")
        rows(file, "UPDATE checkpoints SET size = 'large' WHERE sequence = 3")
        rows(file, "UPDATE checkpoints SET timestamp = CAST(x'ff' AS TEXT) WHERE sequence = 4")

        listing = await backend.list("g")

        assert [info.sequence for info in listing.infos] == [2]
        assert [(each.graph_id, each.sequence) for each in listing.damaged] == [("g", 1), ("g", 3), ("g", 4)]
        assert all(f"checkpoint {each.sequence} of graph 'g'" in each.reason for each in listing.damaged)
        assert (await backend.query(CheckpointQuery(graph_id="g"))) == listing


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "294276-01-01 UTC", "0044-03-15 12:00 UTC BC"])
async def test_a_moment_that_python_has_no_year_for_damages_one_row_of_postgresql(
    postgres: PostgresServer, moment: str
) -> None:
    url = postgres.new_database()
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    async with DatabaseCheckpointBackend(url) as backend:
        for sequence, timestamp in enumerate((first, last, first), 1):
            await backend.put(make_record("g", sequence, timestamp=timestamp))
        postgres.run("UPDATE checkpoints SET timestamp = %s WHERE sequence = 3", (moment,), url=url)

        listing = await backend.list("g")

        assert [info.timestamp for info in listing.infos] == [first, last]
        assert [(each.graph_id, each.sequence) for each in listing.damaged] == [("g", 3)]
        with pytest.raises(CheckpointDamagedError, match="checkpoint 3 of graph 'g'"):
            await backend.get("g", 3)


async def test_a_damaged_row_is_not_passed_over_when_it_is_asked_for(url: str, file: Path) -> None:
    """Neither as the latest, which would be a guess, nor by its id, as if it had been deleted."""
    async with DatabaseCheckpointBackend(url) as backend:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))
        rows(file, "UPDATE checkpoints SET timestamp = 'long ago' WHERE sequence = 2")

        for asked in (backend.latest("g"), backend.find("ckpt_g_000002")):
            with pytest.raises(CheckpointDamagedError, match="checkpoint 2 of graph 'g'"):
                await asked


# forgetting


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_no_row_is_left_of_small_graphs_that_are_forgotten(
    kind: str, url: str, file: Path, postgres: PostgresServer
) -> None:
    where = url if kind == "sqlite" else postgres.url
    table = new_table(where)
    async with DatabaseCheckpointBackend(where, table) as backend:
        for number in range(20):
            blobs = {BLOB: f"a secret {number}".encode() * 600}
            await backend.put(make_record(f"g{number}", 1, blobs=blobs))
            await backend.put(make_record(f"g{number}", 2, checkpoint_id=f"by hand {number}"))
            await backend.delete(f"g{number}", 1)
        forgotten = [await backend.forget(f"g{number}") for number in range(20)]

    assert forgotten == [[2]] * 20
    for name in (table, f"{table}_blobs", f"{table}_graphs"):
        counting = f"SELECT count(*) FROM {name}"
        assert (rows(file, counting) if kind == "sqlite" else postgres.run(counting)) == [(0,)]
    if kind == "sqlite":
        assert b"a secret" not in file.read_bytes(), "what is forgotten is overwritten in the file"


async def test_a_graph_of_which_a_row_has_no_sequence_is_forgotten_too(url: str, file: Path) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))
        rows(file, "UPDATE checkpoints SET sequence = 'second' WHERE sequence = 2")

        assert await backend.forget("g") == [1]
        assert (await backend.list()).damaged == []
