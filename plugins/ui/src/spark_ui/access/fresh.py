"""A view of the whole store, which takes a while to read: read once for all who ask, and kept for a short time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

View = TypeVar("View")

_QUICK: Final = 0.1
"""Seconds that reading may take for everybody to wait for it, each time."""
_SHARE: Final = 10
"""Reading takes a tenth of the time at most, however often somebody asks."""
_STALE: Final = 60.0
"""Seconds after which a view is too old to be shown while the next one is read."""


class Fresh(Generic[View]):
    """A view of a store, as fresh as can be had at once.

    Those who look at a small store see it as it is. For one with many graphs the last view is given at once, while the next one
    is read.

    :param read: reads it anew.
    :param name: what is read, for whoever looks at tasks.
    """

    def __init__(self, read: Callable[[], Awaitable[View]], *, name: str) -> None:
        self._read = read
        self._name = name
        self._view: View | None = None
        self._read_at: float | None = None
        self._took = 0.0
        self._has_failed = False
        self._reading: asyncio.Task[View] | None = None

    async def latest(self) -> View:
        """The view, which may be a little old.

        :raises SparkError: the store can't be read.
        """
        age = time.monotonic() - self._read_at if self._read_at is not None else None
        if self._view is not None and age is not None:
            if age <= self._took * _SHARE:
                return self._view
            if age <= _STALE and self._took > _QUICK and not self._has_failed:
                self._begin()
                return self._view
        return await asyncio.shield(self._begin())

    def known(self) -> View | None:
        """The view as far as it was read before; begins to read it where it was not."""
        age = time.monotonic() - self._read_at if self._read_at is not None else None
        if age is None or age > self._took * _SHARE:
            self._begin()
        return self._view

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _begin(self) -> asyncio.Task[View]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_anew(), name=f"spark ui: {self._name}")
            self._reading.add_done_callback(_heard)
        return self._reading

    async def _read_anew(self) -> View:
        begun = time.monotonic()
        try:
            self._view = await self._read()
        except BaseException:
            self._has_failed = True  # until it can be read again, everybody is told
            raise
        self._has_failed = False
        self._read_at = time.monotonic()
        self._took = self._read_at - begun
        return self._view


def _heard(reading: asyncio.Task[Any]) -> None:
    """An error that nobody waits for is seen by whoever asks next."""
    if not reading.cancelled():
        reading.exception()
