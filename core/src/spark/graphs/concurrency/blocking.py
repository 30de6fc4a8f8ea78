"""The one way in which blocking work leaves the event loop, and its outcome comes back.

Nodes have threads of their own, and so has what saves and loads checkpoints, so that neither waits for the other, nor for what a
program gives to ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from spark.graphs.concurrency.uncancellable import wait_until_done

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

    :param executor: where to run it, a pool of threads; None means those that checkpoints have in this event loop: they start
        when they are needed, and end with the loop.
    :param on_cancel: called when the caller is cancelled and the call has begun, to have it end sooner.
    """
    loop = asyncio.get_running_loop()
    call = _Call(partial(function, *arguments, **keywords), Reply(loop))
    (executor or _LOOPS.get(loop) or await _checkpoint_threads(loop)).submit(call)
    try:
        return cast(Result, await call.reply.wait())
    except asyncio.CancelledError:
        if not call.give_up():
            if on_cancel is not None:
                on_cancel()
            await call.reply.wait_uncancellable()
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

    async def wait_uncancellable(self) -> None:
        """Wait until something was given, however often the waiting is cancelled."""
        if self._is_here:
            return
        self._future = self.loop.create_future()  # cancelling the coroutine cancelled the one that it waited for
        await wait_until_done(self._future)

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


class NodeThreads:
    """The threads in which the plain nodes of one run are executed; they start when they are needed.

    :param most: how many there may be; what comes then waits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, call: Callable[[], Any]) -> None:
        """Have a thread make this call."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="spark-node")
        self._pool.submit(call)

    def end(self) -> None:
        """Let each thread end when no calls are left; later ones would get new threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


NODE_THREADS: Final = 32
"""So many plain nodes of a run may be executed at the same time when nobody says otherwise."""
_CHECKPOINT_THREADS: Final = 32
_LOOPS: Final[dict[asyncio.AbstractEventLoop, Threads]] = {}
"""Event loop to its threads for checkpoints; at the end of the loop, to what stands in for them."""
_CLOSING: Final[dict[asyncio.AbstractEventLoop, AsyncIterator[None]]] = {}


async def _checkpoint_threads(loop: asyncio.AbstractEventLoop) -> Threads:
    """New threads for this loop, and what ends them with it."""
    for other in [other for other in _LOOPS if other.is_closed()]:
        _CLOSING.pop(other, None)
        ended = _LOOPS.pop(other)
        if isinstance(ended, ThreadPoolExecutor):  # of a loop that nobody ended as asyncio.run does
            ended.shutdown(wait=False)
    threads = ThreadPoolExecutor(_CHECKPOINT_THREADS, thread_name_prefix="spark-checkpoint")
    _LOOPS[loop] = threads
    _CLOSING[loop] = _end_with_loop(loop, threads)
    await anext(_CLOSING[loop])
    return threads


async def _end_with_loop(loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor) -> AsyncIterator[None]:
    """An asynchronous generator that is never exhausted: to close these is how a loop begins its end."""
    try:
        yield
    finally:
        _LOOPS[loop] = _LoopsOwn(loop)
        await loop.run_in_executor(None, threads.shutdown)


class _LoopsOwn:
    """The pool of threads that asyncio ends last."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def submit(self, call: Callable[[], Any]) -> None:
        self._loop.run_in_executor(None, call)


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
