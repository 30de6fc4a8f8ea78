"""``spark checkpoints`` where what is stored is encrypted: what works without the key, and what says that it takes one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from spark.hooks import register
from spark_backend_file import FileCheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_cli.copying.archive import Archive
from spark_cli.copying.transfer import transfer
from tests.plugins.support.command_line import file_url, spark
from tests.support import aes_gcm
from tests.support.aes_gcm import KEY_VARIABLE

KEY = "07" * 32


class Step(Node):
    async def process(self, context: NodeContext) -> dict[str, bool]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        await context.graph_state.set(f"large {count}", "text " * 3000 + str(count))
        return {"more": count < 3}


@pytest.fixture(autouse=True)
def _codec(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with register(aes_gcm):
        yield


@pytest.fixture
async def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encrypted store, after whose end the key is not known any more."""
    step = Step()
    step.on(more=True) >> step
    async with FileCheckpointBackend(directory=tmp_path / "source", codec="aes-gcm") as backend:
        await Graph(step, id="g", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=1)).run()
    monkeypatch.delenv(KEY_VARIABLE)
    return tmp_path / "source"


async def test_it_is_copied_exported_and_imported_without_the_key(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FileCheckpointBackend(directory=source) as backend:
        there = len((await backend.list()).infos)
        archive = Archive.write(tmp_path / "records")
        assert (await transfer(backend, archive)).is_fine
        await archive.finish()
        archive.close()
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/target.db") as target:
        archive = Archive.read(tmp_path / "records")
        assert (await transfer(archive, target)).copied == there
        assert (await transfer(archive, target)).present == there
        archive.close()

        monkeypatch.setenv(KEY_VARIABLE, KEY)
        loaded = await CheckpointManager(target).load_checkpoint(f"ckpt_g_{there:06}")
        assert {name: value[-1] for name, value in loaded.graph_state.items() if name != "count"} == {
            "large 1": "1",
            "large 2": "2",
            "large 3": "3",
        }


def test_what_takes_the_key_says_so(source: Path) -> None:
    url = file_url(source)

    shown = spark("checkpoints", "show", "ckpt_g_000001", "--url", url)
    assert shown.code != 0
    assert "codec={'aes-gcm'" in shown.err.replace("\n", " ")
    listed = spark("checkpoints", "list", "--url", url)
    assert listed.code == 0
    verified = spark("checkpoints", "verify", "--url", url)
    assert "aes-gcm" in verified.out + verified.err
