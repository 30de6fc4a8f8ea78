"""The README's first program does what the README says of it: count to ten, be killed, go on, and be done."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spec.page import ROOT, blocks

HOLD_AT_FOUR = """
import runpy, sys

def show(number):
    print(number, flush=True)
    if number == 4:
        sys.stdin.read()  # until the kill

runpy.run_path(sys.argv[1], init_globals={"print": show}, run_name="__main__")
"""
"""Runs a program that shows its numbers at once, and stands still after a 4, so that it can't be done before the kill."""

RESULT = "{'done': True, 'success': True}"


@pytest.fixture
def countdown(tmp_path: Path) -> Path:
    """The program, in a file of the name that the README gives it."""
    readme = ROOT / "README.md"
    (block,) = [block for block in blocks(readme) if "countdown" in block.code]
    assert (
        "Write this into `countdown.py`:"
        in readme.read_text(encoding="utf-8").splitlines()[block.line - 4 : block.line]
    )
    program = tmp_path / "countdown.py"
    program.write_text(block.code)
    return program


def test_the_countdown_survives_a_kill_in_the_middle(countdown: Path) -> None:
    """The fourth number is printed twice: state exactly once, side effects at least once."""
    killed = start_and_kill(countdown)
    resumed = start(countdown)
    again = start(countdown)

    assert killed == ["1", "2", "3", "4"]
    assert resumed == ["4", "5", "6", "7", "8", "9", "10", RESULT]
    assert again == [RESULT]


def start_and_kill(program: Path) -> list[str]:
    """The numbers that the program printed before it was killed, in the step that prints a 4."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_AT_FOUR, program],
        cwd=program.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdin, process.stdout:
        numbers = []
        for line in process.stdout:
            numbers.append(line.strip())
            if numbers[-1] == "4":
                process.kill()
    assert process.wait() == -signal.SIGKILL
    return numbers


def start(program: Path) -> list[str]:
    """The lines that the program prints when nobody disturbs it."""
    done = subprocess.run([sys.executable, program], cwd=program.parent, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
