"""The examples whose state grows: killed at any instant, and at a certain one, they end as if nobody had disturbed them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from spark.graphs.checkpoint import CheckpointManager, open_backend
from tests.integration.test_demo import SQLITE, check_told
from tests.spec.page import ROOT

EXAMPLES = ROOT / "examples"
MESSAGES = 200


def killed(*options: str | Path) -> subprocess.CompletedProcess[str]:
    """Run an example undisturbed, and then killed at seeded instants."""
    command = [sys.executable, EXAMPLES / "survive_kills.py", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def conversation(store: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / "conversation.py", store, "--messages", f"{MESSAGES}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The result that an example printed."""
    assert (done.returncode, done.stderr) == (0, "")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.thorough
def test_a_conversation_that_is_killed_at_seeded_instants_ends_as_one_that_is_not() -> None:
    options = ("--kills", "2", "--seed", "5", "--store", SQLITE)

    done = killed(*options, "conversation.py", "--messages", f"{MESSAGES}")

    check_told(done)
    assert f"'messages': {MESSAGES}, 'in_order': True" in done.stdout.splitlines()[-2]


async def test_a_conversation_that_kills_itself_in_a_step_has_every_message_once_and_in_order(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"

    stopped = [conversation(url, "--stop-after", after) for after in ("62", "30")]
    done = conversation(url)

    assert [each.returncode for each in stopped] == [-signal.SIGKILL, -signal.SIGKILL]
    assert "  resumed after 61 messages\n" in stopped[1].stdout, "the step that died had committed nothing"
    assert told(done) == told(conversation("memory://"))
    async with open_backend(url) as backend:
        checkpoint = await CheckpointManager(backend).load_latest("conversation")
    assert checkpoint is not None
    assert [said["number"] for said in checkpoint.graph_state["messages"]] == list(range(MESSAGES))


@pytest.mark.thorough
def test_a_map_over_files_that_is_killed_ends_as_one_that_is_not_and_reports_what_it_could_not_read(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for module in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:120]:
        shutil.copy(module, folder)
    (folder / "gone").symlink_to(folder / "nowhere")

    done = killed(
        "--kills", "2", "--seed", "7", "--store", "file://{directory}", "map_files.py", "--folder", f"{folder}"
    )

    check_told(done)
    assert "'files': 120, 'unreadable': {'FileNotFoundError': 1}" in done.stdout.splitlines()[-2]
