"""How the sql backend writes: many graphs in one transaction, many processes in one database, and lost connections."""

from __future__ import annotations

import asyncio
import shutil
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy import event

from spark.errors import BackendError, SequenceTakenError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.storage import Record, SmallIO
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.executor import TransactionExecutor
from spark_backend_sql.operations import Operation, Put
from spark_backend_sql.writer import Writer
from spark_testing.children import Child, Tell
from spark_testing.leaks import Held, leaked_since
from spark_testing.records import make_record
from tests.plugins.support.sql_drivers import Held as HeldUp
from tests.plugins.support.sql_drivers import before_commits, count_commits
from tests.plugins.support.sql_faults import LossyProxy
from tests.plugins.support.sql_servers import PostgresServer, another_program, new_table, wait_for_a_lock
from tests.plugins.support.sql_writer import SAVES, racing
from tests.support.servers import short_folder
from tests.support.variants import first_of


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/checkpoints.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
async def backend(url: str) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(url, new_table(url)) as backend:
        yield backend


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


async def test_one_conflict_fails_no_other_save(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g7", 1))
    commits = count_commits(backend)

    results = await asyncio.gather(
        *(backend.put(make_record(f"g{number}", 1)) for number in range(20)), return_exceptions=True
    )

    assert [number for number, result in enumerate(results) if result is not None] == [7]
    assert isinstance(results[7], SequenceTakenError)
    assert len((await backend.list()).infos) == 20
    assert len(commits) <= 5


async def test_a_record_that_the_database_refuses_fails_no_other_save(backend: DatabaseCheckpointBackend) -> None:
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


async def test_a_transaction_is_bounded() -> None:
    """So that one of them neither outgrows the memory nor keeps the others waiting."""
    executor = Listening()
    writer = Writer(executor, wait=1, io=SmallIO(False), most_bytes=1_000)
    records = [make_record(f"g{number}", 1, payload=b"x" * 400) for number in range(10)]

    await asyncio.gather(*(writer.run(Put(record, {})) for record in records))
    writer.stop()

    assert sum(executor.batches) == 10
    assert max(executor.batches) == 2


async def test_what_was_saved_is_not_kept_until_there_is_more_to_save() -> None:
    """All that a hundred graphs saved would be in memory twice, and the garbage collector would look at it again and again."""
    writer = Writer(Listening(), wait=1, io=SmallIO(False))
    put = Put(make_record("g", 1), {})
    is_gone, loop = asyncio.Event(), asyncio.get_running_loop()
    saved = weakref.ref(put, lambda _: loop.call_soon_threadsafe(is_gone.set))

    await writer.run(put)
    del put

    async with asyncio.timeout(10):
        await is_gone.wait()
    assert saved() is None
    writer.stop()


class Listening:
    """An executor that only counts what it is given at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def execute(self, operations: Sequence[Operation], lock_timeout: float | None = None) -> list[list[int]]:
        self.batches.append(len(operations))
        return [[] for _ in operations]

    def execute_now(self, operations: Sequence[Operation]) -> None:
        return None

    def lane_of(self, operation: Operation) -> str:
        return operation.graph_id


# cancellation


async def test_a_thousand_cancelled_saves_leave_nothing_behind(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    before, cancelled = Held.now(), 0

    for number in range(1_000):
        saving = asyncio.create_task(backend.put(make_record(f"g{number}", 1)))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])
        cancelled += saving.cancelled()
    await backend.put(make_record("last", 1))

    assert cancelled >= 250, "all but those that were done by then, which none can be that had not begun"
    assert await leaked_since(before) == []


async def test_a_save_cancelled_before_its_transaction_never_happens(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    hold = HeldUp(backend)
    held = asyncio.create_task(backend.put(make_record("held", 1)))
    await asyncio.to_thread(hold.is_reached.wait, 60)
    waiting = asyncio.create_task(backend.put(make_record("waiting", 1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hold.release()
    await held

    assert [info.graph_id for info in (await backend.list()).infos] == ["first", "held"]


async def test_a_save_cancelled_in_its_transaction_is_waited_for(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("first", 1))
    hold = HeldUp(backend)
    held = asyncio.create_task(backend.put(make_record("held", 1)))
    await asyncio.to_thread(hold.is_reached.wait, 60)
    held.cancel()
    await asyncio.sleep(0)
    held.cancel()
    await asyncio.sleep(0)

    assert not held.done()
    hold.release()
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
    assert not backend.database.writer.is_open
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


def test_a_fork_continues_with_a_backend_that_was_used(url: str) -> None:
    """The child has the object, and none of its threads; the parent continues beside it."""
    backend = DatabaseCheckpointBackend(url, new_table(url))
    asyncio.run(backend.put(make_record("g", 1)))

    async def continue_there(tell: Tell) -> None:
        await backend.put(make_record("g", 2))
        tell(str([info.sequence for info in (await backend.list("g")).infos]))
        await backend.close()

    lines = Child.start(continue_there).wait()

    async def continue_here() -> list[int]:
        async with backend:
            await backend.put(make_record("g", 3))
            return [info.sequence for info in (await backend.list("g")).infos]

    assert lines == ["[1, 2]"]
    assert asyncio.run(continue_here()) == [1, 2, 3]


@pytest.mark.parametrize("count", first_of([4, 10]))
def test_processes_start_on_an_empty_database_and_share_it(url: str, count: int) -> None:
    """They make the tables together; then each saves its own graph, and one of them wins each sequence of a shared one."""
    table, start = new_table(url), get_context("fork").Barrier(count)

    children = [Child.start(racing(url, table, number, start)) for number in range(count)]
    won = [[int(line) for line in child.wait()] for child in children]

    assert sorted(sequence for each in won for sequence in each) == list(range(1, SAVES + 1))
    stored = asyncio.run(shared_payloads(url, table, processes=count))
    assert all(stored[sequence] == number for number, each in enumerate(won) for sequence in each)


async def shared_payloads(url: str, table: str, *, processes: int) -> dict[int, int]:
    async with DatabaseCheckpointBackend(url, table) as backend:
        infos = (await backend.list()).infos
        assert len(infos) == (processes + 1) * SAVES
        records = [await backend.get("shared", sequence) for sequence in range(1, SAVES + 1)]
        return {record.header.sequence: int(record.payload) for record in records if record}


# lost connections


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[LossyProxy]:
    folder = short_folder()
    proxy = LossyProxy(folder, postgres.folder)
    proxy.folder = folder
    yield proxy
    proxy.close()
    shutil.rmtree(folder)


@pytest.fixture
async def lossy(proxy: LossyProxy, postgres: PostgresServer) -> AsyncIterator[DatabaseCheckpointBackend]:
    url = f"postgresql://postgres@/postgres?host={proxy.folder}"
    table = new_table()
    async with another_program(postgres.url, table) as other:
        await other.list()  # which makes the tables, and may take its time
    async with DatabaseCheckpointBackend(url, table, wait=2) as backend:
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
    """Our COMMIT never arrived; when we try again another program's record is there."""
    rival, ours = make_record("g", 1), make_record("g", 1)
    proxy.faults = ["request"]
    put_by_rival = iter([True])

    async with another_program(postgres.url, lossy.table_name) as other:
        await other.list()

        @event.listens_for(lossy.database.writing, "connect")
        def intrude(*_: object) -> None:
            if next(put_by_rival, False):
                put = Put(rival, other.database.statements.values_of(rival))
                assert TransactionExecutor(other.database).execute([put]) == [[]]

        with pytest.raises(SequenceTakenError):
            await lossy.put(ours)

    assert nonce_of(await lossy.get("g", 1)) == rival.header.nonce


@pytest.mark.thorough
async def test_an_outcome_that_stays_unknown_is_an_error_that_says_so(
    proxy: LossyProxy, lossy: DatabaseCheckpointBackend
) -> None:
    proxy.faults = ["answer"] * 100

    with pytest.raises(BackendError, match="not known whether that took effect"):
        await lossy.put(make_record("g", 1))

    proxy.faults = []
    assert [info.sequence for info in (await lossy.list("g")).infos] == [1]


async def test_a_cancelled_save_does_not_wait_for_a_server_that_is_away(proxy: LossyProxy) -> None:
    url = f"postgresql://postgres@/postgres?host={proxy.folder}"
    async with DatabaseCheckpointBackend(url, new_table(url), wait=300) as backend:
        await backend.put(make_record("g", 1))
        # On a connection that breaks, the outcome would be unknown, and so waited for.
        backend.database.close()
        proxy.close()
        trying = threading.Event()
        event.listen(backend.database.writing, "do_connect", lambda *_: trying.set())
        saving = asyncio.create_task(backend.put(make_record("g", 2)))
        await asyncio.to_thread(trying.wait, 60)

        saving.cancel()
        await asyncio.wait([saving], timeout=60)

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
        before_commits(backend, lambda _: next(endings, None) is None or terminate_others(postgres))

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
            hold = HeldUp(deleter)
            deletion = asyncio.create_task(deleter.delete("g", 2))
            await asyncio.to_thread(hold.is_reached.wait, 60)
            stale = asyncio.create_task(backend.put(make_record("g", 2)))
            await asyncio.to_thread(wait_for_a_lock, postgres)
            hold.release()

            assert await deletion is True
            with pytest.raises(SequenceTakenError, match="deleted"):
                await stale

        assert [info.sequence for info in (await backend.list("g")).infos] == [1]
