"""Servers that tests start: in a folder of their own, reached through a socket in it that only we know."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

PATIENCE: Final = 90
"""Seconds in which a server has to start, or to end: on a busy machine it takes its time."""


class Killable(Protocol):
    """A server that can be started, and killed."""

    def start(self) -> None:
        """Start it, and return when it answers."""

    def kill(self) -> object:
        """SIGKILL it."""


Server = TypeVar("Server", bound=Killable)


@contextmanager
def started_in_a_folder(make: Callable[[Path], Server]) -> Iterator[Server]:
    """A server in a temporary folder, started; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="spark-"))  # its path is short: that of a socket has at most 107 bytes
    server = None
    try:
        server = make(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens; it is held meanwhile, so that nobody else begins to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def await_socket(path: Path, process: subprocess.Popen[bytes], *, log: Path) -> None:
    """Return when a process listens on a socket.

    :raises TimeoutError: it has ended instead, or takes too long; with the end of its log.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        if process.poll() is not None or time.monotonic() > give_up:
            raise TimeoutError(f"{process.args!r} does not listen:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)
