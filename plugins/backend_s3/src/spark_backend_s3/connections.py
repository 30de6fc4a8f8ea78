"""The connections to a store: one filesystem of s3fs for each event loop, closed when the loop ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import lru_cache, partial
from threading import Lock
from typing import Any, Final
from weakref import finalize

from aiobotocore.session import AioSession
from botocore.loaders import Loader, create_loader
from s3fs import S3FileSystem

from spark.errors import BackendError
from spark.graphs.checkpoint.storage import renew_after_fork, run_blocking
from spark_backend_s3.location import Location

_POOL: Final = 64
_LONGEST_CONNECT: Final = 5.0
_BESIDE_AWS: Final = {
    # Such stores seldom have a host name for each bucket; all of them know paths.
    "s3": {"addressing_style": "path"},
    # Many don't know the checksums that clients send by now after the content; a record carries its own.
    "request_checksum_calculation": "when_required",
}


class Connections:
    """Filesystems on demand; their HTTP sessions belong to the event loop in which they were opened, and end with it."""

    def __init__(self, location: Location, *, read_timeout: float) -> None:
        self._location = location
        self._read_timeout = read_timeout
        self._open: dict[asyncio.AbstractEventLoop, _Connection] = {}
        self._inherited: list[_Connection] = []
        self._lock = Lock()
        self._is_closed = False
        # Collected together with all this, sessions would complain that nobody closed them.
        finalize(self, _close_soon, self._open).atexit = False
        renew_after_fork(self)

    async def filesystem(self) -> S3FileSystem:
        """The filesystem of the running event loop, connected.

        :raises BackendError: the backend was closed.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._is_closed:
                raise _closed()
            connection = self._open.get(loop)
            if connection is None:
                connection = self._open[loop] = _Connection(
                    self._location, read_timeout=self._read_timeout, ended=partial(self._open.pop, loop, None)
                )
        return connection.filesystem or await connection.opened()

    async def endpoint(self) -> str:
        """The URL that requests go to."""
        return str((await self.filesystem()).s3.meta.endpoint_url)

    async def close(self) -> None:
        """Close the connections of this event loop, and have those of others closed; nothing can be opened afterwards."""
        with self._lock:
            self._is_closed = True
            open_ones = dict(self._open)
            self._open.clear()
        here = asyncio.get_running_loop()
        mine = open_ones.pop(here, None)
        _close_soon(open_ones)
        if mine is not None:
            await mine.close()

    def after_fork(self) -> None:
        """In a child process: forget the connections, whose sockets are the parent's. Closing them would end those as well."""
        self._inherited += self._open.values()
        self._open.clear()
        self._lock = Lock()


def _close_soon(connections: dict[asyncio.AbstractEventLoop, _Connection]) -> None:
    """Have each closed in its own event loop. Should that not run any more, its end has closed what it opened, or will."""
    for loop, connection in [*connections.items()]:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(connection.close_soon)


class _Connection:
    """The filesystem of one event loop."""

    def __init__(self, location: Location, *, read_timeout: float, ended: Callable[[], object]) -> None:
        self._location = location
        self._read_timeout = read_timeout
        self._ended = ended
        self._opening = asyncio.Lock()
        self._life: AsyncGenerator[S3FileSystem, None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._is_closed = False
        self.filesystem: S3FileSystem | None = None

    async def opened(self) -> S3FileSystem:
        async with self._opening:
            if self._is_closed:
                raise _closed()
            if self.filesystem is None:
                self._life = self._lived()
                self.filesystem = await anext(self._life)
        return self.filesystem

    async def close(self) -> None:
        self._is_closed = True
        async with self._opening:  # what is being opened can't be closed before it is open
            if self._life is not None:
                await self._life.aclose()

    def close_soon(self) -> None:
        self._closing = asyncio.get_running_loop().create_task(self.close())

    async def _lived(self) -> AsyncGenerator[S3FileSystem, None]:
        # A generator, because an event loop that ends closes those that were begun in it (`shutdown_asyncgens`): so the
        # session ends in its own loop even if nobody closes the backend.
        session = await run_blocking(_new_session, self._location.profile)
        filesystem = _new_filesystem(self._location, session, read_timeout=self._read_timeout)
        client = await filesystem.set_session()
        try:
            yield filesystem
        finally:
            self.filesystem = None
            self._ended()
            await client.close()


def _closed() -> BackendError:
    return BackendError("The s3 backend is closed and can't be used any more; make a new one.")


def _new_filesystem(location: Location, session: AioSession, *, read_timeout: float) -> S3FileSystem:
    filesystem = S3FileSystem(
        session=session,
        key=location.key,
        secret=location.secret,
        token=location.token,
        endpoint_url=location.endpoint_url,
        client_kwargs={"region_name": location.region} if location.region else {},
        config_kwargs=_configuration(location, read_timeout=read_timeout),
        asynchronous=True,
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    # Requests are tried again in one place only, `calls.py`, which has to know of each that was sent.
    filesystem.retries = 1
    return filesystem


def _new_session(profile: str | None) -> AioSession:
    session = AioSession(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@lru_cache(maxsize=4)
def _loader(data_path: str | None) -> Loader:
    """What botocore knows of S3: read from disk once in a process, as it takes as long as many requests."""
    return create_loader(data_path)


def _configuration(location: Location, *, read_timeout: float) -> dict[str, Any]:
    return {
        "connect_timeout": min(_LONGEST_CONNECT, read_timeout),
        "read_timeout": read_timeout,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "max_pool_connections": _POOL,
        "warm_up_loader_caches": True,  # read from disk in a thread, not on the event loop
        **(_BESIDE_AWS if location.endpoint_url else {}),
    }
