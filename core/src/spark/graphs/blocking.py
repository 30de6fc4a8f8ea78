"""The one way in which blocking work leaves the event loop, and its outcome comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar, cast

Result = TypeVar("Result")


class Threads(Protocol):
    """What has calls made by threads: any ``concurrent.futures.Executor``, for instance."""

    def submit(self, call: Callable[[], Any], /) -> Any:
        """Have a thread make this call, which never raises."""


async def run_blocking(
    function: Callable[..., Result],
    *arguments: Any,
    executor: Threads | None = None,
    on_cancel: Callable[[], None] | None = None,
    **keywords: Any,
) -> Result:
    """Call a blocking function in a worker thread, and wait for it.

    When the caller is cancelled, a call that has begun is awaited to its end before ``CancelledError`` goes on, and one
    that has not never begins: nothing happens behind the caller's back.

    :param executor: where to run it, a pool of threads; None means the event loop's own.
    :param on_cancel: called when the caller is cancelled and the call has begun, to have it end sooner.
    """
    loop = asyncio.get_running_loop()
    call = _Call(partial(function, *arguments, **keywords), Reply(loop))
    if executor is None:
        loop.run_in_executor(None, call)
    else:
        executor.submit(call)
    try:
        return cast(Result, await call.reply.wait())
    except asyncio.CancelledError:
        if not call.give_up():
            if on_cancel is not None:
                on_cancel()
            await call.reply.outlast()
        raise


class Reply:
    """What a thread will say to a coroutine that waits for it."""

    __slots__ = ("_future", "_is_here", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        """The event loop of the coroutine."""
        self._future: asyncio.Future[Any] = loop.create_future()
        self._is_here = False
        """It has come, whether or not anybody still waits."""

    async def wait(self) -> Any:
        """What was given, once it is.

        :raises BaseException: that is what was given with ``is_error``.
        """
        return await self._future

    async def outlast(self) -> None:
        """Wait until something was given, however often the waiting is cancelled."""
        if self._is_here:
            return
        self._future = self.loop.create_future()  # cancelling the coroutine cancelled the one that it waited for
        while not self._future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([self._future])
        self._future.exception()  # seen, so that asyncio does not complain that nobody looked

    def send(self, outcome: Any, *, is_error: bool = False) -> None:
        """Give it, from any thread."""
        with suppress(RuntimeError):  # the loop was closed without waiting for its tasks
            self.loop.call_soon_threadsafe(self.give, outcome, is_error)

    def give(self, outcome: Any, is_error: bool) -> None:
        """Give it, from within the event loop."""
        is_awaited = not self._is_here and not self._future.done()
        self._is_here = True
        if not is_awaited:
            return
        if is_error:
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)


class _Call(Generic[Result]):
    """A call that either begins or is given up, whichever comes first."""

    __slots__ = ("_fate", "_function", "reply")

    def __init__(self, function: partial[Result], reply: Reply) -> None:
        self._function = function
        self._fate = Lock()
        """Taken once and for ever, by the thread that begins the call or by who gives it up."""
        self.reply = reply

    def __call__(self) -> None:
        if not self._fate.acquire(blocking=False):
            return
        try:
            result = self._function()
        except StopIteration as error:
            # asyncio can't carry it, and the caller would wait for ever. Of a generator, Python says it in these words.
            stopped = RuntimeError(f"{self._function.func!r} raised StopIteration")
            stopped.__cause__ = error
            self.reply.send(stopped, is_error=True)
        except BaseException as error:
            self.reply.send(error, is_error=True)
        else:
            self.reply.send(result)

    def give_up(self) -> bool:
        """Whether the call had not begun; now it never will."""
        return self._fate.acquire(blocking=False)
