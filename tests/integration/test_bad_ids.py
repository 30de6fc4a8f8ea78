"""Ids of any kind: stored inside the directory and found again, or refused before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark.errors import CheckpointError, CheckpointNotFoundError, InvalidIdError
from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend
from tests.integration.counting import counting

STORED = [
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".",
    "..",
    "~",
    "~root",
    "💥",
    "CON",
    "%2E%2E",
    " ",
    "x" * 200,
]
REFUSED = ["", "x" * 5_000, "a\0b", "a\nb", "\x7f", "\ud800", "\u202egnp.exe", "👩‍👩‍👧"]


def everything_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("graph_id", STORED, ids=ascii)
async def test_a_graph_id_is_stored_inside_the_directory_and_found_again(tmp_path: Path, graph_id: str) -> None:
    graph = counting(tmp_path / "outer" / "store", graph_id=graph_id)
    result = await graph.run()

    async with FileCheckpointBackend(tmp_path / "outer" / "store") as backend:
        infos = await CheckpointManager(backend).list_checkpoints(graph_id)
        latest = await CheckpointManager(backend).load_latest(graph_id)
        everybody = await CheckpointManager(backend).list_checkpoints()
    assert {info.graph_id for info in everybody} == {graph_id}
    assert infos == everybody
    assert latest is not None
    assert latest.graph_state == {"count": 3}
    assert (await graph.run(resume=True)).content == result.content
    assert_only_in_the_store(tmp_path)
    assert graph.checkpoint_backend is not None
    await graph.checkpoint_backend.close()


@pytest.mark.parametrize("checkpoint_id", [*STORED, "ckpt_count_999999", "floor", "ids"], ids=ascii)
async def test_a_checkpoint_id_is_stored_inside_the_directory_and_found_again(
    tmp_path: Path, checkpoint_id: str
) -> None:
    async with FileCheckpointBackend(tmp_path / "outer" / "store") as backend:
        checkpoint = counting(tmp_path / "elsewhere").create_checkpoint(checkpoint_id)
        await checkpoint.save(backend)
        manager = CheckpointManager(backend)

        assert (await manager.load_checkpoint(checkpoint_id)).checkpoint_id == checkpoint_id
        assert [info.checkpoint_id for info in await manager.list_checkpoints("count")] == [checkpoint_id]
        assert_only_in_the_store(tmp_path)
        assert await manager.delete_checkpoint(checkpoint_id)
        assert await manager.list_checkpoints() == []


@pytest.mark.parametrize("refused", REFUSED, ids=lambda text: ascii(text[:10]))
async def test_a_graph_id_that_is_refused_touches_nothing(tmp_path: Path, refused: str) -> None:
    with pytest.raises(InvalidIdError, match="graph id") as raised:
        counting(tmp_path / "store", graph_id=refused)

    assert len(str(raised.value)) < 300
    assert everything_in(tmp_path) == set()


@pytest.mark.parametrize("refused", REFUSED, ids=lambda text: ascii(text[:10]))
async def test_a_checkpoint_id_that_is_refused_touches_nothing(tmp_path: Path, refused: str) -> None:
    with pytest.raises(InvalidIdError, match="checkpoint id"):
        counting(tmp_path / "store").create_checkpoint(refused)

    assert everything_in(tmp_path) == set()


@pytest.mark.parametrize("asked", [*STORED, *REFUSED], ids=lambda text: ascii(text[:10]))
async def test_asking_for_an_id_that_is_not_there_finds_nothing_and_touches_nothing(tmp_path: Path, asked: str) -> None:
    """Nobody validates what a manager is asked for, so the backend must not be led astray by it."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "000000000001.ckpt").write_bytes(b"not yours")
    before = everything_in(tmp_path)

    async with FileCheckpointBackend(tmp_path / "store") as backend:
        manager = CheckpointManager(backend)
        with pytest.raises(CheckpointError) as raised:
            await manager.load_checkpoint(asked)
        assert isinstance(raised.value, CheckpointNotFoundError | InvalidIdError)
        assert await manager.load_latest(asked) is None
        assert await manager.list_checkpoints(asked) == []
        assert await manager.delete_checkpoint(asked) is False
        assert await manager.delete_all_checkpoints(asked) == 0
    assert everything_in(tmp_path) == before


def assert_only_in_the_store(folder: Path) -> None:
    """Everything that was made lies two levels down: a folder of the graph, and what is in it."""
    outside = {name for name in everything_in(folder) if not name.startswith("outer/store/")}
    assert outside <= {"outer", "outer/store"}
    assert not any(path.is_symlink() and not path.exists() for path in folder.rglob("*"))
