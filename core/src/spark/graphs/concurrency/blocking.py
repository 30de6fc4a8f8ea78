"""The one way to run blocking work outside the event loop.

Nodes and checkpoints have threads of their own, so that neither waits for the other, nor for what the program gives to
``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from spark.graphs.concurrency.uncancellable import wait_until_done

Result = TypeVar("Result")


class Threads(Protocol):
    """Runs calls in threads: any ``concurrent.futures.Executor``, for instance."""

    def submit(self, call: Callable[[], Any], /) -> Any:
        """Run this call, which never raises, in a thread."""


async def run_blocking(
    function: Callable[..., Result],
    *arguments: Any,
    executor: Threads | None = None,
    on_cancel: Callable[[], None] | None = None,
    **keywords: Any,
) -> Result:
    """Call a blocking function in a worker thread, and wait for it.

    When the caller is cancelled, a call that has begun is awaited to its end before ``CancelledError`` is raised, and one
    that has not begun never does. So no call is left running.

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
        if not call.withdraw():
            if on_cancel is not None:
                on_cancel()
            await call.reply.wait_uncancellable()
        raise


class Reply:
    """The result that a thread will give to a coroutine, which waits for it."""

    __slots__ = ("_future", "_is_here", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        """The event loop of the coroutine."""
        self._future: asyncio.Future[Any] = loop.create_future()
        self._is_here = False
        """It was given, whether or not anybody still waits for it."""

    def wait(self) -> Awaitable[Any]:
        """The result, once it was given.

        :raises BaseException: the result was given with ``is_error``.
        """
        return self._future

    async def wait_uncancellable(self) -> None:
        """Wait until the result was given, however often the waiting is cancelled."""
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

    :param most: how many there may be; further calls wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, call: Callable[[], Any]) -> None:
        """Run this call in a thread."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="spark-node")
        self._pool.submit(call)

    def end(self) -> None:
        """Let each thread end when no calls are left. Later calls would get new threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


NODE_THREADS: Final = 32
"""How many plain nodes of a run may run at the same time, by default."""
_CHECKPOINT_THREADS: Final = 32
_LOOPS: Final[dict[asyncio.AbstractEventLoop, Threads]] = {}
"""Event loop to its threads for checkpoints; while the loop is shut down, to their replacement."""
_CLOSING: Final[dict[asyncio.AbstractEventLoop, AsyncIterator[None]]] = {}


async def _checkpoint_threads(loop: asyncio.AbstractEventLoop) -> Threads:
    """New threads for this loop, which end with it."""
    for other in [other for other in _LOOPS if other.is_closed()]:
        _CLOSING.pop(other, None)
        ended = _LOOPS.pop(other)
        if isinstance(ended, ThreadPoolExecutor):  # its loop was not shut down as asyncio.run does it
            ended.shutdown(wait=False)
    threads = ThreadPoolExecutor(_CHECKPOINT_THREADS, thread_name_prefix="spark-checkpoint")
    _LOOPS[loop] = threads
    _CLOSING[loop] = _end_with_loop(loop, threads)
    await anext(_CLOSING[loop])
    return threads


async def _end_with_loop(loop: asyncio.AbstractEventLoop, threads: ThreadPoolExecutor) -> AsyncIterator[None]:
    """An asynchronous generator that is never exhausted: a loop that is shut down closes these first."""
    try:
        yield
    finally:
        _LOOPS[loop] = _LoopsOwn(loop)
        await loop.run_in_executor(None, threads.shutdown)


class _LoopsOwn:
    """asyncio's own pool of threads, which ends last."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def submit(self, call: Callable[[], Any]) -> None:
        self._loop.run_in_executor(None, call)


class _Call(Generic[Result]):
    """A call that either begins or is withdrawn, whichever comes first."""

    __slots__ = ("_claim", "_function", "reply")

    def __init__(self, function: partial[Result], reply: Reply) -> None:
        self._function = function
        self._claim = Lock()
        """Acquired once and never released: by the thread that begins the call, or by the caller that withdraws it."""
        self.reply = reply

    def __call__(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            result = self._function()
        except StopIteration as error:
            # A future can't hold a StopIteration, so the caller would wait forever. Generators raise it in these words, too.
            stopped = RuntimeError(f"{self._function.func!r} raised StopIteration")
            stopped.__cause__ = error
            self.reply.send(stopped, is_error=True)
        except BaseException as error:
            self.reply.send(error, is_error=True)
        else:
            self.reply.send(result)

    def withdraw(self) -> bool:
        """Whether the call had not begun; now it never will."""
        return self._claim.acquire(blocking=False)
