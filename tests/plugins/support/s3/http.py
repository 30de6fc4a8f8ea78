"""HTTP/1.1 messages as the test server and the fault-injecting proxy read and write them: whole, with their body."""

from __future__ import annotations

from asyncio import IncompleteReadError, StreamReader, StreamWriter
from dataclasses import dataclass

AHEAD = "X-Test-Ahead"
"""A header of a request: for this one, the clock of the test server is so many seconds ahead."""
LONGEST_HEAD = 1 << 20
"""Bytes: the limit for the reader of a connection."""


@dataclass(frozen=True)
class Message:
    """A request or an answer."""

    start: str
    """Its first line."""
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header whose name is written in lower case; empty when there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def method(self) -> str:
        """Of a request."""
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        """Path and query of a request, as they came."""
        return self.start.split(" ", 2)[1]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.start.split(" ", 2)[1])

    def encoded(self) -> bytes:
        """As it goes over the wire."""
        head = "\r\n".join([self.start, *(f"{name}: {value}" for name, value in self.headers)])
        return head.encode("latin-1") + b"\r\n\r\n" + self.body


async def read_request(reader: StreamReader, writer: StreamWriter) -> Message | None:
    """The next request on a connection, or None when there is no further whole one.

    A client that waits for leave to send its body is given it, and the header that asked is left out.
    """
    head = await _read_head(reader)
    if head is None:
        return None
    if head.header("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        kept = [(name, value) for name, value in head.headers if name.lower() != "expect"]
        head = Message(head.start, kept, b"")
    return await _with_body(reader, head)


async def read_answer(reader: StreamReader, *, to: Message) -> Message | None:
    """The answer to a request, or None when the server closed the connection first."""
    head = await _read_head(reader)
    if head is None or to.method == "HEAD" or head.status in (204, 304):
        return head
    return await _with_body(reader, head)


async def _read_head(reader: StreamReader) -> Message | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (IncompleteReadError, ConnectionError):
        return None
    start, *lines = head.decode("latin-1").strip().split("\r\n")
    fields = (line.partition(":") for line in lines)
    return Message(start, [(name, value.strip()) for name, _, value in fields], b"")


async def _with_body(reader: StreamReader, head: Message) -> Message | None:
    try:
        if head.header("transfer-encoding").lower() == "chunked":
            return _with_length(head, await _read_chunks(reader))
        length = int(head.header("content-length") or 0)
        return Message(head.start, head.headers, await reader.readexactly(length))
    except (IncompleteReadError, ConnectionError):
        return None


async def _read_chunks(reader: StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # a trailer
    return b"".join(chunks)


def _with_length(head: Message, body: bytes) -> Message:
    kept = [(name, value) for name, value in head.headers if name.lower() != "transfer-encoding"]
    return Message(head.start, [*kept, ("Content-Length", str(len(body)))], body)
