"""A PostgreSQL server that can be killed or stopped at any instant, and started again; and replicas, which can be promoted."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psycopg

from tests.support.servers import PATIENCE, postgres_library, short_folder, started_in_a_folder

StopMode: TypeAlias = Literal["fast", "immediate"]


class KillableServer:
    """A server whose only way in is a socket in a folder of ours.

    :param folder: an existing one; its path is short, as that of a socket has at most 107 bytes.
    :param settings: more of the server's, as ``name=value``.
    """

    def __init__(self, folder: Path, *more: str) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        wheel = postgres_library().get_server(self._data, start=False)
        wheel.ensure_pgdata_inited()
        settings = ["listen_addresses=", "recovery_init_sync_method=syncfs", *more]  # all at once, not file by file
        self._programs = wheel.bin_path
        self._command = [wheel.bin_path / "postgres", "-D", self._data, "-k", self._data]
        self._command += [part for setting in settings for part in ("-c", setting)]
        self._user = wheel.system_user
        self._postmaster: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"postgresql://postgres@/postgres?host={self.socket}"

    @property
    def socket(self) -> Path:
        """The folder of its socket, which is its host."""
        return self._data

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._postmaster is not None

    @property
    def user(self) -> str | None:
        """The system's user as which it runs; None for that of this process."""
        return self._user

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"spark_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")

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

    def stop(self, mode: StopMode) -> None:
        """Shut it down as ``pg_ctl stop`` does, and return when it is gone. Immediate: as in a crash, but nobody is killed."""
        assert self._postmaster is not None
        self._postmaster.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        self._postmaster.wait(PATIENCE)
        self._postmaster = None

    def make_replica(self, folder: Path) -> KillableServer:
        """A server in this folder that follows this one, not started yet."""
        if self._user is not None:
            shutil.chown(folder, self._user)
        copy = [self._programs / "pg_basebackup", "-D", folder / "data", "-h", self.socket, "-U", "postgres"]
        subprocess.run([*copy, "-R", "-c", "fast"], user=self._user, check=True, capture_output=True, timeout=PATIENCE)
        (folder / "data" / ".s.PGSQL.5432.lock").unlink()  # which says that this server uses the replica's socket
        return KillableServer(folder)

    def promote(self) -> None:
        """Make a primary of a replica, and return when it takes writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, run on a connection of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

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


def killable_server(*settings: str) -> AbstractContextManager[KillableServer]:
    """A server in a temporary folder, started; nothing of it is left afterwards."""
    return started_in_a_folder(lambda folder: KillableServer(folder, *settings))


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


@contextmanager
def replicated_server(*settings: str) -> Iterator[tuple[KillableServer, KillableServer]]:
    """The same, and a replica of it, started as well."""
    folder = short_folder()
    folder.chmod(0o755)
    replica = None
    with killable_server(*settings) as primary:
        try:
            replica = primary.make_replica(folder)
            replica.start()
            yield primary, replica
        finally:
            if replica is not None:
                replica.kill()
            shutil.rmtree(folder, ignore_errors=True)
