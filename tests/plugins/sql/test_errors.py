"""What the sql backend says when the database can't be used, and that it never says a password."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from spark.errors import BackendError, StoreNotFoundError
from spark.graphs.checkpoint import open_backend
from spark_backend_sql import DatabaseCheckpointBackend, urls
from spark_backend_sql.executor import TransactionExecutor
from spark_backend_sql.operations import Put
from spark_testing.records import make_record
from tests.plugins.support.sql_drivers import OnAFastDisk, OnASlowDisk, before_commits
from tests.plugins.support.sql_servers import PostgresServer
from tests.support.servers import silent_port

SECRET = "s3cr3t/p@ss word%"
ENCODED = "s3cr3t%2Fp%40ss%20word%25"


async def failure(url: str, **options: float) -> BackendError:
    """What saving one checkpoint there raises."""
    async with DatabaseCheckpointBackend(url, **options) as backend:
        with pytest.raises(BackendError) as raised:
            await backend.put(make_record("g", 1))
    return raised.value


def check_that_it_helps(error: BackendError, advice: str) -> None:
    assert advice in str(error)
    assert "sql backend" in str(error)
    assert "checkpoint 1 of graph 'g'" in str(error)
    assert error.__cause__ is not None


# SQLite


async def test_a_missing_folder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    check_that_it_helps(
        await failure(f"sqlite:///{tmp_path}/no/such/x.db"), "Create the folder of the database file first"
    )


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, and no database " * 50)

    check_that_it_helps(await failure(f"sqlite:///{file}"), "The file is not an SQLite database")
    assert file.read_text().startswith("these are notes")


async def test_a_damaged_database_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    async with DatabaseCheckpointBackend(f"sqlite:///{file}") as backend:
        for sequence in range(2, 40):
            await backend.put(make_record("g", sequence))
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)

    error = await failure(f"sqlite:///{file}")

    assert "The file is damaged: restore it from a backup" in str(error)
    assert error.__cause__ is not None


def fill_up(backend: DatabaseCheckpointBackend) -> None:
    """Leave room for three pages."""

    def limit(driver: sqlite3.Connection) -> None:
        (pages,) = driver.execute("PRAGMA page_count").fetchone()
        driver.execute(f"PRAGMA max_page_count = {pages + 3}")

    backend.database.writer.run(limit)


@pytest.mark.parametrize("kind", [OnASlowDisk, OnAFastDisk])
async def test_a_full_disk_fails_the_save_and_nothing_else(
    tmp_path: Path, kind: type[DatabaseCheckpointBackend]
) -> None:
    """On a fast disk the event loop's thread meets it first."""
    async with kind(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.put(make_record("g", 2))
        fill_up(backend)

        large = make_record("g", 1, payload=b"x" * 100_000)
        results = await asyncio.gather(backend.put(large), backend.put(make_record("h")), return_exceptions=True)

        assert isinstance(results[0], BackendError)
        check_that_it_helps(results[0], "Free some space on the disk")
        assert "Nothing of it was written" in str(results[0])
        assert results[1] is None
        assert await backend.get("g", 1) is None
        assert await backend.get("g", 2) is not None
        assert await backend.delete("g", 2) is True


async def test_a_full_disk_that_an_inline_save_met_first_is_in_doubt_for_no_other_save(tmp_path: Path) -> None:
    """The save that failed there is in one transaction with another graph's when the writer tries it again."""
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.put(make_record("g", 2))
        fill_up(backend)
        large, other = (
            Put(record, backend.database.statements.values_of(record))
            for record in (make_record("g", 1, payload=b"x" * 100_000), make_record("h"))
        )

        executor = TransactionExecutor(backend.database)
        assert executor.execute_now([large]) is None
        failed, saved = executor.execute([large, other])

        assert saved == []
        assert isinstance(failed, BackendError)
        assert "Nothing of it was written" in str(failed)
        assert "not known" not in str(failed)


async def test_a_database_that_can_only_be_read_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    async with DatabaseCheckpointBackend(f"sqlite:///{file}") as backend:
        await backend.put(make_record("g", 2))
    url = f"sqlite:///file:{file}?mode=ro&uri=true"

    check_that_it_helps(await failure(url), "The database can only be read")
    async with DatabaseCheckpointBackend(url) as backend:
        assert [info.sequence for info in (await backend.list("g")).infos] == [2]


async def test_a_lock_that_stays_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 2))
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        check_that_it_helps(await failure(url, wait=0.1), "Another program keeps the database locked")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_in_memory_is_refused_with_what_to_take_instead(url: str) -> None:
    with pytest.raises(ValueError, match=r"InMemoryCheckpointBackend\(\) or memory://"):
        DatabaseCheckpointBackend(url)


