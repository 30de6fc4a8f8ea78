"""A session in a terminal, recorded as it happens, and drawn as an SVG that plays it.

It moves by CSS alone, so any page may show it as a picture.
"""

from __future__ import annotations

import os
import pty
import re
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

PROMPT: Final = "$ "
SPEED: Final = 2.0
"""The drawing plays a second in half a second."""
PAUSE: Final = 5.0
"""Seconds for which the last picture stands."""


@dataclass(frozen=True)
class Line:
    """One line, and the second in which it was there."""

    second: float
    text: str


class Shell:
    """A shell in a terminal of its own: what is typed into it, and what it shows."""

    def __init__(self, *, folder: Path, path: str) -> None:
        pid, self._terminal = pty.fork()
        if pid == 0:  # pragma: no cover: this is the shell's process
            os.chdir(folder)
            os.execvpe(
                "bash", ["bash", "--norc", "--noprofile", "--noediting"], os.environ | {"PATH": path, "PS1": PROMPT}
            )
        self.pid = pid
        self.lines: list[Line] = []
        self._begin = time.monotonic()
        self._pending = ""
        self.show_until(lambda: self._pending == PROMPT)

    def type(self, command: str) -> None:
        """As somebody would."""
        os.write(self._terminal, command.encode() + b"\n")
        self.show_until(lambda: bool(self.lines) and self.lines[-1].text == PROMPT + command)

    def show_until(self, is_enough: Callable[[], bool], *, seconds: float = 60) -> None:
        """Read what the terminal shows."""
        end = time.monotonic() + seconds
        while not is_enough():
            if time.monotonic() > end:
                raise TimeoutError(f"the terminal shows {self.lines} and {self._pending!r}")
            if select.select([self._terminal], [], [], 0.1)[0]:
                self._take(os.read(self._terminal, 4096).decode())

    def wait_for_prompt(self) -> None:
        """Read until the command has ended."""
        self.show_until(lambda: self._pending == PROMPT)

    def close(self) -> list[Line]:
        """End the shell; all that it showed."""
        os.write(self._terminal, b"exit\n")
        os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return self.lines

    def _take(self, text: str) -> None:
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._pending + text).replace("\r", "")
        *whole, self._pending = plain.split("\n")
        self.lines += [Line(time.monotonic() - self._begin, line) for line in whole]


# --- The drawing

WIDTH: Final = 700
_ROW: Final = 18
_TOP: Final = 46

_STYLE: Final = """
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d6dde6;white-space:pre}
.t{fill:#8b98a8;font-size:12px}.c{fill:#fff;font-weight:600}.k{fill:#ff8f85;font-weight:600}.d{fill:#7ee2a8;font-weight:600}
"""


@dataclass(frozen=True)
class Window:
    """A terminal on the drawing: its title, what it showed, where it begins, and how wide it is."""

    title: str
    lines: list[Line]
    left: int
    width: int


def draw(windows: list[Window], *, label: str, marks: dict[str, str]) -> str:
    """An SVG that plays what the windows showed; still, and complete, for readers who want no motion.

    :param marks: classes of lines, by a pattern that they match.
    """
    height = _TOP + _ROW * max(len(window.lines) for window in windows) + 4
    moments = sorted({line.second for window in windows for line in window.lines})
    body = "".join(_window(window, moments=moments, marks=marks) for window in windows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(label)}"><title>{escape(label)}</title>'
        f"<style>{_STYLE}{_motion(moments)}</style>{body}</svg>\n"
    )


def _motion(moments: list[float]) -> str:
    """Each line appears in its moment, again and again."""
    seconds = moments[-1] / SPEED + PAUSE
    rules = "".join(
        f".m{number}{{animation-name:m{number}}}"
        f"@keyframes m{number}{{0%{{opacity:0}}{moment / SPEED / seconds:.2%}{{opacity:1}}}}"
        for number, moment in enumerate(moments)
    )
    every = f"[class*=m]{{animation:{seconds:.1f}s step-end infinite}}"
    return f"@media (prefers-reduced-motion:no-preference){{{every}{rules}}}"


def _window(window: Window, *, moments: list[float], marks: dict[str, str]) -> str:
    height = _TOP + _ROW * len(window.lines) - 4
    left = window.left + 14
    frame = (
        f'<rect x="{window.left}" y="1" width="{window.width}" height="{height}" rx="8" fill="#161b22" stroke="#3d4754"/>'
        f'<text class="t" x="{left}" y="21">{escape(window.title)}</text>'
    )
    return frame + "".join(
        f'<text class="{_class_of(line.text, marks)} m{moments.index(line.second)}" x="{left}" y="{_TOP + _ROW * row}">'
        f"{escape(line.text)}</text>"
        for row, line in enumerate(window.lines)
    )


def _class_of(text: str, marks: dict[str, str]) -> str:
    return next((name for pattern, name in marks.items() if re.match(pattern, text)), "o")
