"""What ``graph.watch`` returns: the events of a run that somebody else runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from spark.errors import RunError
from spark.graphs.events.channel import Channel
from spark.graphs.events.kinds import Event


class Watcher:
    """The events of one run of a graph, from now on: of the run that is under way, or else of the next one.

    Loop over it with ``async for``, in the event loop of the run; the loop ends with the run. ``async with graph.watch() as
    events:`` closes it when the block is left, ``close()`` at once; so does a cancellation of the task that waits for an event.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if asyncio.get_running_loop() is not self._loop:
            raise RunError(
                "graph.watch(): loop over it in the event loop in which it was called, which is that of the run."
            )
        try:
            event = await self._channel.take()
        except asyncio.CancelledError:
            self._channel.close()
            raise
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching: events that were not read are dropped, and nothing waits for this watcher any more."""
        self._channel.close()

    def __del__(self) -> None:
        if not self._channel.is_closed:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._channel.close)
