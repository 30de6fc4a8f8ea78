"""In SQLite, small calls run where they are made, while the disk is fast, and wait for no lock."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from spark.errors import CheckpointDamagedError, GraphDefinitionError, SequenceTakenError
from spark.graphs.checkpoint import open_backend
from spark.graphs.checkpoint.storage import CheckpointQuery, InlineLimits
from spark_backend_sql import DatabaseCheckpointBackend, writer
from spark_testing.records import NOON, make_record
from tests.plugins.support.sql_drivers import (
    OnAFastDisk,
    OnASlowDisk,
    before_commits,
    statements_by_thread,
)

HERE = "the event loop's thread"
THERE = "another thread"
INSERTS = ("INSERT INTO checkpoints ", "INSERT OR ABORT INTO checkpoints ")
WARM = 2
"""The first save opens the connection, and shows which graph it is."""
LARGE = InlineLimits().nbytes + 1
SPARE = 5
"""Transactions more than there were rounds: the first calls make the tables, and a busy machine tears a round apart."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.db"


@pytest.fixture
async def backend(file: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with OnAFastDisk(f"sqlite:///{file}") as backend:
        yield backend


class Places:
    """Where the saves and the reads of a backend were carried out."""

    def __init__(self, seen: list[tuple[str, int]]) -> None:
        self._seen = seen
        self._loop = threading.get_ident()

    def clear(self) -> None:
        self._seen.clear()

    @property
    def all(self) -> set[str]:
        """Of whatever SQLite has run."""
        return {self._place(thread) for _, thread in self._seen}

    @property
    def saves(self) -> list[str]:
        return [self._place(thread) for text, thread in self._seen if text.startswith(INSERTS)]

    @property
    def commits(self) -> int:
        """How many transactions there were."""
        return sum(text == "COMMIT" for text, _ in self._seen)

    @property
    def reads(self) -> list[str]:
        return [self._place(thread) for text, thread in self._seen if text.startswith("SELECT checkpoints.")]

    def _place(self, thread: int) -> str:
        return HERE if thread == self._loop else THERE


@pytest.fixture
async def places(backend: DatabaseCheckpointBackend) -> AsyncIterator[Places]:
    with statements_by_thread(backend) as seen:
        yield Places(seen)


async def save(backend: DatabaseCheckpointBackend, graph_id: str, first: int, count: int) -> None:
    for sequence in range(first, first + count):
        await backend.put(make_record(graph_id, sequence))


async def test_a_lone_graph_saves_without_another_thread(backend: DatabaseCheckpointBackend, places: Places) -> None:
    await save(backend, "g", 1, WARM)
    places.clear()

    await save(backend, "g", WARM + 1, 5)

    assert places.saves == [HERE] * 5
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3, 4, 5, 6, 7]


async def test_an_inline_save_is_durable_and_returns_what_it_deleted(
    backend: DatabaseCheckpointBackend, file: Path, places: Places
) -> None:
    await save(backend, "g", 1, WARM)

    deleted = await backend.put_and_delete(make_record("g", 3), [1, 9])

    assert places.saves[-1] == HERE
    assert deleted == [1]
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT sequence FROM checkpoints ORDER BY 1").fetchall() == [(2,), (3,)]


async def test_graphs_that_save_by_turns_need_no_other_thread_either(
    backend: DatabaseCheckpointBackend, places: Places
) -> None:
    await save(backend, "g", 1, WARM)
    places.clear()

    for sequence in range(1, 4):
        await backend.put(make_record("other", sequence))
        await backend.put(make_record("g", WARM + sequence))

    assert places.saves == [HERE] * 6


async def test_what_graphs_save_in_one_turn_of_the_loop_is_one_transaction(
    backend: DatabaseCheckpointBackend, places: Places
) -> None:
    await save(backend, "g", 1, WARM)
    places.clear()

    await asyncio.gather(*(backend.put(make_record(f"graph {number}", 1)) for number in range(5)))

    assert places.saves == [HERE]  # all of them by one statement, which is a transaction by itself
    assert places.commits == 0


async def test_graphs_whose_saves_are_answered_wait_for_the_others_no_more(file: Path) -> None:
    """Else one half of them would save while the other half takes its next step, and they would be in each other's way."""

    async def run(graph_id: str) -> None:
        for sequence in range(1, 11):
            await backend.put(make_record(graph_id, sequence))

    is_reached, is_free = threading.Event(), threading.Event()
    commits: list[object] = []

    def hold(driver: object) -> None:
        commits.append(driver)
        is_reached.set()
        is_free.wait(60)

    async with OnASlowDisk(f"sqlite:///{file}") as backend:
        await save(backend, "g", 1, WARM)
        before_commits(backend, hold)
        first = [asyncio.create_task(run(f"first {number}")) for number in range(10)]
        await asyncio.to_thread(is_reached.wait, 60)
        second = [asyncio.create_task(run(f"second {number}")) for number in range(10)]
        await asyncio.sleep(0)
        is_free.set()
        await asyncio.gather(*first, *second)

    assert len(commits) <= 11 + SPARE


