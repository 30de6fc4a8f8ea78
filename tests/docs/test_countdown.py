"""The README's first program does what the README says of it: count to 20, be killed, resume, and be done."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.pictures import KILL_AND_RESUME, countdown
from tests.spec.page import ROOT

HOLD_AT_FOUR = """
import runpy, sys

def show(number, **options):
    print(number, flush=True)
    if number == 4:
        sys.stdin.read()  # until the kill

runpy.run_path(sys.argv[1], init_globals={"print": show}, run_name="__main__")
"""
"""Runs a program that stands still after a 4, so that it can't be done before the kill."""

WORK = "asyncio.sleep(1)"
RESULT = "completed {'done': True, 'success': True}"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program, in a file of the name that the README gives it; it does not work for seconds."""
    assert "Save this as `countdown.py`." in (ROOT / "README.md").read_text(encoding="utf-8")
    assert countdown().count(WORK) == 1
    program = tmp_path / "countdown.py"
    program.write_text(countdown().replace(WORK, "asyncio.sleep(0)"), encoding="utf-8")
    return program


def test_the_countdown_survives_a_kill_in_the_middle(program: Path) -> None:
    """The fourth number is printed twice: state exactly once, side effects at least once."""
    killed = start_and_kill(program)
    resumed = start(program)
    again = start(program)

    assert killed == numbers(1, 4)
    assert resumed == [*numbers(4, 20), RESULT]
    assert again == [RESULT]


def test_the_picture_of_the_terminal_shows_the_program_of_today() -> None:
    """It was recorded. Where this fails, run make pictures."""
    shown = KILL_AND_RESUME.read_text(encoding="utf-8")
    lines = ["$ python countdown.py", *numbers(1, 7), "Killed", "$ python countdown.py", *numbers(8, 20), RESULT]

    assert re.fullmatch(r"\$ kill -9 \d+", texts(shown)[-1])
    assert texts(shown)[1:-2] == lines


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def texts(svg: str) -> list[str]:
    """The lines on the drawing: of a terminal with its title, then of the other."""
    return [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("}text")]


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
        shown = []
        for line in process.stdout:
            shown.append(line.strip())
            if shown[-1] == "4":
                process.kill()
    assert process.wait() == -signal.SIGKILL
    return shown


def start(program: Path) -> list[str]:
    """The lines that the program prints when nobody disturbs it."""
    done = subprocess.run([sys.executable, program], cwd=program.parent, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
