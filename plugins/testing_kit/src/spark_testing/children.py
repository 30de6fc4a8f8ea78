"""Work in child processes that answer one question, or that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

Tell = Callable[[str], None]
"""Says one line to the parent."""
Work = Callable[[Tell], Awaitable[Any]]

_FAILED: Final = "failed: "


@dataclass
class Child:
    """A forked process that runs a coroutine in an event loop of its own, and says lines."""

    pid: int
    _lines: Any
    """The other end of its pipe, by lines."""

    @classmethod
    def start(cls, work: Work) -> Child:
        """Fork; what the coroutine raises is the last line that the child says."""
        readable, writable = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the parent's threads do not matter to the child
            pid = os.fork()
        if pid == 0:
            os.close(readable)
            _be_a_child(work, writable)
        os.close(writable)
        return cls(pid, os.fdopen(readable, encoding="utf-8"))

    def next_line(self) -> str:
        """The next line that it says; empty when it has ended.

        :raises AssertionError: its work failed.
        """
        line: str = self._lines.readline().rstrip("\n")
        assert not line.startswith(_FAILED), f"a child process {line}"
        return line

    def kill(self) -> list[str]:
        """Kill it with SIGKILL; what it had said until then."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> list[str]:
        """What it still says until its end."""
        lines = []
        try:
            while line := self.next_line():
                lines.append(line)
        finally:
            self._lines.close()
            os.waitpid(self.pid, 0)
        return lines


def _be_a_child(work: Work, writable: int) -> None:
    def tell(line: str) -> None:
        os.write(writable, f"{line}\n".encode())

    try:
        asyncio.run(_bounded(work, tell))
    except BaseException as error:
        tell(f"{_FAILED}{type(error).__name__}: {str(error) or repr(error)}".replace("\n", " "))
    finally:
        os._exit(0)


async def _bounded(work: Work, tell: Tell) -> None:
    # A backend that does not survive a fork may hang, and nobody would notice.
    async with asyncio.timeout(30):
        await work(tell)