async def test_what_a_turn_of_the_loop_adds_late_holds_up_nobody(file: Path) -> None:
    """A loop that was closed in the middle of its turn, for instance, never comes to its end."""
    with closing(asyncio.new_event_loop()) as closed:
        async with OnASlowDisk(f"sqlite:///{file}") as backend:
            await save(backend, "g", 1, WARM)
            backend._writer._turns.add(closed)

            async with asyncio.timeout(10):
                await save(backend, "g", WARM + 1, 5)


async def test_a_conflict_in_a_turn_is_one_graphs_alone(backend: DatabaseCheckpointBackend) -> None:
    await save(backend, "g", 1, WARM)
    await backend.delete("g", 1)

    outcomes = await asyncio.gather(
        backend.put(make_record("new", 1)),
        backend.put_and_delete(make_record("g", 1), [2]),
        backend.put(make_record("other", 1)),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), SequenceTakenError, type(None)]
    assert [(info.graph_id, info.sequence) for info in (await backend.list()).infos] == [
        ("g", 2),
        ("new", 1),
        ("other", 1),
    ]


async def test_saves_of_one_turn_say_what_each_has_deleted(backend: DatabaseCheckpointBackend) -> None:
    await save(backend, "a", 1, 3)
    await save(backend, "b", 1, 3)

    deleted = await asyncio.gather(
        backend.put_and_delete(make_record("a", 4), [1, 2]), backend.put_and_delete(make_record("b", 4), [2, 9])
    )

    assert deleted == [[1, 2], [2]]
    with pytest.raises(SequenceTakenError):
        await backend.put(make_record("b", 2))


async def test_a_slow_disk_does_not_hold_up_the_event_loop(file: Path) -> None:
    async with OnASlowDisk(f"sqlite:///{file}") as backend:
        with statements_by_thread(backend) as seen:
            await save(backend, "g", 1, 6)
            for _ in range(4):
                await backend.get_latest("g")

            assert Places(seen).saves == [THERE] * 6
            assert Places(seen).reads == [THERE] * 4


async def test_without_inline_io_nothing_of_sqlite_is_run_in_the_event_loops_thread(file: Path) -> None:
    """Not even on a fast disk, whatever is called."""
    async with OnAFastDisk(f"sqlite:///{file}", inline_io=False) as backend:
        with statements_by_thread(backend) as seen:
            await save(backend, "g", 1, 6)
            await backend.put_and_delete(make_record("g", 7), [1])
            await backend.delete("g", 2)
            for _ in range(3):
                await backend.get_latest("g")
                await backend.get("g", 3)
                await backend.latest("g")
                await backend.query(CheckpointQuery(graph_id="g", limit=2))
                await backend.list()
                await backend.find("ckpt_g_000003")
                await backend.next_sequence("g")
                await backend.graph_ids()
                await backend.get_many("g", range(10))
                await backend.latest_headers(["g"])
            await backend.forget("g")
            places = Places(seen)
    assert len(seen) > 30
    assert places.all == {THERE}


def test_inline_io_can_be_chosen_in_the_url(file: Path) -> None:
    assert open_backend(f"sqlite:///{file}?inline_io=false").inline_io is False
    assert open_backend(f"sqlite:///{file}?timeout=7&inline_io=true").inline_io is True
    assert DatabaseCheckpointBackend(f"sqlite:///{file}").inline_io is True
    with pytest.raises(GraphDefinitionError, match="inline_io='no': give True or False"):
        DatabaseCheckpointBackend(f"sqlite:///{file}", inline_io="no")  # type: ignore[arg-type]


async def test_a_large_save_does_not_hold_up_the_event_loop(backend: DatabaseCheckpointBackend, places: Places) -> None:
    await save(backend, "g", 1, WARM)

    await backend.put(make_record("g", 3, payload=b"x" * LARGE))

    assert places.saves[-1] == THERE


async def test_now_and_then_the_writer_saves_and_shortens_the_log(
    backend: DatabaseCheckpointBackend, file: Path, places: Places
) -> None:
    """Otherwise SQLite's log would grow as long as the run lasts."""
    payload = b"x" * 100_000

    for sequence in range(1, 120):
        await backend.put(make_record("g", sequence, payload=payload))

    assert places.saves.count(THERE) < 10
    assert Path(f"{file}-wal").stat().st_size < 2 * writer.LOG_SIZE


