"""A real MariaDB server of Debian's packages, reached through a socket that only we know; it can be killed and started again."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

from tests.support.servers import PATIENCE, await_socket, started_in_a_folder

NEEDED = "needs a MariaDB server, and its driver: apt-get install mariadb-server; pip install pymysql"


def is_installed() -> bool:
    """Whether a server can be started here."""
    from importlib.util import find_spec

    return all(map(shutil.which, ("mariadbd", "mariadb-install-db"))) and find_spec("pymysql") is not None


class MariadbServer:
    """A server of our own.

    :param folder: of its data, its log and its socket; its path is short.
    :param settings: what it is started with, as ``--name=value``.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder = folder
        self._socket = folder / "s"
        self._log = folder / "log"
        data = folder / "data"
        self._command = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={self._socket}"]
        self._command += [
            f"--pid-file={folder / 'pid'}",
            "--skip-networking",
            "--innodb-buffer-pool-size=64M",
            *settings,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        if not data.exists():
            install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
            subprocess.run(
                [*install, "--auth-root-authentication-method=normal"],
                check=True,
                capture_output=True,
                timeout=PATIENCE,
            )

    def start(self) -> None:
        """Start it, and return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        await_socket(self._socket, self._process, log=self._log)
        self._make_database()

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    @property
    def url(self) -> str:
        """Of its database, in which text is not UTF-8 by default."""
        return f"mariadb://root@/spark?unix_socket={self._socket}"

    def run(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement in that database, run on a connection of its own."""
        import pymysql

        with closing(pymysql.connect(unix_socket=str(self._socket), user="root", database="spark")) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            connection.commit()
            return list(cursor.fetchall())

    def _make_database(self) -> None:
        import pymysql

        with closing(pymysql.connect(unix_socket=str(self._socket), user="root")) as connection:
            connection.cursor().execute("CREATE DATABASE IF NOT EXISTS spark CHARACTER SET latin1")


def running_mariadb(*settings: str) -> AbstractContextManager[MariadbServer]:
    """A server in a temporary folder, started; nothing of it is left afterwards."""
    return started_in_a_folder(lambda folder: MariadbServer(folder, *settings))
