"""In SQLite, small things are done where they are asked for, while the disk is fast, and nobody is waited for there."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.storage import CheckpointQuery
from spark.graphs.concurrency import latency_gate
from spark_backend_sql import DatabaseCheckpointBackend, inline_commits, inline_reads
from spark_backend_sql.connection import Database
from spark_backend_sql.shortcut import SqliteShortcut
from spark_testing.records import NOON, make_record

HERE = "the event loop's thread"
THERE = "the writer's thread"
WARM = 2
"""The first save opens the connection, and shows which graph it is."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.db"


@pytest.fixture
async def backend(file: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(f"sqlite:///{file}") as backend:
        yield backend


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the disk is that the tests run on."""
    monkeypatch.setattr(latency_gate, "TOLERABLE", 60.0)
    monkeypatch.setattr(latency_gate, "LONGEST", 60.0)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each save's transaction was carried out."""
    seen: list[str] = []
    store, loop_thread = SqliteShortcut.store, threading.get_ident()

    def watched(self: SqliteShortcut, *arguments: Any) -> list[int]:
        seen.append(HERE if threading.get_ident() == loop_thread else THERE)
        return store(self, *arguments)

    monkeypatch.setattr(SqliteShortcut, "store", watched)
    return seen


async def save(backend: DatabaseCheckpointBackend, graph_id: str, first: int, count: int) -> None:
    for sequence in range(first, first + count):
        await backend.put(make_record(graph_id, sequence))


async def test_a_lone_graph_saves_without_another_thread(backend: DatabaseCheckpointBackend, places: list[str]) -> None:
    await save(backend, "g", 1, WARM)
    places.clear()

    await save(backend, "g", WARM + 1, 5)

    assert places == [HERE] * 5
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3, 4, 5, 6, 7]


async def test_what_is_saved_so_is_durable_and_gone_records_are_told(
    backend: DatabaseCheckpointBackend, file: Path, places: list[str]
) -> None:
    await save(backend, "g", 1, WARM)

    deleted = await backend.put_and_delete(make_record("g", 3), [1, 9])

    assert places[-1] == HERE
    assert deleted == [1]
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT sequence FROM checkpoints ORDER BY 1").fetchall() == [(2,), (3,)]


async def test_graphs_that_save_by_turns_share_the_writer(
    backend: DatabaseCheckpointBackend, places: list[str]
) -> None:
    await save(backend, "g", 1, WARM)
    places.clear()

    for sequence in range(1, 4):
        await backend.put(make_record("other", sequence))
        await backend.put(make_record("g", WARM + sequence))

    assert places == [THERE] * 6


async def test_a_slow_disk_does_not_hold_up_the_event_loop(
    backend: DatabaseCheckpointBackend, places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency_gate, "LONGEST", 0.0)
    monkeypatch.setattr(latency_gate, "TOLERABLE", 0.0)

    await save(backend, "g", 1, 6)

    assert places == [THERE] * 6


async def test_a_large_save_does_not_hold_up_the_event_loop(
    backend: DatabaseCheckpointBackend, places: list[str]
) -> None:
    await save(backend, "g", 1, WARM)

    await backend.put(make_record("g", 3, payload=b"x" * (latency_gate.LARGEST + 1)))

    assert places[-1] == THERE


async def test_now_and_then_the_writer_saves_and_shortens_the_log(
    backend: DatabaseCheckpointBackend, file: Path, places: list[str]
) -> None:
    """Else SQLite's log would grow as long as the run goes on."""
    payload = b"x" * 100_000

    for sequence in range(1, 120):
        await backend.put(make_record("g", sequence, payload=payload))

    assert places.count(THERE) < 10
    assert Path(f"{file}-wal").stat().st_size < 2 * inline_commits.LOG_SIZE