async def test_an_inline_call_waits_for_no_lock(file: Path) -> None:
    async with OnAFastDisk(f"sqlite:///{file}") as backend:
        with statements_by_thread(backend) as seen:
            await save(backend, "g", 1, WARM + 1)
            await backend.get_latest("g")
            await backend.get_latest("g")

    here = [text for text, thread in seen if thread == threading.get_ident()]
    assert here.count("PRAGMA busy_timeout=0") == 2, "on the connection that writes, and on the one that reads"
    assert "PRAGMA busy_timeout" in here[0]


async def test_a_lock_of_another_program_is_waited_for_in_the_writers_thread(
    backend: DatabaseCheckpointBackend, file: Path, places: Places
) -> None:
    await save(backend, "g", 1, WARM)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        saving = asyncio.create_task(backend.put(make_record("g", 3)))
        for _ in range(50):
            await asyncio.sleep(0)  # the event loop is not blocked

        assert not saving.done()
        other.execute("COMMIT")
        await saving

    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3]


async def test_a_sequence_in_use_is_an_error_as_elsewhere(backend: DatabaseCheckpointBackend) -> None:
    await save(backend, "g", 1, WARM + 1)

    with pytest.raises(SequenceTakenError, match="is in use"):
        await backend.put(make_record("g", 2))
    with pytest.raises(SequenceTakenError, match="is in use"):
        await backend.put(make_record("g", 2, payload=b"another"))


async def test_a_save_that_failed_after_it_took_effect_is_known_to_be_stored(
    backend: DatabaseCheckpointBackend,
) -> None:
    await save(backend, "g", 1, WARM)
    failures: list[int] = []

    def fail_afterwards(driver: sqlite3.Connection) -> None:
        if failures:
            return
        failures.append(threading.get_ident())
        sqlite3.Connection.commit(driver)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    before_commits(backend, fail_afterwards)
    backend.database.writer.open()  # as an earlier save would have

    await backend.put(make_record("g", 3))

    assert failures == [threading.get_ident()]
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3]


async def test_another_event_loop_saves_beside_it(backend: DatabaseCheckpointBackend) -> None:
    await save(backend, "g", 1, WARM)
    other = threading.Thread(target=lambda: asyncio.run(save(backend, "h", 1, 100)))
    other.start()

    await save(backend, "g", WARM + 1, 100)
    await asyncio.to_thread(other.join)

    assert len((await backend.list("g")).infos) == WARM + 100
    assert len((await backend.list("h")).infos) == 100


async def test_small_reads_need_no_other_thread(backend: DatabaseCheckpointBackend, places: Places) -> None:
    saved = [make_record("g", sequence) for sequence in (1, 2, 3)]
    for each in saved:
        await backend.put(each)
    await backend.get_latest("g")  # opens the connection
    places.clear()

    record, latest = await backend.get("g", 2), await backend.get_latest("g")
    newest = (await backend.query(CheckpointQuery(graph_id="g", limit=2, newest_first=True, after=NOON))).infos
    head = await backend.latest("g")

    assert places.reads == [HERE] * 4
    assert record == saved[1]
    assert latest == saved[2]
    assert [info.sequence for info in newest] == [3, 2]
    assert head == saved[2].info()
    assert await backend.get("g", 9) is None
    assert await backend.get_latest("nobody") is None


async def test_what_another_process_commits_is_seen_at_once(
    backend: DatabaseCheckpointBackend, file: Path, places: Places
) -> None:
    await save(backend, "g", 1, 3)
    await backend.get_latest("g")
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("DELETE FROM checkpoints WHERE sequence = 3")

    latest = await backend.latest("g")

    assert places.reads[-1] == HERE
    assert latest is not None
    assert latest.sequence == 2


async def test_a_large_payload_is_read_in_another_thread(backend: DatabaseCheckpointBackend, places: Places) -> None:
    large = make_record("g", 1, payload=b"x" * LARGE)
    await backend.put(large)
    await backend.get_latest("g")

    assert await backend.get_latest("g") == large
    assert places.reads[-2:] == [HERE, THERE]


async def test_a_damaged_row_is_reported_as_elsewhere(backend: DatabaseCheckpointBackend, file: Path) -> None:
    await save(backend, "g", 1, 2)
    await backend.get_latest("g")
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE checkpoints SET metadata = '{' WHERE sequence = 2")

    with pytest.raises(CheckpointDamagedError, match="checkpoint 2 of graph 'g'"):
        await backend.get_latest("g")
