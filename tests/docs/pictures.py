"""The pictures of README and the documentation, made from what they show: a program that is killed, and a run in the browser.

    python -m tests.docs.pictures    # or: make pictures

A test compares what they say with the pages; how they look, somebody has to look at.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.docs.session import Line, Shell, Window, draw
from tests.plugins.ui.browser import running_browser, tab
from tests.plugins.ui.demo_store import make_demo_store
from tests.plugins.ui.serving import Served, serving
from tests.spec.page import ROOT, blocks

FIGURES: Final = ROOT / "docs" / "figures"
KILL_AND_RESUME: Final = FIGURES / "kill-and-resume.svg"
RUN: Final = {False: FIGURES / "run-light.png", True: FIGURES / "run-dark.png"}
"""A run in the browser; by whether it is dark."""

STORE: Final = "sqlite:///runs.db"
SHOWN: Final = "/run/refund-1012?at=8"
KILLED_AFTER: Final = "7"
MARKS: Final = {r"\$ ": "c", "Killed": "k", "completed": "d"}


def countdown() -> str:
    """README's first program."""
    return next(block.code for block in blocks(ROOT / "README.md") if 'id="countdown"' in block.code)


def record_kill_and_resume() -> str:
    """Run README's first program in a terminal, kill it from another one, and run it again."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "countdown.py").write_text(countdown(), encoding="utf-8")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        first, second = Shell(folder=Path(folder), path=path), Shell(folder=Path(folder), path=path)
        first.type("python countdown.py")
        first.show_until(lambda: first.lines[-1].text == KILLED_AFTER)
        second.type(f"kill -9 {_child_of(first.pid)}")
        first.wait_for_prompt()
        first.type("python countdown.py")
        first.wait_for_prompt()
        return _drawn(first.close(), second.close())


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()[0])


def _drawn(first: list[Line], second: list[Line]) -> str:
    shown = [line for line in first if line.text not in ("$ exit", "exit")]
    kill = [line for line in second if line.text.startswith("$ kill")]
    return draw(
        [
            Window("a terminal", shown, left=1, width=400),
            Window("another terminal", kill, left=415, width=284),
        ],
        label="A program that counts to 20 is killed with kill -9 at 7. Started again, it counts from 8 to 20.",
        marks=MARKS,
    )


async def take_screenshots(served: Served) -> None:
    """A run that asks a person, in the browser, light and dark."""
    async with running_browser() as browser:
        for dark, file in RUN.items():
            async with tab(browser, served, width=1240, height=980, dark=dark) as page:
                await page.goto(SHOWN)
                await page.wait_for_load_state("networkidle")
                await page.screenshot(path=file)


if __name__ == "__main__":
    KILL_AND_RESUME.write_text(record_kill_and_resume(), encoding="utf-8")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        store = make_demo_store(STORE)
        with serving(STORE, clock=store.clock.utc_now) as view:
            asyncio.run(take_screenshots(view))
