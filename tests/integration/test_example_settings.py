"""The example whose checkpoints are up to its settings file: killed, started again, and moved to another store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointManager, open_backend
from tests.spec.page import ROOT

EXAMPLE = ROOT / "examples" / "settings"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example, since it writes beside itself."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "settings", ignore=shutil.ignore_patterns("*.db*", "__pycache__")))


def start(folder: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_CHECKPOINT")}
    return subprocess.Popen(
        [sys.executable, "train.py"], cwd=folder, env=environment | variables, stdout=subprocess.PIPE, text=True
    )


def run(folder: Path, **variables: str) -> list[str]:
    with start(folder, **variables) as done:
        assert done.stdout is not None
        said = done.stdout.read().splitlines()
    assert done.returncode == 0
    return said


@pytest.mark.thorough
async def test_it_is_killed_and_continues_with_the_same_result(folder: Path, tmp_path: Path) -> None:
    *_, undisturbed = run(folder, SPARK_CHECKPOINT_URL=f"file://{tmp_path}/undisturbed", SPARK_CHECKPOINT_FORMAT="json")

    with start(folder) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            if line.startswith("epoch 100,"):
                break
        killed.send_signal(signal.SIGKILL)
    first, *_, result = run(folder)

    assert (killed.returncode, result) == (-signal.SIGKILL, undisturbed)
    assert not first.startswith("epoch 0,")
    async with open_backend(f"sqlite:///{folder}/train.db") as store:
        kept = (await CheckpointManager(store).listing()).infos
        records = [await store.get(info.graph_id, info.sequence) for info in kept]
    assert len(kept) in (2, 3)
    assert {record.header.format for record in records if record is not None} == {"msgpack"}


async def test_the_environment_moves_it_to_another_store_in_another_format(folder: Path, tmp_path: Path) -> None:
    run(folder, SPARK_CHECKPOINT_URL=f"file://{tmp_path}/elsewhere", SPARK_CHECKPOINT_FORMAT="json")

    async with open_backend(f"file://{tmp_path}/elsewhere") as store:
        record = await store.get_latest("train")
    assert record is not None
    assert record.header.format == "json"
    assert not (folder / "train.db").exists()