async def test_another_working_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with DatabaseCheckpointBackend("sqlite:///checkpoints.db") as backend:
        monkeypatch.chdir("/")
        await backend.put(make_record())

    assert (tmp_path / "checkpoints.db").is_file()


# connection strings and drivers


@pytest.mark.parametrize(
    "url", ["", "nonsense", "postgresql://u:pa/ss:w@rd@host:port/d", "postgresql://u:p@h:99x/d", "sqlite:", "://x"]
)
def test_a_connection_string_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="connection string") as raised:
        DatabaseCheckpointBackend(url)

    assert "w@rd" not in everything_said(raised.value)


def test_a_connection_string_is_text() -> None:
    with pytest.raises(TypeError, match="not int"):
        DatabaseCheckpointBackend(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://h/d", "sqlite+aiosqlite:///x.db", "postgresql+psycopg_async://h/d"]
)
def test_an_asynchronous_driver_is_refused_with_what_to_write_instead(url: str) -> None:
    with pytest.raises((ValueError, BackendError), match="sql backend"):
        DatabaseCheckpointBackend(url)


def test_the_psycopg_of_today_serves_a_plain_url() -> None:
    backend = DatabaseCheckpointBackend("postgresql://user:pass@localhost/spark")

    assert backend.database.url.drivername == "postgresql+psycopg"


def test_a_missing_driver_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "find_spec", lambda module: None)

    with pytest.raises(BackendError, match=r"pip install 'spark-graphs\[postgresql\]'$"):
        DatabaseCheckpointBackend("postgresql://user:pass@localhost/spark")
    with pytest.raises(BackendError, match=r"pip install 'spark-graphs\[mysql\]'"):
        DatabaseCheckpointBackend("mysql://user:pass@localhost/spark")


def test_a_named_driver_that_is_missing_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)

    with pytest.raises(BackendError, match=r"postgresql\+psycopg2:// is not installed") as raised:
        DatabaseCheckpointBackend("postgresql+psycopg2://user:pass@localhost/spark")

    assert raised.value.__cause__ is not None


