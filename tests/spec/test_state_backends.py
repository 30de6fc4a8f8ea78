"""State Backends."""

from __future__ import annotations

import ast
import gzip
import inspect
from pathlib import Path

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.spec import page
from tests.spec.conftest import PageBlock
from tests.spec.stand_ins import Count, looping


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

    await run_with(names["config"])

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
        await run_with(CheckpointConfig(backend=backend))

    assert '  "graph_state": {\n    "count": 3\n  },' in only_file(tmp_path).read_text(encoding="utf-8")


async def test_the_other_format_of_the_file_backend_is_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_PICKLE_KEY", "a key, so that it does not warn")

    async with FileCheckpointBackend(directory=str(tmp_path / "checkpoints"), format="pickle") as backend:
        await run_with(CheckpointConfig(backend=backend))
        loaded = await CheckpointManager(backend).load_latest("g")

    assert loaded is not None
    assert loaded.graph_state == {"count": 3}
    assert b"\x80\x05" in only_file(tmp_path).read_bytes()  # how a pickle of protocol 5 begins


@pytest.mark.sql
@pytest.mark.skip(reason="the SQL backend is not there yet")
@pytest.mark.block("DatabaseCheckpointBackend")
def test_the_database_backend_takes_what_the_page_lists(block: PageBlock) -> None:
    block.check_signature()


@pytest.mark.sql
@pytest.mark.skip(reason="the SQL backend is not there yet")
@pytest.mark.block("DatabaseCheckpointBackend", 2)
async def test_the_database_backend_is_made_from_a_connection_string(block: PageBlock) -> None:
    names = await block.run()

    assert isinstance(names["backend"], CheckpointBackend)
    assert names["config"].backend is names["backend"]


async def run_with(config: CheckpointConfig) -> None:
    await Graph(start=looping(Count(3)), id="g", checkpoint_config=config).run()


def only_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "checkpoints").rglob("*.ckpt")
    return file


def payload_of(file: Path) -> bytes:
    content = file.read_bytes()
    return content[content.index(b"\x1f\x8b") :]
