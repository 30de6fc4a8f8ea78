"""Searching in the database finds exactly what the core finds by looking at each record, and without sorting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from spark.errors import CheckpointDamagedError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager
from spark.graphs.checkpoint.storage import CheckpointQuery
from spark_backend_sql import DatabaseCheckpointBackend
from spark_backend_sql.compiled import DriverStatement, Query
from spark_testing.records import NOON, make_record
from tests.plugins.support.sql_plans import plan_of
from tests.plugins.support.sql_servers import new_table
from tests.support.running import countdown, every_step

HOSTILE = [
    "a",
    "A",
    "",
    " ",
    "%",
    "_",
    "*",
    "'",
    '"',
    "\\",
    "\n",
    ",",
    '"a":1',
    '\n"a":1\n',
    '\\n"a":1\\n',
    ',"a":1,',
    "' OR 1=1 --",
    "x'); DROP TABLE checkpoints; --",
    ":graph",
    "%(graph)s",
    "?",
    "$1",
    "é",
    "e\u0301",
    "🙈",
    "\0",
    "\ud800",
]
"""Keys and values, so that each may be taken for another one, for a pattern, or for SQL."""
SCALARS: list[Any] = [
    *HOSTILE,
    1,
    10,
    1.0,
    True,
    False,
    None,
    "1",
    "true",
    "null",
    0,
    -0.0,
    0.0,
    1e16,
    10**16,
    2**62,
    1e-7,
]


@pytest.fixture(params=["sqlite", "postgres", pytest.param("mariadb", marks=pytest.mark.thorough)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/checkpoints.db" if is_sqlite else request.getfixturevalue(request.param).url
    async with DatabaseCheckpointBackend(url, new_table(url)) as backend:
        yield backend


def some_metadata(chance: random.Random, *, most: int) -> dict[str, Any]:
    return {chance.choice(HOSTILE): chance.choice(SCALARS) for _ in range(chance.randint(0, most))}


def some_query(chance: random.Random, stored: list[dict[str, Any]]) -> CheckpointQuery:
    there = list(chance.choice(stored).items())
    return CheckpointQuery(
        graph_id=chance.choice([None, "g", "G", "h", "unknown", "\0"]),
        after=chance.choice([None, None, NOON + timedelta(seconds=chance.randint(-1, 30))]),
        before=chance.choice([None, None, NOON + timedelta(seconds=chance.randint(-1, 30))]),
        metadata=chance.choice([{}, some_metadata(chance, most=2), dict(there[:1]), dict(there[-2:])]),
        limit=chance.choice([None, 0, 1, 3, 10**30]),
        newest_first=chance.choice([True, False]),
    )


@pytest.mark.parametrize("seed", [1, 2])
async def test_finds_what_the_core_finds(backend: DatabaseCheckpointBackend, seed: int) -> None:
    chance = random.Random(seed)
    stored = [some_metadata(chance, most=8) for _ in range(40)]
    for sequence, metadata in enumerate(stored, start=1):
        moment = NOON + timedelta(seconds=chance.randint(0, 30))
        await backend.put(make_record(chance.choice("gGh"), sequence, timestamp=moment, metadata=metadata))

    found = 0
    for _ in range(150):
        query = some_query(chance, stored)
        answer = (await backend.query(query)).infos
        found += len(answer)
        assert answer == (await CheckpointBackend.query(backend, query)).infos, query

    assert found > 100, "too few matches to prove anything"


async def test_every_value_is_found_and_no_other(backend: DatabaseCheckpointBackend) -> None:
    records = [make_record("g", n, metadata={"key": value, "last": 1}) for n, value in enumerate(SCALARS, start=1)]
    await asyncio.gather(*map(backend.put, records))

    for value in SCALARS:
        infos = (await backend.query(CheckpointQuery(metadata={"key": value, "last": 1}))).infos

        # Their spelling tells apart what equals each other: 1, 1.0 and True.
        assert [repr(SCALARS[info.sequence - 1]) for info in infos] == [repr(value)]


async def test_keys_and_values_are_bound(backend: DatabaseCheckpointBackend) -> None:
    """The text that reaches the driver must not depend on them."""
    await backend.put(make_record(metadata={"a": 1}))
    texts: set[str] = set()
    for hostile in HOSTILE:
        query = CheckpointQuery(graph_id="g" + hostile, metadata={hostile: hostile}, limit=len(hostile))
        texts.add(text_of(backend, backend.database.statements.search(query)[0]))
        await backend.query(query)

    assert len(texts) == 1
    assert await backend.get("g", 1) is not None


async def test_a_real_run_is_searched_and_loads(backend: DatabaseCheckpointBackend) -> None:
    await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run({"limit": 4})
    manager = CheckpointManager(backend)

    (found,) = await manager.list_checkpoints("g", metadata={"iteration": 3})
    loaded = await manager.load_checkpoint(found.checkpoint_id)

    assert loaded.execution_metadata["iteration"] == 3


@pytest.mark.parametrize(
    "asked",
    [
        {"graph_id": "g", "newest_first": True, "limit": 10},
        {"graph_id": "g", "newest_first": True, "limit": 10, "metadata": {"step": 1}},
        {"graph_id": "g", "after": NOON, "limit": 10},
        {"newest_first": True, "limit": 10},
    ],
    ids=lambda asked: "+".join(asked),
)
async def test_a_search_reads_along_the_primary_key(backend: DatabaseCheckpointBackend, asked: dict[str, Any]) -> None:
    if backend.database.url.get_backend_name() == "mariadb":
        pytest.skip("its plans are not read here")
    for sequence in range(1, 4):
        await backend.put(make_record("g", sequence, metadata={"step": 1}))

    plan = plan_of(backend, *backend.database.statements.search(CheckpointQuery(**asked)))

    assert "INDEX" in plan
    assert "SORT" not in plan
    assert "B-TREE" not in plan


async def test_damaged_metadata_is_reported_when_it_is_read(backend: DatabaseCheckpointBackend) -> None:
    await backend.put(make_record("g", 1, metadata={"a": 1}))
    with backend.database.writing.connect() as connection, connection.begin():
        connection.execute(text(f"UPDATE {backend.table_name} SET metadata = '{{\n\"a\":'"))

    with pytest.raises(CheckpointDamagedError, match="checkpoint 1 of graph 'g'"):
        await backend.get("g", 1)


def text_of(backend: DatabaseCheckpointBackend, query: Query) -> str:
    return DriverStatement(query, backend.database.reading.dialect).text
