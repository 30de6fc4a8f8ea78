"""In SQLite a new record takes the row of the one that goes, and marks what was deleted once in many saves."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spark.errors import SequenceTakenError
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db") as backend:
        for sequence in range(1, 11):
            await backend.put(make_record("g", sequence))
        yield backend


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """The first column of what an SQL statement finds."""

    def rows(statement: str) -> list[Any]:
        with closing(sqlite3.connect(tmp_path / "c.db")) as connection:
            return [row[0] for row in connection.execute(statement)]

    return rows


async def test_a_record_takes_the_row_of_the_one_that_goes(backend: DatabaseCheckpointBackend, rows: Any) -> None:
    place = rows("SELECT rowid FROM checkpoints WHERE sequence = 1")
    record = make_record("g", 11, payload=b"another payload, and a longer one")

    assert await backend.put_and_delete(record, [1]) == [1]

    assert rows("SELECT rowid FROM checkpoints WHERE sequence = 11") == place
    assert await backend.get("g", 11) == record
    assert await backend.get("g", 1) is None


async def test_what_was_deleted_is_marked_once_in_many_saves(backend: DatabaseCheckpointBackend, rows: Any) -> None:
    """To write the mark costs a save a page of its own."""
    marks = []
    for sequence in range(11, 24):
        await backend.put_and_delete(make_record("g", sequence), [sequence - 10])
        marks += rows("SELECT deleted_up_to FROM checkpoints_graphs")

    assert marks == [10] * 10 + [20] * 3
    assert await backend.next_sequence("g") == 24
    for deleted in (1, 10, 11, 13):
        with pytest.raises(SequenceTakenError, match="deleted"):
            await backend.put(make_record("g", deleted))
    for stored in (14, 20, 23):
        with pytest.raises(SequenceTakenError, match="in use"):
            await backend.put(make_record("g", stored))


@pytest.mark.parametrize(("sequence", "old"), [(7, 1), (7, 7)])
async def test_a_record_whose_sequence_is_in_use_takes_no_row(
    backend: DatabaseCheckpointBackend, sequence: int, old: int
) -> None:
    """Not even that of the very record that has its sequence."""
    before = await backend.get_many("g", range(1, 20))

    with pytest.raises(SequenceTakenError, match="in use"):
        await backend.put_and_delete(make_record("g", sequence, payload=b"another"), [old])

    assert await backend.get_many("g", range(1, 20)) == before


async def test_a_record_whose_sequence_was_deleted_takes_no_row(backend: DatabaseCheckpointBackend) -> None:
    await backend.delete("g", 7)

    with pytest.raises(SequenceTakenError, match="deleted"):
        await backend.put_and_delete(make_record("g", 7), [1])

    assert await backend.get("g", 1) is not None


async def test_a_record_that_finds_no_row_to_take_is_stored_all_the_same(backend: DatabaseCheckpointBackend) -> None:
    await backend.delete("g", 1)

    assert await backend.put_and_delete(make_record("g", 11), [1]) == []

    assert await backend.get("g", 11) is not None


async def test_a_later_record_may_be_deleted_for_an_earlier_one(backend: DatabaseCheckpointBackend) -> None:
    """The mark never gets lower than what was deleted."""
    await backend.put(make_record("g", 20))

    assert await backend.put_and_delete(make_record("g", 15), [20]) == [20]

    assert await backend.get("g", 15) is not None
    assert await backend.next_sequence("g") == 21
