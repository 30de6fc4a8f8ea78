"""Backends of one URL share their connections; what is closed or collected leaves nothing; forks start afresh."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from spark.errors import BackendError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, open_backend
from spark_backend_sql import DatabaseCheckpointBackend, dialect
from spark_testing.children import Child, Tell
from spark_testing.leaks import Held, leaked_since
from spark_testing.records import make_record
from tests.plugins.support.sql_servers import PostgresServer
from tests.support.stand_ins import Count

MANY = 20
"""Graphs: so that each which kept connections, files or threads of its own would be noticed."""
FORKS = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/checkpoints.db"
    return request.getfixturevalue("postgres").new_database()


async def run_graph(url: str, number: int) -> Graph:
    config = CheckpointConfig(backend=url, trigger_on_iteration=1)
    graph = Graph(start=Count(1), id=f"g{number}", checkpoint_config=config)
    await graph.run()
    return graph


async def test_many_graphs_of_one_url_share_one_set_of_connections(url: str) -> None:
    first = await run_graph(url, 0)
    await asyncio.gather(*(run_graph(url, number) for number in range(1, 9)))  # as many readers as there are
    before = Held.now()

    graphs = [await run_graph(url, number) for number in range(10, 10 + MANY)]

    assert await leaked_since(before) == []
    assert first.checkpoint_backend is not graphs[0].checkpoint_backend


async def test_a_database_takes_the_statements_that_were_compiled_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compile them took ten times as long as all else that opening takes. Each has its own tables and its own log."""
    one, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other"))
    async with DatabaseCheckpointBackend(one) as first:
        await first.put(make_record("g", 1))

        def refuse(*_: object) -> None:
            raise AssertionError("compiled again")

        monkeypatch.setattr(dialect, "DriverStatement", refuse)
        async with DatabaseCheckpointBackend(other) as second:
            await second.put(make_record("g", 1))
            await second.put(make_record("g", 2))

            assert [len((await each.list("g")).infos) for each in (first, second)] == [1, 2]


async def test_what_is_collected_closes_its_connections_files_and_threads(url: str) -> None:
    await run_graph(url, 0)
    gc.collect()
    before = Held.now()

    for number in range(1, 1 + MANY):
        await run_graph(url, number)
    gc.collect()

    assert await leaked_since(before) == []


def test_an_event_loop_for_each_graph_leaves_nothing(url: str) -> None:
    asyncio.run(run_graph(url, 0))

    for number in range(1, 11):
        asyncio.run(run_graph(url, number))
    gc.collect()

    async def listed() -> int:
        before = Held.now()
        async with DatabaseCheckpointBackend(url) as backend:
            count = len({info.graph_id for info in (await backend.list()).infos})
        assert await leaked_since(before) == []
        return count

    assert asyncio.run(listed()) == 11


async def test_whoever_opens_a_url_shares_what_others_opened(url: str) -> None:
    config = CheckpointConfig(backend=url, trigger_on_iteration=1)
    graph = Graph(start=Count(1), id="g", checkpoint_config=config)
    backends = [
        graph.checkpoint_backend,
        open_backend(url),
        CheckpointManager(url).backend,
        DatabaseCheckpointBackend(url),
    ]

    assert len({id(backend.database) for backend in backends}) == 1  # type: ignore[union-attr]
    assert DatabaseCheckpointBackend(url, "other").database is not backends[0].database  # type: ignore[union-attr]
    assert DatabaseCheckpointBackend(url, wait=7).database is not backends[0].database  # type: ignore[union-attr]


async def test_closing_one_backend_leaves_the_others_of_its_url_open(url: str) -> None:
    closed, used = DatabaseCheckpointBackend(url), DatabaseCheckpointBackend(url)
    await closed.put(make_record("g", 1))
    await closed.close()
    await closed.close()

    await used.put(make_record("g", 2))

    assert [info.sequence for info in (await used.list("g")).infos] == [1, 2]
    with pytest.raises(BackendError, match="closed"):
        await closed.put(make_record("g", 3))
    with pytest.raises(BackendError, match="closed"):
        await closed.latest("g")
    await used.close()


