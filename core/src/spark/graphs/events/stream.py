"""What ``graph.stream`` returns: a run, as a loop over its events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from spark.errors import RunError
from spark.graphs.concurrency.uncancellable import wait_until_done
from spark.graphs.events.channel import Channel
from spark.graphs.events.kinds import Event
from spark.graphs.message import Message
from spark.graphs.values.failures import brief
from spark.graphs.values.log_fields import log_fields

_LOG = logging.getLogger("spark.graphs")


class EventStream:
    """A run that begins with the loop over it: ``async for event in graph.stream(task)``.

    The loop gets the events of the run, and raises what ``run()`` would raise, after the last one. Leaving it early cancels the
    run, which is saved as any run that is cancelled; a later ``graph.run()`` waits for that. With ``async with graph.stream(task)
    as stream:`` the run is cancelled when the block is left, and has ended then.
    """

    def __init__(
        self,
        channel: Channel,
        run: Callable[[], Coroutine[Any, Any, Message]],
        *,
        graph_id: str,
        on_leave: Callable[[asyncio.Task[None]], object],
    ) -> None:
        self._channel = channel
        self._run = run
        self._graph_id = graph_id
        self._on_leave = on_leave
        self._task: asyncio.Task[None] | None = None
        """The run."""
        self._error: BaseException | None = None
        """What it raised, until that is raised here."""
        self._is_scoped = False
        """A block around the loop says when the run ends."""
        self._is_left = False
        self.message: Message | None = None
        """What the run returned, once it has."""

    def __aiter__(self) -> _Loop:
        if self._is_left or (self._task is not None and not self._is_scoped):
            raise RunError(
                f"This stream of graph {self._graph_id!r} has been used: its run has begun. For another run, call graph.stream() "
                "again; to loop over one run in several places, use: async with graph.stream(…) as stream."
            )
        return _Loop(self)

    async def __aenter__(self) -> Self:
        self._is_scoped = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the run, if it has not ended: it is cancelled, and saved. Returns when that is done.

        :raises Exception: what the run raised, if nobody has seen it yet.
        """
        self._is_left = True
        await self._stop()
        if isinstance(self._error, Exception):
            self._raise_error()
        self._error = None

    async def _next(self) -> Event:
        """The next event. The first call begins the run.

        :raises StopAsyncIteration: the run has returned.
        :raises BaseException: it has raised this.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._drive(), name=f"{self._graph_id}: stream")
        try:
            event = await self._channel.take()
            if event is not None:
                return event
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            await self._stop()
            self._error = None
            raise
        self._raise_error()
        raise StopAsyncIteration

    def _leave(self) -> None:
        """The loop was left. May be called from any thread."""
        task = self._task
        if self._is_scoped or task is None or task.done():
            return
        self._is_left = True
        loop = task.get_loop()
        if _is_running(loop):
            self._cancel()
        else:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        assert self._task is not None
        self._channel.close()
        self._task.cancel()
        self._task.add_done_callback(self._on_left)
        self._on_leave(self._task)

    def _on_left(self, task: asyncio.Task[None]) -> None:
        """The run has ended, and nobody hears how."""
        if isinstance(self._error, Exception):
            _LOG.warning(
                "The run of graph %r, whose stream was left, ended with %s.",
                self._graph_id,
                brief(self._error),
                extra=log_fields(self._graph_id),
            )
        self._error = None

    async def _drive(self) -> None:
        try:
            self.message = await self._run()
        except BaseException as error:  # a SystemExit that left a task would end the event loop
            self._error = error
        finally:
            self._channel.end()

    async def _stop(self) -> None:
        self._channel.close()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await wait_until_done(self._task)

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback leads to this frame


class _Loop:
    """One loop over a stream. When it is gone, the loop was left."""

    __slots__ = ("_stream",)

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._stream._next()

    def __del__(self) -> None:
        self._stream._leave()


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
