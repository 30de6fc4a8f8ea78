"""The tutorial's program does in a shell what the tutorial shows: it is killed, goes on, and can be looked into."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.page import ROOT, Block, blocks

TUTORIAL = ROOT / "docs" / "tutorial.md"

UNSHOWN = re.compile(r"^(export|spark checkpoints (list|show|copy))\b")
"""Commands whose output the page leaves out, as it differs from run to run; the tests of the command try these."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader has written ``invoices.py``, as the page says: from all Python up to *Run it*."""
    program = [block.code for block in python_before("Run it")]
    (tmp_path / "invoices.py").write_text("\n\n".join(program))
    return tmp_path


def test_the_commands_of_the_tutorial_print_what_it_shows(folder: Path) -> None:
    url = f"file://{folder}/checkpoints"

    for command, shown in commands():
        printed = typed(command, folder=folder, url=url)
        shown, is_cut, _ = shown.partition("...\n")
        assert printed == shown or (is_cut and printed.startswith(shown)), command

    keys = [line.split()[0] for line in (folder / "sent.txt").read_text().splitlines()]
    assert (len(keys), len(set(keys))) == (5, 4), "five lines and only four different keys"


def python_before(section: str) -> list[Block]:
    found = list(blocks(TUTORIAL))
    end = next(number for number, block in enumerate(found) if block.section == section)
    return [block for block in found[:end] if block.language == "python"]


def commands() -> list[tuple[str, str]]:
    """Each command that is typed after a ``$``, and what the page shows below it."""
    shells = [block.code for block in blocks(TUTORIAL) if block.code.startswith("$ ")]
    typed = [part.partition("\n") for code in shells for part in re.split(r"^\$ ", code, flags=re.MULTILINE) if part]
    return [(command, shown) for command, _, shown in typed if not UNSHOWN.match(command)]


def typed(command: str, *, folder: Path, url: str) -> str:
    """What a shell prints, in which Python and the command are those of this test."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "SPARK_CHECKPOINT_URL": url}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=30)
    assert done.stderr in ("", "Killed\n")
    return done.stdout
