"""Backends over the tests' S3 server, with a look at the requests that they make, and a hold on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from spark.graphs import Clock
from spark_backend_s3 import S3CheckpointBackend, Trust
from spark_backend_s3.calls import RetryBudget
from spark_testing import FakeClock
from tests.plugins.support.s3.servers import S3Server

AT_ONCE = -10.0
"""As ``grace``: everything that was written counts as old."""


@dataclass
class Gate:
    """Sees each request of a backend before it is sent, and stops it where it is told to."""

    requests: list[str] = field(default_factory=list)
    """``"put_object"``, ``"list_objects_v2"``…, in order."""
    stop_before: int = -1
    """The number of the request that waits, counted from 0."""
    is_stopped: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self, method: str) -> None:
        number = len(self.requests)
        self.requests.append(method)
        if number == self.stop_before:
            self.is_stopped.set()
            await self.may_go_on.wait()


def open_store(server: S3Server, bucket: str, prefix: str = "runs", **options: Any) -> S3CheckpointBackend:
    """A backend of this bucket."""
    given = {"endpoint_url": server.endpoint_url, "region": server.region, "key": server.key, "secret": server.secret}
    return S3CheckpointBackend(bucket, prefix, **given | options)


def trusting(*, grace: float = 60.0, window: float = 10.0, batch: int = 100, clock: Clock | None = None) -> Trust:
    """An idea of time for a backend, whose own clock stands still if none is given."""
    return Trust(grace=grace, window=window, batch=batch, clock=clock or FakeClock(1000.0))


def set_timeout(backend: S3CheckpointBackend, seconds: float) -> None:
    """Give a backend that has reached its store another bound for each request."""
    _set_budget(backend, RetryBudget(seconds, random=Random()))


def set_attempts(backend: S3CheckpointBackend, count: int) -> None:
    """Have a backend that has reached its store try each request so often, however long that takes on a busy machine."""
    _set_budget(backend, _Attempts(count))


def _set_budget(backend: S3CheckpointBackend, budget: RetryBudget) -> None:
    backend._objects._budget = budget
    budget.note_answer()


class _Attempts(RetryBudget):
    """After so many failures, no time is left for the next pause."""

    def __init__(self, count: int) -> None:
        super().__init__(90, random=Random())
        self._count = count

    def pause(self, tried: int) -> float:
        return 0 if tried < self._count else 90


def list_at_most(backend: S3CheckpointBackend, most: int) -> None:
    """Have a backend's store list so many objects at a time, as a store may that is asked for more."""
    call: Callable[..., Awaitable[Any]] = backend._objects._call

    async def bounded(method: str, **arguments: Any) -> Any:
        if "MaxKeys" in arguments:
            arguments["MaxKeys"] = min(arguments["MaxKeys"], most)
        return await call(method, **arguments)

    backend._objects._call = bounded  # type: ignore[method-assign]


def give_up_soon(backend: S3CheckpointBackend, method: str, *, only: int | None = None) -> None:
    """Have a backend leave requests that hang after a moment, and give all others as long as a busy machine takes.

    :param method: of the requests that hang, such as ``"put_object"``.
    :param only: the number of the one that does, counted from 0.
    """
    numbers = count()
    call: Callable[..., Awaitable[Any]] = backend._objects._call

    async def hurried(name: str, **arguments: Any) -> Any:
        hangs = name == method and only in (None, next(numbers))
        async with asyncio.timeout(0.5 if hangs else None):
            return await call(name, **arguments)

    backend._objects._call = hurried  # type: ignore[method-assign]


def watch(backend: S3CheckpointBackend, *, stop_before: int = -1) -> Gate:
    """Put a gate between a backend and its store."""
    gate = Gate(stop_before=stop_before)
    call: Callable[..., Awaitable[Any]] = backend._objects._call

    async def watched(method: str, **arguments: Any) -> Any:
        await gate.pass_through(method)
        return await call(method, **arguments)

    backend._objects._call = watched  # type: ignore[method-assign]
    return gate
