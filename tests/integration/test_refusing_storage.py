"""A disk that is full, a folder that may not be written: the run says so, and what was saved before still loads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend
from tests.integration.counting import checkpoint_files
from tests.spec.page import ROOT
from tests.support.variants import first_of

NOBODY = 65534

PROGRAM = """
import asyncio, json, os, resource, sys
from pathlib import Path
from tests.integration.counting import counting, keeping
from spark.graphs import Node

def fill_the_disk():
    # No file may grow beyond 300 bytes: writing more fails in the middle, as on a full disk. Python ignores SIGXFSZ.
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

def lose_permission():
    for folder in [store, *(path for path in store.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)

class Grow(Node):
    async def process(self, context):
        size = await context.graph_state.get("size", 0) + 1
        await context.graph_state.set("size", size)
        if size == 3:
            refuse()
        return {}

store, refuse, fails_itself = Path(sys.argv[1]), globals()[sys.argv[2]], sys.argv[3] == "True"

class GrowAndFail(Grow):
    async def process(self, context):
        content = await super().process(context)
        if await context.graph_state.get("size") == 3:
            raise KeyError("the node's own")
        return content

def build(directory):
    node = (GrowAndFail if fails_itself else Grow)(name="grow")
    node >> node
    return keeping(node, directory)

asyncio.run(counting(store.with_name("warm")).run())  # so that all is imported: nobody may not read this source tree
if os.getuid() == 0:  # whom no permission stops
    os.setuid(NOBODY)
try:
    asyncio.run(build(store).run())
except Exception as error:
    cause = type(error.__cause__).__name__ if error.__cause__ else None
    notes = getattr(error, "__notes__", [])
    print(json.dumps({"kind": type(error).__name__, "message": str(error), "cause": cause, "notes": notes}))
""".replace("NOBODY", str(NOBODY))


@pytest.fixture
def store() -> Iterator[Path]:
    """A directory that the child may write to, whoever it becomes; not tmp_path, which only its owner can reach."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    (directory / "store").mkdir()
    if os.getuid() == 0:
        os.chown(directory / "store", NOBODY, NOBODY)
    yield directory / "store"
    for folder in [directory / "store", *directory.rglob("*/")]:
        folder.chmod(0o755)
    shutil.rmtree(directory)


def run(store: Path, refuse: str, *, node_fails: bool) -> dict[str, Any]:
    """How the run ended, in a process for which storage refuses at the third step."""
    command = [sys.executable, "-c", PROGRAM, str(store), refuse, str(node_fails)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    ended: dict[str, Any] = json.loads(done.stdout)
    return ended


async def assert_what_was_acknowledged_loads(store: Path) -> None:
    async with FileCheckpointBackend(store) as backend:
        manager = CheckpointManager(backend)
        infos = await manager.list_checkpoints("count")
        sizes = [(await manager.load_checkpoint(info.checkpoint_id)).graph_state["size"] for info in infos]
    assert sizes == [1, 2]
    assert len(checkpoint_files(store)) == 2


REFUSALS = {"fill_the_disk": "File too large", "lose_permission": "Permission denied"}


@pytest.mark.parametrize("refuse", first_of(REFUSALS))
async def test_the_run_ends_with_an_error_of_its_own_and_older_checkpoints_load(store: Path, refuse: str) -> None:
    ended = run(store, refuse, node_fails=False)

    assert ended["kind"] == "BackendError"
    assert ended["cause"] in ("OSError", "PermissionError")
    assert REFUSALS[refuse] in ended["message"]
    assert "'count'" in ended["message"]
    assert "file backend" in ended["message"]
    assert "earlier are intact" in ended["message"]
    await assert_what_was_acknowledged_loads(store)


@pytest.mark.parametrize("refuse", first_of(REFUSALS))
async def test_a_node_that_fails_at_that_moment_comes_through_with_both_told(store: Path, refuse: str) -> None:
    """Its own exception is what its author must see; that nothing could be saved stands beside it."""
    ended = run(store, refuse, node_fails=True)

    assert (ended["kind"], ended["message"]) == ("KeyError", '"the node\'s own"')
    notes = "\n".join(ended["notes"])
    assert "could not be saved" in notes
    assert REFUSALS[refuse] in notes
    assert "earlier are intact" in notes
    await assert_what_was_acknowledged_loads(store)
