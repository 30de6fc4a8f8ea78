"""One statement finds many records, many headers or many graphs: exactly what the defaults of the contract find one by one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import text

from spark.graphs.checkpoint import CheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import HOSTILE_IDS, make_record
from tests.plugins.support.sql_drivers import statements_by_thread
from tests.plugins.support.sql_servers import new_table

LAST = chr(0x10FFFF)
IDS = [
    "g",
    "G",
    "g1",
    "ga",
    "gb",
    "h",
    "é",
    "e\u0301",
    "%",
    "_",
    "g%",
    "g_",
    "\ud7ff",
    "\ue000",
    LAST,
    LAST * 2,
    "a" + LAST,
]


@pytest.fixture(params=["sqlite", "postgres", pytest.param("mariadb", marks=pytest.mark.thorough)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseCheckpointBackend]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/checkpoints.db" if is_sqlite else request.getfixturevalue(request.param).url
    async with DatabaseCheckpointBackend(url, new_table(url)) as backend:
        yield backend


async def fill(backend: DatabaseCheckpointBackend, ids: Sequence[str], *, each: int = 3) -> None:
    records = [make_record(graph_id, sequence) for graph_id in ids for sequence in range(1, each + 1)]
    await asyncio.gather(*map(backend.put, records))


async def test_graphs_are_found_by_prefix_and_page_as_the_default_finds_them(
    backend: DatabaseCheckpointBackend,
) -> None:
    ids = [*IDS, *(each for each in HOSTILE_IDS if "\0" not in each and each.isprintable())]
    await fill(backend, [*dict.fromkeys(ids)], each=2)
    edges = ["", "x\0", "\ud800", "g\0", "a\udfff", *IDS]

    for number, (prefix, after) in enumerate(product(edges, (None, *edges))):
        expected = await CheckpointBackend.graph_ids(backend, prefix, after=after)
        limit = (None, 0, 2, 10**30)[number % 4]
        assert await backend.graph_ids(prefix, after=after, limit=limit) == expected[:limit]
    assert await CheckpointBackend.graph_ids(backend, "g", limit=2) == await backend.graph_ids("g", limit=2)


async def test_records_are_found_by_their_sequences_as_the_default_finds_them(
    backend: DatabaseCheckpointBackend,
) -> None:
    await fill(backend, ["g", "h"], each=12)
    await backend.delete("g", 4)
    asked: list[Sequence[int]] = [
        [],
        [5, 2, 5, 99, 0, -1, 2**70],
        range(0),
        range(3, 9),
        range(9, 2, -2),
        range(-7, 100, 5),
        range(2**63),
        range(2**70, 0, -(2**66)),
        range(1, 2**70, 2**66),
    ]

    for graph_id in ("g", "unknown", "x\0"):
        for sequences in asked:
            found = await backend.get_many(graph_id, sequences)
            assert found == await CheckpointBackend.get_many(backend, graph_id, sequences), sequences
            assert [*found.records] == sorted(found.records)


async def test_the_latest_headers_are_those_the_default_finds(backend: DatabaseCheckpointBackend) -> None:
    chance = random.Random(1)
    for number in range(9):
        await fill(backend, [f"g{number}"], each=chance.randint(1, 5))
    await backend.delete("g3", 1)

    for asked in ([], ["g1"], ["g7", "unknown", "g1", "g7", "x\0"], [f"g{number}" for number in range(12)]):
        found = await backend.latest_headers(asked)
        assert found.headers == (await CheckpointBackend.latest_headers(backend, asked)).headers
        assert found.damaged == []


async def test_damage_is_reported_beside_what_can_be_read(backend: DatabaseCheckpointBackend) -> None:
    await fill(backend, ["g", "h"])
    with backend.database.writing.connect() as connection, connection.begin():
        connection.execute(
            text(f"UPDATE {backend.table_name} SET metadata = '{{' WHERE graph_id = 'g' AND sequence = 3")
        )

    many, latest = await backend.get_many("g", range(1, 9)), await backend.latest_headers(["g", "h"])

    assert [*many.records] == [1, 2]
    assert [*latest.headers] == ["h"]
    for damaged in (*many.damaged, *latest.damaged):
        assert (damaged.graph_id, damaged.sequence) == ("g", 3)
        assert "the metadata is not valid" in damaged.reason
    assert len(many.damaged) == len(latest.damaged) == 1


async def test_each_question_is_one_statement(tmp_path: Path) -> None:
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/c.db", inline_io=False) as backend:
        await fill(backend, [f"g{number:03}" for number in range(200)], each=1)
        await backend.list("g000")
        with statements_by_thread(backend) as seen:
            assert len(await backend.graph_ids("g", after="g009", limit=50)) == 50
            assert len((await backend.latest_headers([f"g{number:03}" for number in range(200)])).headers) == 200
            assert [*(await backend.get_many("g007", range(2**63))).records] == [1]
            assert [*(await backend.get_many("g007", [*range(1, 200)])).records] == [1]

    assert len(seen) == 4
