"""A real terminal of any size, and what a command writes to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep
from typing import TextIO

from spark_cli.main import main
from tests.plugins.support.command_line import Done

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A pseudo-terminal, whose output is read all the time."""

    def __init__(self, width: int, height: int) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._read = bytearray()
        self._reader = Thread(target=self._read_all, daemon=True)
        self._reader.start()

    def stream(self) -> TextIO:
        """What is written to it."""
        return os.fdopen(os.dup(self.slave), "w", encoding="utf-8", newline="")

    @property
    def text(self) -> str:
        """What it was told so far."""
        return self._read.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_for(self, text: str) -> None:
        """Look until it was told this, in any colours."""
        end = monotonic() + 60
        while text not in COLOUR.sub("", self.text):
            assert monotonic() < end, self.text
            sleep(0.02)

    def close(self) -> str:
        """All that was written to it."""
        os.close(self.slave)
        self._reader.join(60)
        os.close(self.master)
        return self.text

    def _read_all(self) -> None:
        with contextlib.suppress(OSError):  # nobody writes to it any more
            while read := os.read(self.master, 65536):
                self._read += read


@contextmanager
def terminal(width: int = 80, height: int = 24) -> Iterator[Terminal]:
    made = Terminal(width, height)
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            made.close()


def spark_on_terminal(*arguments: str, width: int = 80, height: int = 24) -> Done:
    """Call the command within this process, its output on a terminal; ``out`` has both streams, ``err`` is empty."""
    made, code = Terminal(width, height), None
    with made.stream() as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code
    return Done(code, made.close(), "")


def plain_lines(text: str) -> list[str]:
    """The lines without their colours."""
    return COLOUR.sub("", text).splitlines()