async def test_somebody_elses_lock_is_waited_for_in_the_other_thread(
    backend: DatabaseCheckpointBackend, file: Path, places: list[str]
) -> None:
    await save(backend, "g", 1, WARM)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        saving = asyncio.create_task(backend.put(make_record("g", 3)))
        for _ in range(50):
            await asyncio.sleep(0)  # the event loop goes on

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
    backend: DatabaseCheckpointBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(backend, "g", 1, WARM)
    store = SqliteShortcut.store

    def fail_afterwards(self: SqliteShortcut, *arguments: Any) -> list[int]:
        store(self, *arguments)
        monkeypatch.setattr(SqliteShortcut, "store", store)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    monkeypatch.setattr(SqliteShortcut, "store", fail_afterwards)

    await backend.put(make_record("g", 3))

    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 3]


async def test_another_event_loop_saves_beside_it(backend: DatabaseCheckpointBackend) -> None:
    await save(backend, "g", 1, WARM)
    other = threading.Thread(target=lambda: asyncio.run(save(backend, "h", 1, 100)))
    other.start()

    await save(backend, "g", WARM + 1, 100)
    await asyncio.to_thread(other.join)

    assert len((await backend.list("g")).infos) == WARM + 100
    assert len((await backend.list("h")).infos) == 100


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each small read was carried out."""
    seen: list[str] = []
    ask, read, loop_thread = inline_reads._Question.ask, Database.read, threading.get_ident()

    def asked_here(self: inline_reads._Question, *arguments: Any) -> Any:
        seen.append(HERE if threading.get_ident() == loop_thread else THERE)
        return ask(self, *arguments)

    def asked_there(self: Database, *arguments: Any) -> Any:
        seen.append(THERE)
        return read(self, *arguments)

    monkeypatch.setattr(inline_reads._Question, "ask", asked_here)
    monkeypatch.setattr(Database, "read", asked_there)
    return seen


async def test_small_reads_need_no_other_thread(backend: DatabaseCheckpointBackend, asked: list[str]) -> None:
    saved = [make_record("g", sequence) for sequence in (1, 2, 3)]
    for each in saved:
        await backend.put(each)
    await backend.get_latest("g")  # opens the connection
    asked.clear()

    record, latest = await backend.get("g", 2), await backend.get_latest("g")
    newest = (await backend.query(CheckpointQuery(graph_id="g", limit=2, newest_first=True, after=NOON))).infos
    head = await backend.latest("g")

    assert asked == [HERE] * 4
    assert record == saved[1]
    assert latest == saved[2]
    assert [info.sequence for info in newest] == [3, 2]
    assert head == saved[2].info()
    assert await backend.get("g", 9) is None
    assert await backend.get_latest("nobody") is None


async def test_what_another_process_commits_is_seen_at_once(
    backend: DatabaseCheckpointBackend, file: Path, asked: list[str]
) -> None:
    await save(backend, "g", 1, 3)
    await backend.get_latest("g")
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("DELETE FROM checkpoints WHERE sequence = 3")

    latest = await backend.latest("g")

    assert asked[-1] == HERE
    assert latest is not None
    assert latest.sequence == 2


async def test_a_large_payload_is_read_in_another_thread(backend: DatabaseCheckpointBackend, asked: list[str]) -> None:
    large = make_record("g", 1, payload=b"x" * (latency_gate.LARGEST + 1))
    await backend.put(large)
    await backend.get_latest("g")

    assert await backend.get_latest("g") == large
    assert asked[-2:] == [HERE, THERE]


async def test_a_slow_disk_is_read_in_another_thread(
    backend: DatabaseCheckpointBackend, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency_gate, "LONGEST", 0.0)
    monkeypatch.setattr(latency_gate, "TOLERABLE", 0.0)
    await save(backend, "g", 1, 2)

    for _ in range(4):
        await backend.get_latest("g")

    assert HERE not in asked


async def test_a_damaged_row_is_told_of_as_elsewhere(backend: DatabaseCheckpointBackend, file: Path) -> None:
    await save(backend, "g", 1, 2)
    await backend.get_latest("g")
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE checkpoints SET metadata = '{' WHERE sequence = 2")

    with pytest.raises(CheckpointDamagedError, match="checkpoint 2 of graph 'g'"):
        await backend.get_latest("g")
