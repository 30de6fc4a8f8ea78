"""How the sql backend writes: many graphs in one transaction, many processes in one database, and lost connections."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import event

from spark.errors import BackendError, SequenceTakenError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.storage import Record
from spark_backend_sql import DatabaseCheckpointBackend, connection, writer
from spark_backend_sql.operations import Put
from spark_testing.children import Child, Tell
from spark_testing.records import make_record
from tests.plugins.support.sql_faults import LossyProxy
from tests.plugins.support.sql_servers import PostgresServer, another_program, new_table
from tests.plugins.support.sql_writer import SAVES, racing

SHORT_PAUSES = (0.01,) * 5


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/checkpoints.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
async def backend(url: str) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(url, new_table()) as backend:
        yield backend


def count_commits(backend: DatabaseCheckpointBackend) -> list[object]:
    """A list that grows with each COMMIT."""
    commits: list[object] = []
    event.listen(backend.database.writing, "commit", commits.append)
    return commits


# group commit


async def test_graphs_that_save_at_once_share_transactions(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    commits = count_commits(backend)

    await asyncio.gather(*(backend.put(make_record(f"g{number}", 1)) for number in range(100)))

    assert len((await backend.list()).infos) == 101
    assert len(commits) <= 5


async def test_graphs_that_run_beside_each_other_share_transactions(backend: DatabaseCheckpointBackend) -> None:
    """The same with whole graphs, which don't save at the very same instant."""
    from tests.support.stand_ins import Count, looping

    await backend.list()
    commits = count_commits(backend)

    def graph(number: int) -> Graph:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        return Graph(start=looping(Count(3)), id=f"g{number}", checkpoint_config=config)

    await asyncio.gather(*(graph(number).run() for number in range(50)))

    saved = len((await backend.list()).infos)
    assert saved >= 150
    assert len(commits) * 5 <= saved


