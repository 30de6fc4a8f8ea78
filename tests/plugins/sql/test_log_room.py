"""SQLite's log is lengthened before it has to be: a save for which the file grows takes about half as long again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.sqlite import SqliteDialect
from spark_testing.records import make_record


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.db"


def log_size(file: Path) -> int:
    return Path(f"{file}-wal").stat().st_size


async def test_saves_go_into_room_that_was_made(file: Path) -> None:
    async with DatabaseCheckpointBackend(f"sqlite:///{file}") as backend:
        await backend.put(make_record("g", 1))
        first = log_size(file)
        for sequence in range(2, 30):
            await backend.put(make_record("g", sequence))

        assert first > 900_000
        assert log_size(file) == first
        assert (await backend.list("g")).sequences() == [*range(1, 30)]


async def test_room_is_made_again_once_it_is_used_up_and_not_before(file: Path) -> None:
    payload, sizes = b'"%s"' % (b"x" * 200_000), list[int]()

    async with DatabaseCheckpointBackend(f"sqlite:///{file}", inline_io=False) as backend:
        for sequence in range(1, 12):
            await backend.put(make_record("g", sequence, payload=payload))
            sizes.append(log_size(file))

    assert 2 <= len({*sizes}) <= 6, "it grows by several saves at a time"


async def test_what_was_written_for_room_is_nowhere_to_be_seen(file: Path) -> None:
    async with DatabaseCheckpointBackend(f"sqlite:///{file}") as backend:
        await backend.put(make_record("g", 1))

    with closing(sqlite3.connect(file)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert not any("room" in name for name in tables)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert file.stat().st_size < 200_000


async def test_a_lock_in_the_way_costs_only_the_room(file: Path) -> None:
    """What is tried to save time must fail nothing."""
    async with DatabaseCheckpointBackend(f"sqlite:///{file}") as backend:
        await backend.put(make_record("g", 1))
        dialect, size = backend.database.dialect, log_size(file)
        assert isinstance(dialect, SqliteDialect)
        dialect._log_size = -1
        with (
            closing(sqlite3.connect(file, isolation_level=None)) as other,
            closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as ours,
        ):
            other.execute("BEGIN IMMEDIATE")
            dialect.make_room(ours)

            assert not ours.in_transaction
            assert log_size(file) == size
