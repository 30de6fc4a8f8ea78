"""An S3 server as a process of its own: ``python -m tests.plugins.support.s3.moto``.

It listens on a free port of 127.0.0.1, writes that port as a line, and ends when its standard input does: so it never
outlives whoever started it, however that one ended.

What answers is moto. The server around it is ours, for two reasons. It takes one request at a time, where moto's own
looks whether a key exists and writes it in two moves that threads can interleave: S3 promises that a conditional write
is one decision. And it keeps connections open, as S3 does and moto's own server never.

Time passes as a test wants: in a request with the header of ``AHEAD``, it is so many seconds later.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from moto.core.utils import utcnow
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3 import models

from tests.plugins.support.s3.http import AHEAD, LONGEST_HEAD, Message, read_request


class MotoServer:
    """Answers S3 requests, one after the other."""

    def __init__(self) -> None:
        self._application = create_backend_app("s3")
        self._ahead = timedelta(0)
        models.utcnow = self._now

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until the client closes it."""
        try:
            while request := await read_request(reader, writer):
                writer.write(self._answer_to(request).encoded())
                await writer.drain()
        except ConnectionError:
            pass  # the client left; its request counts all the same
        finally:
            writer.close()

    def _answer_to(self, request: Message) -> Message:
        self._ahead = timedelta(seconds=float(request.header(AHEAD.lower()) or 0))
        head: list[Any] = []
        body = b"".join(
            self._application(_environ(request), lambda status, headers, *_: head.extend([status, headers]))
        )
        status, headers = head
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "date")]
        kept.append(("Date", format_datetime(self._now().replace(tzinfo=UTC), usegmt=True)))
        # A HEAD is answered with the length of what a GET would return.
        length = dict(headers).get("content-length", str(len(body))) if request.method == "HEAD" else str(len(body))
        return Message(f"HTTP/1.1 {status}", [*kept, ("Content-Length", length)], body)

    def _now(self) -> datetime:
        return utcnow() + self._ahead


def _environ(request: Message) -> dict[str, Any]:
    """A request as WSGI has it."""
    path, _, query = request.target.partition("?")
    environ = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(request.body)),
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ


async def main() -> None:
    server = await asyncio.start_server(MotoServer().serve, "127.0.0.1", 0, limit=LONGEST_HEAD)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    await server.serve_forever()


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # at once, whatever connections are still open


if __name__ == "__main__":
    asyncio.run(main())
