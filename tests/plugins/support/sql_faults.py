"""Ways in which a connection to PostgreSQL can fail, made to happen at a chosen moment."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal

Fault = Literal["answer", "request"]
SYNC = b"S\0\0\0\x04"
"""PostgreSQL's message at the end of statements that are sent in one piece."""


class LossyProxy:
    """Stands before a PostgreSQL socket, and loses what the test tells it to.

    :param folder: where to listen; its path is short.
    :param server: the folder of the server's own socket.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self._server = str(server / ".s.PGSQL.5432")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.faults: list[Fault] = []
        """For the COMMITs of writes to come: lose its answer, or the COMMIT itself; and the connection with it."""
        self.lost = 0
        """How many were lost so far."""
        self._start(self._accept)

    def close(self) -> None:
        """Cut every connection, and stop."""
        for each in (self._listening, *self._sockets):
            _cut(each)
        for thread in self._threads:
            thread.join(5)

    def _start(self, target, *arguments) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                self._start(self._forward_requests, client, server)

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        losing, has_begun, has_written = threading.Event(), False, False
        self._start(self._forward_answers, client, server, losing)
        with suppress(OSError):
            while request := client.recv(65536):
                has_begun = has_begun or b"BEGIN ISOLATION" in request
                has_written = has_written or b"INSERT INTO" in request or b"DELETE FROM" in request
                # What is sent in one piece, outside of BEGIN, commits without a word, at its end.
                is_commit = has_written and (b"COMMIT\0" if has_begun else SYNC) in request
                if is_commit:
                    has_begun = has_written = False
                if is_commit and self.faults:
                    fault = self.faults.pop(0)
                    self.lost += 1
                    losing.set()
                    if fault == "request":
                        break
                server.sendall(request)
                if losing.is_set():
                    return  # the other direction reads the answer, and cuts
        _cut(client)
        _cut(server)

    def _forward_answers(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while answer := server.recv(65536):
                if losing.is_set():
                    break
                client.sendall(answer)
        _cut(client)
        _cut(server)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
