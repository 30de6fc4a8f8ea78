"""An SSH server with SFTP on loopback, in a process of its own; it ends when its standard input does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncssh

USER, PASSWORD = "spark", "hunter-2-secret"


class SftpServer:
    """The server as tests see it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.plugins.support.sftp_servers"],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._answer())

    def url(self, path: Path, *, password: str = PASSWORD) -> str:
        """The URL of a folder of this machine, seen through the server."""
        return f"sftp://{USER}:{password}@127.0.0.1:{self.port}{path}"

    def connections(self) -> int:
        """How many clients are connected."""
        return int(self._ask("count"))

    def hang_up(self) -> None:
        """Cut every connection off, as a server that is restarted does."""
        self._ask("hang up")

    def stop(self) -> None:
        """End the process."""
        try:
            self._process.communicate(timeout=200)
        finally:
            self._process.kill()
            self._process.wait()

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def running_sftp_server() -> Iterator[SftpServer]:
    """The server, until the iterator is closed."""
    server = SftpServer()
    try:
        yield server
    finally:
        server.stop()


class _Gate(asyncssh.SSHServer):
    """Lets one user in, and knows who is there."""

    connected: set[asyncssh.SSHServerConnection] = set()  # noqa: RUF012 - of the whole process

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self.connected.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connected.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


async def _serve() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    async with asyncssh.listen(
        "127.0.0.1", 0, server_factory=_Gate, server_host_keys=[key], gss_host=None, sftp_factory=True
    ) as server:
        print(server.get_port(), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line == "hang up\n":
                _hang_up()
            print(len(_Gate.connected), flush=True)
        _hang_up()  # or a client that stays connected would be waited for


def _hang_up() -> None:
    for connection in list(_Gate.connected):
        connection.abort()


if __name__ == "__main__":
    asyncio.run(_serve())