async def test_a_backend_opened_after_the_last_one_was_closed_works(url: str) -> None:
    for sequence in (1, 2, 3):
        async with DatabaseCheckpointBackend(url) as backend:
            await backend.put(make_record("g", sequence))

    async with DatabaseCheckpointBackend(url) as backend:
        assert len((await backend.list("g")).infos) == 3


@contextmanager
def few_descriptors() -> Iterator[None]:
    """No more can be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, before[1]))
    taken = []
    try:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_running_out_of_descriptors_is_said_in_these_words(url: str) -> None:
    async with DatabaseCheckpointBackend(url) as backend:
        with (
            few_descriptors(),
            pytest.raises(BackendError, match=r"as many files and connections open as allowed.*ulimit"),
        ):
            await backend.list()

        await backend.put(make_record())


# forks


def fork_and_save(backend: DatabaseCheckpointBackend, number: int) -> list[str]:
    """What a child says that saves a checkpoint of its own with the parent's backend."""

    async def save(tell: Tell) -> None:
        await backend.put(make_record(f"child-{number}", 1))
        tell(str(len((await backend.list(f"child-{number}")).infos)))

    return Child.start(save).wait()


def test_a_child_that_was_forked_while_a_thread_connects_for_the_first_time_connects_too(
    postgres: PostgresServer,
) -> None:
    """SQLAlchemy holds a lock of the engine meanwhile."""
    backend = DatabaseCheckpointBackend(postgres.new_database())
    is_connecting, may_continue = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        is_connecting.set()
        may_continue.wait(60)

    event.listen(backend.database.reading, "first_connect", hold)
    thread = threading.Thread(target=lambda: asyncio.run(backend.put(make_record("g", 1))))
    thread.start()
    try:
        assert is_connecting.wait(60)
        assert fork_and_save(backend, 1) == ["1"]
    finally:
        may_continue.set()
        thread.join()
        asyncio.run(backend.close())


def test_a_fork_amid_other_threads_calls_goes_on(url: str) -> None:
    """A child that was forked while a thread was inside SQLite would wait for ever for what that thread held."""
    backend = DatabaseCheckpointBackend(url)
    stop = threading.Event()

    async def use(number: int) -> int:
        sequence = 0
        while not stop.is_set():
            sequence += 1
            await backend.put(make_record(f"g{number}", sequence, payload=b"x" * 20_000))
            await asyncio.gather(backend.list(f"g{number}"), backend.get(f"g{number}", sequence))
        return sequence

    saved: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda number=number: saved.update({number: asyncio.run(use(number))}))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    try:
        said = [fork_and_save(backend, number) for number in range(FORKS)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    async def counted() -> list[int]:
        async with backend:
            return [len((await backend.list(f"g{number}")).infos) for number in range(3)]

    assert said == [["1"]] * FORKS
    assert asyncio.run(counted()) == [saved[number] for number in range(3)]


def test_a_child_keeps_what_it_saved_when_the_parent_closes(tmp_path: Path) -> None:
    """SQLite removes its log with the last connection: the parent's must not be taken for that while a child has one."""
    url = f"sqlite:///{tmp_path}/c.db"
    backend = DatabaseCheckpointBackend(url)
    asyncio.run(backend.put(make_record("g", 1)))
    reading, writing = os.pipe()

    async def save(tell: Tell) -> None:
        await backend.put(make_record("g", 2))
        tell("saved")
        os.read(reading, 1)  # the parent has closed
        await backend.put(make_record("g", 3))
        tell("saved")

    child = Child.start(save)
    assert child.next_line() == "saved"
    asyncio.run(backend.close())
    os.write(writing, b"x")
    assert child.wait() == ["saved"]
    os.close(reading)
    os.close(writing)

    async def listed() -> list[int]:
        async with DatabaseCheckpointBackend(url) as other:
            return [info.sequence for info in (await other.list("g")).infos]

    assert asyncio.run(listed()) == [1, 2, 3]


async def test_connections_to_the_server_stay_few(postgres: PostgresServer) -> None:
    """One to write, one for conflicts and deletions, four to read, however many graphs there are."""
    url = postgres.new_database()
    database = url.split("/")[3].partition("?")[0]
    graphs = [await run_graph(url, number) for number in range(20)]

    ((count,),) = postgres.run("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (database,))

    assert count <= 6
    assert len(graphs) == 20
