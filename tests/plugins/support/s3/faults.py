"""Ways in which S3 can fail, made to happen to chosen requests by a proxy before a real server."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tests.plugins.support.s3.http import AHEAD, LONGEST_HEAD, Message, read_answer, read_request

PATIENCE = 30
"""Seconds in which connections have to end whose client is gone."""
Kind = Literal["PUT", "GET", "HEAD", "LIST", "DELETE", "DELETE MANY", "OTHER"]


@dataclass(frozen=True)
class Fault:
    """What becomes of one request."""

    reaches: Literal["at once", "never", "late"]
    """Whether the server gets the request: late means after others that were sent after it."""
    ends: Literal["answer", "error", "reset", "hang", "truncate", "trickle"]
    """What the client sees: the server's answer, an error in its place, a connection reset, nothing, half, or drops."""
    status: int = 0
    code: str = ""
    """Of the error."""
    behind: int = 0
    """So many requests that come later overtake a late one."""
    pause: float = 0.001
    """Seconds between the drops of an answer that trickles."""


def refusal(status: int, code: str) -> Fault:
    """An error that the client gets, of a request that the server never saw."""
    return Fault("never", "error", status, code)


PASS = Fault("at once", "answer")
INTERNAL_ERROR = refusal(500, "InternalError")
SLOW_DOWN = refusal(503, "SlowDown")
CONFLICT = refusal(409, "ConditionalRequestConflict")
RESET = Fault("never", "reset")
LOST_ANSWER = Fault("at once", "reset")
ERROR_AFTERWARDS = Fault("at once", "error", 500, "InternalError")
HANG = Fault("never", "hang")
HANG_AFTERWARDS = Fault("at once", "hang")
LATE = Fault("late", "hang")
TRUNCATED = Fault("at once", "truncate")
TRICKLE = Fault("at once", "trickle")

Schedule = Callable[[Kind], Fault]
"""Decides on each request as it comes."""


def in_order(*faults: Fault, only: Kind | None = None) -> Schedule:
    """These faults, one for each request (of a kind); then none."""
    left = list(faults)
    return lambda kind: left.pop(0) if left and only in (None, kind) else PASS


class AtRandom:
    """Faults that suit each request; and now and then an outage, in which no request gets through, so that a client gives up.

    :param rate: how many requests fail, between 0 and 1.
    """

    def __init__(self, chance: random.Random, *, rate: float) -> None:
        self._chance = chance
        self._rate = rate
        self._outage = 0

    def __call__(self, kind: Kind) -> Fault:
        self._outage -= 1
        if self._outage < 0 and self._chance.random() < self._rate / 20:
            self._outage = self._chance.randrange(4, 20)
        if self._outage >= 0:
            return self._chance.choice([INTERNAL_ERROR, SLOW_DOWN, RESET])
        if self._chance.random() >= self._rate:
            return PASS
        # Those that hang are rare, as each takes a client's whole patience.
        return self._hanging() if self._chance.random() < 0.05 else self._quick(kind)

    def _quick(self, kind: Kind) -> Fault:
        suitable = [INTERNAL_ERROR, SLOW_DOWN, RESET, LOST_ANSWER, ERROR_AFTERWARDS, TRICKLE, self._late("reset")]
        suitable += {"PUT": [CONFLICT], "GET": [TRUNCATED], "LIST": [TRUNCATED]}.get(kind, [])
        return self._chance.choice(suitable)

    def _hanging(self) -> Fault:
        return self._chance.choice([HANG, HANG_AFTERWARDS, self._late("hang")])

    def _late(self, ends: Literal["reset", "hang"]) -> Fault:
        return Fault("late", ends, behind=self._chance.randrange(8))


@dataclass(frozen=True)
class Request:
    """One request that came by."""

    kind: Kind
    target: str
    fault: Fault


