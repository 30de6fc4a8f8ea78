"""The sql backend keeps the promise of backends on a real MariaDB server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from random import Random

import pytest

from spark.errors import BackendError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.disturbed_graph import STEPS, counts_stored, disturbed_graph
from tests.plugins.support.mariadb_servers import NEEDED, MariadbServer, is_installed
from tests.plugins.support.sql_conformance import ServerConformance, SqlServer
from tests.plugins.support.sql_servers import new_table
from tests.support.servers import PATIENCE

if not is_installed():  # the tests of a conformance suite may not be skipped one by one
    pytest.skip(NEEDED, allow_module_level=True)
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def url(mariadb: MariadbServer) -> str:
    return mariadb.url


class TestMariadb(ServerConformance):
    @pytest.fixture
    def server(self, mariadb: MariadbServer) -> SqlServer:
        return mariadb


@pytest.fixture
async def backend(url: str) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(url, new_table()) as backend:
        yield backend


async def test_tables_are_what_durable_storage_needs(
    mariadb: MariadbServer, url: str, backend: DatabaseCheckpointBackend
) -> None:
    """Whatever the database's own settings: InnoDB, ids compared by code point, and a primary key for each."""
    await backend.list()
    tables = mariadb.run(
        "SELECT engine, table_collation FROM information_schema.tables WHERE table_name LIKE %s",
        (f"{backend.table_name}%",),
    )
    keys = mariadb.run(
        "SELECT DISTINCT table_name FROM information_schema.statistics WHERE index_name = 'PRIMARY' AND table_name LIKE %s",
        (f"{backend.table_name}%",),
    )
    collations = mariadb.run(
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE column_name = 'graph_id' AND table_name LIKE %s",
        (f"{backend.table_name}%",),
    )

    assert tables == [("InnoDB", "utf8mb4_bin")] * 4
    assert len(keys) == 4
    assert collations == [("utf8mb4_nopad_bin",)]


@pytest.mark.parametrize(
    "content", [bytes(8 * 1024 * 1024), Random(1).randbytes(8 * 1024 * 1024)], ids=["zeros", "random"]
)
async def test_a_piece_of_a_large_array_fits_with_the_servers_own_settings(
    backend: DatabaseCheckpointBackend, content: bytes
) -> None:
    """8 MB, the longest that the core makes: 16 MB is what a server takes in one statement by default."""
    await backend.put(make_record("g", 1, blobs={"large": content, "small": b"x"}))

    assert await backend.get_blobs("g", ["large", "small"]) == {"large": content, "small": b"x"}


async def test_what_is_too_large_for_the_server_is_an_error_that_says_so(backend: DatabaseCheckpointBackend) -> None:
    """The server would cut the connection; and others that save at the same time would suffer."""
    large = make_record("g", 1, payload=bytes(13 * 1024 * 1024))

    results = await asyncio.gather(backend.put(large), backend.put(make_record("h", 1)), return_exceptions=True)

    assert isinstance(results[0], BackendError)
    assert "max_allowed_packet" in str(results[0])
    assert results[1] is None
    assert await backend.get("g", 1) is None


async def test_a_server_that_only_allows_reading_is_read(
    mariadb: MariadbServer, backend: DatabaseCheckpointBackend, url: str
) -> None:
    await backend.put(make_record("g", 1))
    only_reads = f"{url}&init_command=SET+SESSION+TRANSACTION+READ+ONLY"
    async with DatabaseCheckpointBackend(only_reads, backend.table_name, wait=1) as reading:
        assert len((await reading.list()).infos) == 1
        with pytest.raises(BackendError, match="only allows reading"):
            await reading.put(make_record("g", 2))


# PyMySQL leaves the sockets of connections that fail to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_run_rides_over_a_restart(mariadb: MariadbServer, url: str) -> None:
    restarting = threading.Thread(target=mariadb.start)

    def restart() -> None:
        mariadb.kill()
        restarting.start()  # while the run saves, or tries to

    async with DatabaseCheckpointBackend(url, new_table(), wait=PATIENCE) as backend:
        try:
            await disturbed_graph(backend, {3: restart}).run()
        finally:
            await asyncio.to_thread(restarting.join)

        assert await counts_stored(backend) == list(range(1, STEPS + 1))