async def test_one_conflict_fails_nobody_else(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g7", 1))
    commits = count_commits(backend)

    results = await asyncio.gather(
        *(backend.put(make_record(f"g{number}", 1)) for number in range(20)), return_exceptions=True
    )

    assert [number for number, result in enumerate(results) if result is not None] == [7]
    assert isinstance(results[7], SequenceTakenError)
    assert len((await backend.list()).infos) == 20
    assert len(commits) <= 5


async def test_a_record_that_the_database_refuses_fails_nobody_else(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    impossible = make_record("impossible", 1)
    impossible.header.size = 2**70

    results = await asyncio.gather(
        *(backend.put(record) for record in (make_record("a"), impossible, make_record("b"))), return_exceptions=True
    )

    assert [type(result) for result in results] == [type(None), BackendError, type(None)]
    assert [info.graph_id for info in (await backend.list()).infos] == ["a", "b", "first"]


async def test_saving_and_deleting_at_once_keeps_both_promises(backend: DatabaseCheckpointBackend) -> None:
    for sequence in (1, 2, 3):
        await backend.put(make_record("g", sequence))

    results = await asyncio.gather(
        backend.delete("g", 2), backend.put(make_record("g", 4)), backend.delete("g", 1), backend.delete("g", 9)
    )

    assert results == [True, None, True, False]
    assert [info.sequence for info in (await backend.list("g")).infos] == [3, 4]
    with pytest.raises(SequenceTakenError):
        await backend.put(make_record("g", 2))


async def test_the_highest_deleted_sequence_never_sinks(backend: DatabaseCheckpointBackend) -> None:
    for sequence in (1, 2, 3):
        await backend.put(make_record("g", sequence))
    await backend.delete("g", 3)
    await backend.delete("g", 1)

    with pytest.raises(SequenceTakenError):
        await backend.put(make_record("g", 3))

    assert await backend.next_sequence("g") == 4


async def test_a_transaction_is_bounded(monkeypatch: pytest.MonkeyPatch, backend: DatabaseCheckpointBackend) -> None:
    """So that one of them neither outgrows the memory nor keeps the others waiting."""
    monkeypatch.setattr(writer, "MOST_BYTES", 1_000)
    await backend.put(make_record("first", 1))
    commits = count_commits(backend)

    await asyncio.gather(*(backend.put(make_record(f"g{number}", 1, payload=b"x" * 400)) for number in range(10)))

    assert len((await backend.list()).infos) == 11
    assert len(commits) >= 5


# cancellation


async def test_a_thousand_cancelled_saves_leave_nothing_behind(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    threads = threading.active_count()

    for number in range(1_000):
        saving = asyncio.create_task(backend.put(make_record(f"g{number}", 1)))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
    await backend.put(make_record("last", 1))

    assert backend.database.writing.pool.checkedout() == 0
    assert backend.database.reading.pool.checkedout() == 0
    assert threading.active_count() == threads
    assert len(asyncio.all_tasks()) == 1


async def test_a_save_cancelled_before_its_transaction_never_happens(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    holding, free = threading.Event(), threading.Event()

    @event.listens_for(backend.database.writing, "commit")
    def hold(_: object) -> None:
        holding.set()
        free.wait(10)

    held = asyncio.create_task(backend.put(make_record("held", 1)))
    await asyncio.to_thread(holding.wait, 10)
    waiting = asyncio.create_task(backend.put(make_record("waiting", 1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    free.set()
    await held

    assert [info.graph_id for info in (await backend.list()).infos] == ["first", "held"]


async def test_a_save_cancelled_in_its_transaction_is_waited_for(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    holding, free = threading.Event(), threading.Event()

    @event.listens_for(backend.database.writing, "commit")
    def hold(_: object) -> None:
        holding.set()
        free.wait(10)

    held = asyncio.create_task(backend.put(make_record("held", 1)))
    await asyncio.to_thread(holding.wait, 10)
    held.cancel()
    await asyncio.sleep(0)
    held.cancel()
    await asyncio.sleep(0)

    assert not held.done()
    free.set()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert await backend.get("held", 1) is not None


# closing


async def test_closing_commits_what_waits_and_disposes_of_everything(backend: DatabaseCheckpointBackend) -> None:
    await backend.list()
    savings = [asyncio.create_task(backend.put(make_record(f"g{number}", 1))) for number in range(20)]
    await asyncio.sleep(0)

    await backend.close()

    assert await asyncio.gather(*savings) == [None] * 20
    assert [engine.pool.checkedin() for engine in (backend.database.writing, backend.database.reading)] == [0, 0]
    assert [each.name for each in threading.enumerate() if each.name.startswith("sql-backend")] == []


@pytest.mark.parametrize(
    "use",
    [
        lambda backend: backend.put(make_record()),
        lambda backend: backend.get("g", 1),
        lambda backend: backend.list(),
        lambda backend: backend.delete("g", 1),
    ],
)
async def test_a_closed_backend_says_so(tmp_path: Path, use: Callable) -> None:
    backend = DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db")
    await backend.close()

    with pytest.raises(BackendError, match="closed"):
        await use(backend)

    assert list(tmp_path.iterdir()) == []


# many processes


def test_a_fork_goes_on_with_a_backend_that_was_used(url: str) -> None:
    """It has the object, and none of its threads; the parent goes on beside it."""
    backend = DatabaseCheckpointBackend(url, new_table())
    asyncio.run(backend.put(make_record("g", 1)))

    async def go_on(tell: Tell) -> None:
        await backend.put(make_record("g", 2))
        tell(str([info.sequence for info in (await backend.list("g")).infos]))
        await backend.close()

    told = Child.start(go_on).wait()

    async def go_on_here() -> list[int]:
        async with backend:
            await backend.put(make_record("g", 3))
            return [info.sequence for info in (await backend.list("g")).infos]

    assert told == ["[1, 2]"]
    assert asyncio.run(go_on_here()) == [1, 2, 3]


def test_ten_processes_start_on_an_empty_database_and_share_it(url: str) -> None:
    """They make the tables together; then each saves its own graph, and one of them wins each sequence of a shared one."""
    table, start = new_table(), get_context("fork").Barrier(10)

    children = [Child.start(racing(url, table, number, start)) for number in range(10)]
    won = [[int(line) for line in child.wait()] for child in children]

    assert sorted(sequence for each in won for sequence in each) == list(range(1, SAVES + 1))
    stored = asyncio.run(shared_payloads(url, table))
    assert all(stored[sequence] == number for number, each in enumerate(won) for sequence in each)


async def shared_payloads(url: str, table: str) -> dict[int, int]:
    async with DatabaseCheckpointBackend(url, table) as backend:
        infos = (await backend.list()).infos
        assert len(infos) == 11 * SAVES
        records = [await backend.get("shared", sequence) for sequence in range(1, SAVES + 1)]
        return {record.header.sequence: int(record.payload) for record in records if record}


# lost connections


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[LossyProxy]:
    folder = Path(tempfile.mkdtemp(prefix="spark-px-"))
    proxy = LossyProxy(folder, postgres.folder)
    proxy.folder = folder
    yield proxy
    proxy.close()
    shutil.rmtree(folder)


@pytest.fixture
async def lossy(proxy: LossyProxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DatabaseCheckpointBackend]:
    monkeypatch.setattr(connection, "PAUSES", SHORT_PAUSES)
    url = f"postgresql://postgres@/postgres?host={proxy.folder}"
    async with DatabaseCheckpointBackend(url, new_table()) as backend:
        await backend.put(make_record("first", 1))
        yield backend


def nonce_of(record: Record | None) -> str | None:
    return record and record.header.nonce


@pytest.mark.parametrize("faults", [["answer"], ["request"], ["answer", "answer"], ["request", "answer", "request"]])
async def test_a_save_whose_commit_is_in_doubt_is_resolved(
    proxy: LossyProxy, lossy: DatabaseCheckpointBackend, faults: list
) -> None:
    """Its COMMIT took effect and the answer was lost, or it never arrived: the record is there once, and acknowledged."""
    record = make_record("g", 1)
    proxy.faults = list(faults)

    await lossy.put(record)

    assert proxy.lost == len(faults)
    assert nonce_of(await lossy.get("g", 1)) == record.header.nonce
    assert len((await lossy.list("g")).infos) == 1


@pytest.mark.parametrize("fault", ["answer", "request"])
async def test_a_deletion_whose_commit_is_in_doubt_is_reported_once(
    proxy: LossyProxy, lossy: DatabaseCheckpointBackend, fault: str
) -> None:
    await lossy.put(make_record("g", 1))
    proxy.faults = [fault]

    assert await lossy.delete("g", 1) is True

    assert proxy.lost == 1
    assert await lossy.get("g", 1) is None
    assert await lossy.next_sequence("g") == 2


async def test_a_shared_transaction_in_doubt_is_resolved_for_each(
    proxy: LossyProxy, lossy: DatabaseCheckpointBackend
) -> None:
    await lossy.put(make_record("g3", 1))
    proxy.faults = ["answer"]

    results = await asyncio.gather(
        *(lossy.put(make_record(f"g{number}", 1)) for number in range(8)), return_exceptions=True
    )

    assert proxy.lost == 1
    assert [number for number, result in enumerate(results) if result is not None] == [3]
    assert isinstance(results[3], SequenceTakenError)


async def test_a_rival_that_took_the_sequence_meanwhile_wins(
    proxy: LossyProxy, lossy: DatabaseCheckpointBackend, postgres: PostgresServer
) -> None:
    """Our COMMIT never arrived; when we try again the place is taken by somebody else's record."""
    rival, ours = make_record("g", 1), make_record("g", 1)
    proxy.faults = ["request"]
    put_by_rival = iter([True])

    async with another_program(postgres.url, lossy.table_name) as other:
        await other.list()

        @event.listens_for(lossy.database.writing, "connect")
        def intrude(*_: object) -> None:
            if next(put_by_rival, False):
                put = Put(rival, other._statements.values_of(rival))
                (outcome,) = other._writer._commit([put])
                assert outcome == []

        with pytest.raises(SequenceTakenError):
            await lossy.put(ours)

    assert nonce_of(await lossy.get("g", 1)) == rival.header.nonce


async def test_when_the_server_stays_away_the_doubt_is_told(
    proxy: LossyProxy, lossy: DatabaseCheckpointBackend
) -> None:
    proxy.faults = ["answer"] * 20

    with pytest.raises(BackendError, match="not known whether that took effect"):
        await lossy.put(make_record("g", 1))

    proxy.faults = []
    assert [info.sequence for info in (await lossy.list("g")).infos] == [1]


async def test_a_cancelled_save_does_not_wait_for_a_server_that_is_away(proxy: LossyProxy) -> None:
    url = f"postgresql://postgres@/postgres?host={proxy.folder}"
    async with DatabaseCheckpointBackend(url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        # On a connection that breaks, nobody would know whether it was saved, and the answer would be waited for.
        backend._ledger.connection.close()
        backend.database.close()
        proxy.close()
        saving = asyncio.create_task(backend.put(make_record("g", 2)))
        while backend._writer._waiting or not backend._writer._turn.locked():  # noqa: ASYNC110 - a thread changes it
            await asyncio.sleep(0)

        saving.cancel()
        await asyncio.wait([saving], timeout=10)

        assert saving.cancelled()


async def test_connections_that_the_server_ended_are_replaced(postgres: PostgresServer) -> None:
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        await asyncio.gather(*(backend.list() for _ in range(8)))
        terminate_others(postgres)

        await backend.put(make_record("g", 2))
        terminate_others(postgres)
        listed = await asyncio.gather(*(backend.list("g") for _ in range(8)))

    assert [len(listing.infos) for listing in listed] == [2] * 8


async def test_a_connection_that_is_ended_in_the_middle_of_a_transaction_is_no_harm(postgres: PostgresServer) -> None:
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        await backend.put(make_record("g", 1))
        endings = iter(range(3))

        @event.listens_for(backend.database.writing, "commit")
        def end(_: object) -> None:
            if next(endings, None) is not None:
                terminate_others(postgres)

        await backend.put(make_record("g", 2))

        assert next(endings, None) is None
        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]


def terminate_others(postgres: PostgresServer) -> None:
    postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


async def test_a_stale_writer_that_waits_for_a_deletion_is_refused(postgres: PostgresServer) -> None:
    """Its insert waits for a deletion under way and then finds the place free; the check after it sees why."""
    async with DatabaseCheckpointBackend(postgres.url, new_table()) as backend:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))
        async with another_program(postgres.url, backend.table_name) as deleter:
            await deleter.list()
            deleting, go_on = threading.Event(), threading.Event()

            @event.listens_for(deleter.database.writing, "commit")
            def hold(_: object) -> None:
                deleting.set()
                go_on.wait(10)

            removal = asyncio.create_task(deleter.delete("g", 2))
            await asyncio.to_thread(deleting.wait, 10)
            stale = asyncio.create_task(backend.put(make_record("g", 2)))
            await asyncio.to_thread(wait_for_a_lock, postgres)
            go_on.set()

            assert await removal is True
            with pytest.raises(SequenceTakenError, match="deleted"):
                await stale

        assert [info.sequence for info in (await backend.list("g")).infos] == [1]


def wait_for_a_lock(postgres: PostgresServer) -> None:
    for _ in range(2_000):
        if postgres.run("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            return
    raise AssertionError("nobody waited for a lock")
