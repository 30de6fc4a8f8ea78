"""The view, served as `spark ui` serves it: by uvicorn, on a loopback port; here from a thread of the tests' process."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message

from spark.graphs.checkpoint import CheckpointBackend
from spark_ui.access.store import utc_now
from spark_ui.app import create_app
from spark_ui.serving import new_server

TOKEN = "token-of-the-tests-0123456789"


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Served:
    """A view that is served, and what a browser would send to it."""

    port: int
    token: str
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What `spark ui` prints."""
        return f"{self.base}/?token={self.token}"

    def open(self) -> Served:
        """Open the printed address, and keep the cookie."""
        answer = self.ask(f"/?token={self.token}")
        assert answer.status == 303, answer.text
        name, _, value = str(answer.headers["set-cookie"]).partition(";")[0].partition("=")
        self.cookies[name] = value
        return self

    def get(self, path: str) -> Answer:
        """A page, which is there."""
        answer = self.ask(path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.text}"
        return answer

    def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, path, body, ({"Cookie": cookie} if cookie else {}) | dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


@contextmanager
def serving(
    store: CheckpointBackend | str,
    *,
    allow_changes: bool = False,
    clock: Callable[[], datetime] = utc_now,
    token: str = TOKEN,
    port: int = 0,
) -> Iterator[Served]:
    """Serve the view of a store until the end of the block, and end as after Ctrl-C.

    :param port: a free one by default.
    """
    app = create_app(store, token=token, allow_changes=allow_changes, clock=clock)
    server = new_server(app)
    with socket.create_server(("127.0.0.1", port)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="spark ui", daemon=True)
        thread.start()
        try:
            yield Served(port, token)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server did not end"