class FaultyProxy:
    """Stands before an S3 server, counts what comes by, and does to it what its schedule says."""

    def __init__(self, endpoint_url: str, schedule: Schedule) -> None:
        place = urlsplit(endpoint_url)
        self._server = (place.hostname or "127.0.0.1", place.port or 80)
        self._connections: set[asyncio.Task[None]] = set()
        self._late: list[tuple[int, Message]] = []
        self._seen = 0
        self.schedule = schedule
        self.requests: list[Request] = []
        """All that came so far, in order."""
        self.endpoint_url = ""
        self.ahead = 0.0
        """Seconds that the server's clock is ahead of its own, where it lets us say so."""

    def take_counts(self) -> Counter[Kind]:
        """How many requests of each kind came since the last call."""
        counts = Counter(request.kind for request in self.requests)
        self.requests.clear()
        return counts

    async def deliver(self) -> None:
        """Let the server have what is still on its way, late as it is."""
        await self._deliver_late(up_to=math.inf)

    @asynccontextmanager
    async def listening(self) -> Iterator[FaultyProxy]:
        """Accept connections on a free port of 127.0.0.1; afterwards, what was sent late has arrived.

        The clients are closed first: connections that are still open are cut after a while.
        """
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LONGEST_HEAD)
        self.endpoint_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            listener.close()
            await _end_all(self._connections)
            await self.deliver()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = Upstream(*self._server)
        try:
            while request := await read_request(reader, writer):
                if self.ahead:
                    request.headers.append((AHEAD, str(self.ahead)))
                fault = self._note(request)
                answer = await server.ask(request) if fault.reaches == "at once" else None
                await self._deliver_late(up_to=self._seen)
                if not await _end(fault, request=request, answer=answer, reader=reader, writer=writer):
                    break
        except ConnectionError:
            pass  # the client left
        finally:
            server.close()
            writer.close()

    def _note(self, request: Message) -> Fault:
        kind = kind_of(request)
        fault = self.schedule(kind)
        self._seen += 1
        self.requests.append(Request(kind, request.target, fault))
        if fault.reaches == "late":
            self._late.append((self._seen + fault.behind, request))
        return fault

    async def _deliver_late(self, *, up_to: float) -> None:
        due = [request for turn, request in self._late if turn <= up_to]
        self._late = [(turn, request) for turn, request in self._late if turn > up_to]
        for request in due:
            with closing(Upstream(*self._server)) as server:
                await server.ask(request)


async def _end_all(connections: set[asyncio.Task[None]]) -> None:
    left = list(connections)
    if left:
        await asyncio.wait(left, timeout=PATIENCE)
    for connection in left:
        connection.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _end(
    fault: Fault,
    *,
    request: Message,
    answer: Message | None,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    """Let the client see what the fault says; whether the connection goes on."""
    if fault.ends == "hang":
        with suppress(ConnectionError):
            await reader.read()  # until the client's patience ends
        return False
    if fault.ends == "reset" or (answer is None and fault.ends != "error"):
        _reset(writer)
        return False
    whole = (error_answer(fault, request) if fault.ends == "error" or answer is None else answer).encoded()
    if fault.ends == "truncate":
        writer.write(whole[: -max(1, len(answer.body if answer else b"") // 2)])
        await writer.drain()
        return False
    pieces = _pieces(whole) if fault.ends == "trickle" else [whole]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if fault.ends == "trickle":
            await asyncio.sleep(fault.pause)  # slowness is the point
    return True


def _pieces(whole: bytes, count: int = 8) -> list[bytes]:
    size = len(whole) // count + 1
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _reset(writer: asyncio.StreamWriter) -> None:
    # Closed with this, a socket answers with RST instead of FIN.
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Upstream:
    """A connection to the server, opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Message) -> Message | None:
        """The server's answer, or None when it gave none."""
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(*self._place, limit=LONGEST_HEAD)
        reader, writer = self._streams
        writer.write(request.encoded())
        answer = await read_answer(reader, to=request)
        if answer is None or answer.header("connection").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Close it, if it is open."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def error_answer(fault: Fault, request: Message) -> Message:
    """An error as S3 words it."""
    body = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>injected</Message></Error>".encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    return Message(f"HTTP/1.1 {fault.status} {fault.code}", headers, b"" if request.method == "HEAD" else body)


def kind_of(request: Message) -> Kind:
    """What S3 calls a request, by its method and its query."""
    path, _, query = request.target.partition("?")
    is_of_bucket = path.strip("/").count("/") == 0
    match request.method:
        case "PUT" | "HEAD" | "DELETE" if not is_of_bucket and "uploadId=" not in query:
            return request.method  # type: ignore[return-value]
        case "GET":
            return "LIST" if is_of_bucket else "GET"
        case "POST" if is_of_bucket and query.startswith("delete"):
            return "DELETE MANY"
    return "OTHER"
