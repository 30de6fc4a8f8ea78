"""What somebody has seen as committed is there after the process was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend

_CHILD = """
import asyncio, sys
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig, FileCheckpointBackend

@node
async def count(context):
    await context.graph_state.set('total', await context.graph_state.get('total', 0) + 1)
    return {}

count >> count

async def main():
    config = CheckpointConfig(backend=FileCheckpointBackend(directory=sys.argv[1]), trigger_on_iteration=7)
    async for event in Graph(count, id='counting', checkpoint_config=config).stream(only='step_committed'):
        print(event.iteration, flush=True)

asyncio.run(main())
"""


def seen_of_a_killed_run(folder: Path, lines: int) -> list[int]:
    """What a process has printed that was killed after so many lines."""
    with subprocess.Popen([sys.executable, "-c", _CHILD, folder], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = [int(child.stdout.readline()) for _ in range(lines)]
        child.kill()
        rest = child.stdout.read().split()
    return [*seen, *map(int, rest[:-1])]  # the last line may be cut off


@pytest.mark.parametrize("lines", [1, 40])
async def test_a_commit_that_was_seen_survives_a_kill(lines: int, tmp_path: Path) -> None:
    seen = seen_of_a_killed_run(tmp_path, lines)

    async with FileCheckpointBackend(directory=tmp_path) as backend:
        latest = await CheckpointManager(backend).load_latest("counting")

    assert latest is not None
    assert latest.execution_metadata["iteration"] >= max(seen)
    assert seen == [*range(1, len(seen) + 1)]
