"""State Backends."""

from __future__ import annotations

import ast
import asyncio
import functools
import gzip
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    DatabaseCheckpointBackend,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.plugins.support.sql_servers import PostgresServer
from tests.spec import page
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, looping

SQLITE = "sqlite:///checkpoints.db"
POSTGRESQL = "postgresql://user:pass@localhost/spark"
"""The page's addresses."""


@pytest.mark.block("InMemoryCheckpointBackend")
async def test_the_memory_backend_needs_nothing_and_keeps_checkpoints(block: PageBlock) -> None:
    backend = (await block.run())["backend"]

    await run_with(CheckpointConfig(backend=backend))

    assert len(await CheckpointManager(backend).list_checkpoints("g")) == 1
    assert not backend.persistent


async def test_the_memory_backend_is_volatile() -> None:
    await run_with(CheckpointConfig(backend=InMemoryCheckpointBackend()))

    assert await CheckpointManager(InMemoryCheckpointBackend()).list_checkpoints("g") == []


@pytest.mark.block("FileCheckpointBackend")
def test_the_file_backend_takes_what_the_page_lists(block: PageBlock) -> None:
    block.check_signature()


@pytest.mark.parametrize(("name", "kind", "default", "meaning"), page.table("FileCheckpointBackend"))
def test_a_parameter_of_the_file_backend_has_the_default_of_the_table(
    name: str, kind: str, default: str, meaning: str
) -> None:
    parameter = inspect.signature(FileCheckpointBackend).parameters[name]

    assert parameter.default == (inspect.Parameter.empty if default == "Required" else ast.literal_eval(default))


@pytest.mark.block("FileCheckpointBackend", 2)
async def test_the_file_backend_compresses(block: PageBlock, tmp_path: Path) -> None:
    names = await block.run()

    await run_with(replace(names["config"], max_overhead=0))

    assert names["config"].enabled
    assert names["config"].backend is names["backend"]
    assert b'"graph_state"' in gzip.decompress(payload_of(only_file(tmp_path)))


async def test_checkpoints_in_files_outlast_the_backend_that_wrote_them(tmp_path: Path) -> None:
    async with FileCheckpointBackend(directory=str(tmp_path / "checkpoints")) as backend:
        await run_with(CheckpointConfig(backend=backend))

    async with FileCheckpointBackend(directory=str(tmp_path / "checkpoints")) as another:
        checkpoints = await CheckpointManager(another).list_checkpoints("g")
        loaded = await CheckpointManager(another).load_checkpoint(checkpoints[-1].checkpoint_id)

    assert loaded.graph_state == {"count": 3}


async def test_a_file_is_read_by_people(tmp_path: Path) -> None:
    async with FileCheckpointBackend(directory=str(tmp_path / "checkpoints"), pretty_print=True) as backend:
        await run_with(CheckpointConfig(backend=backend, max_overhead=0))

    assert '  "graph_state": {\n    "count": 3\n  },' in only_file(tmp_path).read_text(encoding="utf-8")


async def test_the_other_format_of_the_file_backend_is_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_PICKLE_KEY", "a key, so that it does not warn")

    async with FileCheckpointBackend(directory=str(tmp_path / "checkpoints"), format="pickle") as backend:
        await run_with(CheckpointConfig(backend=backend, max_overhead=0))
        loaded = await CheckpointManager(backend).load_latest("g")

    assert loaded is not None
    assert loaded.graph_state == {"count": 3}
    assert b"\x80\x05" in only_file(tmp_path).read_bytes()  # how a pickle of protocol 5 begins


@pytest.mark.block("DatabaseCheckpointBackend")
def test_the_database_backend_takes_what_the_page_lists(block: PageBlock) -> None:
    block.check_signature()


@pytest.mark.block("DatabaseCheckpointBackend", 2)
async def test_the_database_backend_is_made_from_a_connection_string(
    block: PageBlock, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both of the example, in the order in which it makes them."""
    made: list[DatabaseCheckpointBackend] = []
    monkeypatch.setattr(DatabaseCheckpointBackend, "__init__", noting(made, DatabaseCheckpointBackend.__init__))
    names = await block.run(addresses={SQLITE: f"sqlite:///{tmp_path}/c.db", POSTGRESQL: postgres.new_database()})

    assert [backend.database.writing.dialect.name for backend in made] == ["sqlite", "postgresql"]
    assert names["config"].backend is names["backend"] is made[-1]
    for backend in made:
        async with backend:
            await run_with(CheckpointConfig(enabled=True, backend=backend))
            latest = await CheckpointManager(backend).load_latest("g")
            assert latest is not None
            assert latest.graph_state == {"count": 3}


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database of the kind that the page's address names."""
    if request.param == SQLITE:
        return f"sqlite:///{tmp_path}/checkpoints.db"
    return request.getfixturevalue("postgres").new_database()


async def test_checkpoints_in_a_database_are_persistent_and_queryable(address: str) -> None:
    async with DatabaseCheckpointBackend(address) as backend:
        await run_with(CheckpointConfig(backend=backend, trigger_on_iteration=1))

    async with DatabaseCheckpointBackend(address) as another:
        manager = CheckpointManager(another)
        (second,) = await manager.list_checkpoints("g", metadata={"iteration": 2})
        (newest,) = await manager.list_checkpoints("g", newest_first=True, limit=1)
        loaded = await manager.load_checkpoint(second.checkpoint_id)

    assert loaded.graph_state == {"count": 2}
    assert newest.sequence > second.sequence


async def test_many_graphs_of_several_backends_share_a_database(address: str) -> None:
    """Supports concurrent access; multiple graph instances."""
    async with DatabaseCheckpointBackend(address) as one, DatabaseCheckpointBackend(address) as other:
        graphs = [
            Graph(start=looping(Count(3)), id=f"g{number}", checkpoint_config=CheckpointConfig(backend=backend))
            for number, backend in enumerate([one, other] * 5)
        ]
        await asyncio.gather(*(graph.run() for graph in graphs))
        found = await CheckpointManager(one).list_checkpoints()

    assert {info.graph_id for info in found} == {graph.graph_id for graph in graphs}


def noting(made: list[Any], init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` that remembers in order what it made."""

    @functools.wraps(init)
    def noted(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        made.append(self)

    return noted


async def run_with(config: CheckpointConfig) -> None:
    await Graph(start=looping(Count(3)), id="g", checkpoint_config=config).run()


def only_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "checkpoints").rglob("*.ckpt")
    return file


def payload_of(file: Path) -> bytes:
    content = file.read_bytes()
    return content[content.index(b"\x1f\x8b") :]
