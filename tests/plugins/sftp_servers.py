"""An SSH server with SFTP on loopback, one for each test process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import asyncssh

USER, PASSWORD = "spark", "hunter-2-secret"


@dataclass
class SftpServer:
    """Where it listens, and how many clients are connected."""

    port: int
    connections: set[asyncssh.SSHServerConnection]
    loop: asyncio.AbstractEventLoop

    def url(self, path: Path, *, password: str = PASSWORD) -> str:
        """The URL of a folder of this machine, seen through the server."""
        return f"sftp://{USER}:{password}@127.0.0.1:{self.port}{path}"

    def hang_up(self) -> None:
        """Cut every connection off, as a server that is restarted does."""
        for connection in list(self.connections):
            self.loop.call_soon_threadsafe(connection.abort)


def running_sftp_server() -> Iterator[SftpServer]:
    """The server, in a thread of its own until the iterator is closed."""
    started: Future[SftpServer] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(started, stop)), name="sftp-server")
    thread.start()
    try:
        yield started.result(20)
    finally:
        stop.set()
        thread.join(20)


async def _serve(started: Future[SftpServer], stop: threading.Event) -> None:
    connections: set[asyncssh.SSHServerConnection] = set()

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self.connection = conn
            connections.add(conn)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.discard(self.connection)

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    key = asyncssh.generate_private_key("ssh-ed25519")
    async with asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[key], gss_host=None, sftp_factory=True
    ) as server:
        started.set_result(SftpServer(server.get_port(), connections, asyncio.get_running_loop()))
        await asyncio.to_thread(stop.wait)
        for connection in list(connections):
            connection.abort()
