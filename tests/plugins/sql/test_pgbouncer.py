"""PgBouncer in transaction mode: each transaction may be another session's, and nothing that a session was given is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import psycopg
import pytest

from spark.errors import BackendError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.sql import test_conformance
from tests.plugins.support.pgbouncer import NEEDED, POOL, is_installed, running_pgbouncer
from tests.plugins.support.sql_servers import PostgresServer, another_program, new_table

if not is_installed():  # the tests of a conformance suite may not be skipped one by one
    pytest.skip(NEEDED, allow_module_level=True)
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def pooled(postgres: PostgresServer) -> Iterator[str]:
    """The URL of the server through PgBouncer."""
    with running_pgbouncer(postgres.folder, user="pgserver" if os.geteuid() == 0 else None) as url:
        yield url


class TestThroughPgbouncer(test_conformance.TestPostgresql):
    @pytest.fixture
    def url(self, pooled: str) -> str:
        return pooled


async def save_and_read(url: str, graphs: int = 6, saves: int = 12) -> None:
    """Save and read in many graphs at once, over connections that share few to the server."""
    async with DatabaseCheckpointBackend(url, new_table(), readers=8) as backend:

        async def one(graph_id: str) -> None:
            for sequence in range(1, saves + 1):
                await backend.put(make_record(graph_id, sequence))
                assert (await backend.get(graph_id, sequence)) is not None

        async with another_program(url, backend.table_name) as other:
            await asyncio.gather(
                *(one(f"g{number}") for number in range(graphs)),
                *(other.put(make_record("other", sequence)) for sequence in range(1, saves + 1)),
            )
            assert len((await other.list()).infos) == (graphs + 1) * saves


async def test_many_connections_share_the_few_that_the_pooler_has(pooled: str) -> None:
    await save_and_read(pooled)


async def test_statements_that_are_prepared_break_there_which_is_why_none_is(pooled: str) -> None:
    """The check of this suite itself: with statements prepared, as by default over a connection of one's own, it fails."""
    with pytest.raises(BackendError, match="prepared statement"):
        await save_and_read(f"{pooled}&prepare_threshold=0")


async def test_nothing_is_left_in_the_sessions_that_others_get(pooled: str, postgres: PostgresServer) -> None:
    await save_and_read(pooled)

    settings = "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"
    found = {row for _ in range(2 * POOL) for row in postgres.run(settings, url=pooled)}
    assert found == {("0", "0")}


async def test_a_lock_is_waited_for_no_longer_than_agreed_there(pooled: str, postgres: PostgresServer) -> None:
    """The settings that bound a wait are made in each transaction."""
    async with DatabaseCheckpointBackend(pooled, new_table(), wait=0.3) as backend:
        await backend.put(make_record("g", 1))
        with psycopg.connect(postgres.url) as holder:
            holder.execute(f"LOCK TABLE {backend.table_name}")
            results = await asyncio.wait_for(
                asyncio.gather(backend.put(make_record("g", 2)), backend.list("g"), return_exceptions=True), 20
            )
        assert [type(result) for result in results] == [BackendError, BackendError]
        assert all("lock" in str(result) for result in results)
        await backend.put(make_record("g", 2))


async def test_the_disk_is_waited_for_there(pooled: str, postgres: PostgresServer) -> None:
    """Where the administrator has switched that off, each transaction switches it on."""
    async with DatabaseCheckpointBackend(pooled, new_table()) as backend:
        await backend.list()
        postgres.run(
            f"CREATE TABLE {backend.table_name}_seen AS SELECT ''::text AS setting LIMIT 0;"
            f"CREATE FUNCTION {backend.table_name}_see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"INSERT INTO {backend.table_name}_seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;"
            f"CREATE TRIGGER see BEFORE INSERT ON {backend.table_name} FOR EACH ROW "
            f"EXECUTE FUNCTION {backend.table_name}_see()"
        )
        postgres.run("ALTER SYSTEM SET synchronous_commit = off")
        postgres.run("SELECT pg_reload_conf()")
        try:
            for sequence in range(1, 4):
                await backend.put(make_record("g", sequence))
        finally:
            postgres.run("ALTER SYSTEM RESET synchronous_commit")
            postgres.run("SELECT pg_reload_conf()")
        assert set(postgres.run(f"SELECT setting FROM {backend.table_name}_seen")) == {("on",)}