@pytest.mark.parametrize(
    "url",
    ["sqlite:///{}/x.db", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"],
    ids=["sqlite", "pg", "psycopg"],
)
def test_the_backend_is_found_by_its_url(tmp_path: Path, url: str) -> None:
    backend = open_backend(url.format(tmp_path), table_name="mine")

    assert isinstance(backend, DatabaseCheckpointBackend)
    assert backend.table_name == "mine"


# PostgreSQL


async def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    with silent_port() as port:
        error = await failure(f"postgresql://user:{ENCODED}@127.0.0.1:{port}/spark")

    check_that_it_helps(error, "Check that the server runs")
    check_that_nothing_leaks(error)


@pytest.fixture
def guarded(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a user that needs a password, without it."""
    rules = postgres.folder / "pg_hba.conf"
    before = rules.read_text()
    postgres.run("DROP ROLE IF EXISTS guarded")
    postgres.run("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    postgres.run("SELECT pg_reload_conf()")
    yield f"postgresql://guarded:{{}}@/postgres?host={postgres.folder}"
    rules.write_text(before)
    postgres.run("SELECT pg_reload_conf()")


async def test_a_wrong_password_is_an_error_that_does_not_show_it(guarded: str) -> None:
    error = await failure(guarded.format(ENCODED))

    check_that_it_helps(error, "Check the user's name and password")
    check_that_nothing_leaks(error)


async def test_a_user_that_may_not_create_tables_is_an_error_that_says_what_to_do(guarded: str) -> None:
    check_that_it_helps(await failure(guarded.format("right")), "Grant this user the right")


async def test_a_database_that_is_not_there_is_an_error_that_says_what_to_do(postgres: PostgresServer) -> None:
    error = await failure(postgres.url_of("nowhere"))

    assert isinstance(error, StoreNotFoundError)
    assert "the server has no database 'nowhere'. Check the URL. Or create the database" in str(error)
    check_that_nothing_leaks(error)


async def test_a_server_that_only_allows_reading_is_an_error_that_says_what_to_do(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 2))
    name = url.split("/")[3].partition("?")[0]
    postgres.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    check_that_it_helps(await failure(url), "The server only allows reading")
    async with DatabaseCheckpointBackend(url) as backend:
        assert len((await backend.list()).infos) == 1


def lose_connections(server: PostgresServer, database: str) -> None:
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))


async def test_a_server_that_lets_nobody_in_for_a_moment_is_tried_again(postgres: PostgresServer) -> None:
    """Whatever it says: one that recovers, a full one and a pooler have their own words."""
    url = postgres.new_database()
    name = url.split("/")[3].partition("?")[0]
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 1))
        tries = []

        def open_at_the_third(*_: object) -> None:
            tries.append(1)
            if len(tries) == 3:
                postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        event.listen(backend.database.writing, "do_connect", open_at_the_third)
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        lose_connections(postgres, name)
        await backend.put(make_record("g", 2))

        assert len(tries) == 3
        assert [info.sequence for info in (await backend.list()).infos] == [1, 2]


async def test_a_server_that_no_longer_knows_the_user_is_an_error_at_once(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    name = url.split("/")[3].partition("?")[0]
    postgres.run("DROP ROLE IF EXISTS leaver")
    postgres.run("CREATE ROLE leaver LOGIN SUPERUSER")
    async with DatabaseCheckpointBackend(url.replace("postgres@", "leaver@")) as backend:
        await backend.put(make_record("g", 1))
        tries = []
        event.listen(backend.database.writing, "do_connect", lambda *_: tries.append(1))
        lose_connections(postgres, name)
        postgres.run("REASSIGN OWNED BY leaver TO postgres", url=url)
        postgres.run("DROP ROLE leaver")
        with pytest.raises(BackendError, match="Check the user's name and password"):
            await backend.put(make_record("g", 2))

    assert len(tries) == 1


async def test_a_deadlock_is_tried_again(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 1))
        tries = []

        def fail(driver) -> None:
            tries.append(1)
            if len(tries) < 3:
                driver.execute("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$")

        before_commits(backend, fail)
        await backend.put(make_record("g", 2))

        assert len(tries) == 3
        assert [info.sequence for info in (await backend.list()).infos] == [1, 2]


# secrets


def everything_said(error: BaseException) -> str:
    """The error, its causes and contexts, as text in every form."""
    said, seen, waiting = [], set(), [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        said += [str(link), repr(link), *traceback.format_exception(link, chain=True)]
        waiting += [link.__cause__, link.__context__]
    return "\n".join(said)


def check_that_nothing_leaks(error: BaseException) -> None:
    said = everything_said(error)
    assert SECRET not in said
    assert ENCODED not in said
    assert "s3cr3t" not in said


def test_the_repr_hides_the_password() -> None:
    backend = DatabaseCheckpointBackend(f"postgresql://user:{ENCODED}@localhost/spark?sslpassword=s3cr3t")

    assert "s3cr3t" not in repr(backend)
    assert "s3cr3t" not in repr(backend.database)
    assert "user:***@localhost/spark" in repr(backend)


async def test_a_driver_that_repeats_the_connection_string_is_silenced() -> None:
    """Some quote a setting that they can't use."""
    async with DatabaseCheckpointBackend(f"postgresql://u:{ENCODED}@127.0.0.1:1/d") as backend:

        @event.listens_for(backend.database.reading, "do_connect")
        def repeat(dialect, record, arguments, options) -> None:
            raise dialect.dbapi.OperationalError(f"can't use {options['password']!r}") from ValueError(ENCODED)

        with pytest.raises(BackendError) as raised:
            await backend.list()

    check_that_nothing_leaks(raised.value)
    assert "can't use" in str(raised.value)


async def test_neither_passwords_nor_payloads_are_logged(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("sqlalchemy.engine", "sqlalchemy.pool", "psycopg"):
        caplog.set_level(logging.DEBUG, logger=name)
    url = f"{postgres.url.replace('postgres@', f'postgres:{ENCODED}@')}"
    async with DatabaseCheckpointBackend(url, "logged") as backend:
        await backend.put(make_record(payload=b"the payload"))
        await backend.list()

    assert "INSERT INTO logged" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert "the payload" not in caplog.text
