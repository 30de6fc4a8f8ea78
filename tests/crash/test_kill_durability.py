"""How much of a run a kill can take, by durability: what was executed, beside what the store holds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend
from spark.graphs.checkpoint.recording.saving import MOST_WAITING

ROOT = Path(__file__).parents[2]
STEPS = 60
"""The process is killed when it says that it has begun as many."""


def executed_until_killed(folder: Path, durability: str) -> int:
    """How many steps a process had begun when it was killed."""
    command = [sys.executable, "-m", "tests.crash.telling_writer", str(folder), durability]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == STEPS:
                os.kill(process.pid, signal.SIGKILL)
                break
        return max([STEPS, *map(int, process.stdout.read().split())])


def stored_iteration(folder: Path) -> int:
    async def read() -> int:
        async with FileCheckpointBackend(str(folder)) as backend:
            checkpoint = await CheckpointManager(backend).load_latest("telling")
            return checkpoint.execution_metadata["iteration"] if checkpoint else 0

    return asyncio.run(read())


@pytest.mark.parametrize(("durability", "most"), [("sync", 1), ("async", MOST_WAITING + 1)])
def test_a_kill_takes_no_more_than_what_waited(tmp_path: Path, durability: str, most: int) -> None:
    """The step under way was not committed; with "async", those that waited behind the one being saved are lost, too."""
    executed = executed_until_killed(tmp_path, durability)

    assert 0 <= executed - stored_iteration(tmp_path) <= most


def test_a_store_that_outlives_the_process_needs_no_trigger_to_survive_a_kill(tmp_path: Path) -> None:
    executed_until_killed(tmp_path, "unasked")

    assert stored_iteration(tmp_path) >= 1


def test_a_kill_takes_everything_that_was_to_be_saved_at_the_end(tmp_path: Path) -> None:
    executed_until_killed(tmp_path, "exit")

    assert stored_iteration(tmp_path) == 0


def test_the_documentation_says_the_same() -> None:
    text = (ROOT / "docs" / "consistency.md").read_text()

    assert f"only if {MOST_WAITING} checkpoints are waiting" in text
