"""The one way in which blocking work leaves the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from threading import Lock
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


async def run_blocking(
    function: Callable[..., Result], *arguments: Any, executor: Executor | None = None, **keywords: Any
) -> Result:
    """Call a blocking function in a worker thread, and wait for it.

    When the caller is cancelled, a call that has begun is awaited to its end before ``CancelledError`` goes on, and one
    that has not never begins: nothing happens behind the caller's back.

    :param executor: where to run it, a pool of threads; None means the event loop's own.
    """
    call = _Call(partial(function, *arguments, **keywords))
    future = asyncio.get_running_loop().run_in_executor(executor, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if call.give_up():
            future.cancel()
        await _finished(future)
        raise


class _Call(Generic[Result]):
    """A call that either begins or is given up, whichever comes first."""

    __slots__ = ("_fate", "_function")

    def __init__(self, function: partial[Result]) -> None:
        self._function = function
        self._fate = Lock()
        """Taken once and for ever, by the thread that begins the call or by who gives it up."""

    def __call__(self) -> Result:
        if not self._fate.acquire(blocking=False):
            raise asyncio.CancelledError
        try:
            return self._function()
        except StopIteration as error:
            # asyncio can't carry it, and the caller would wait for ever. Of a generator, Python says it in these words.
            raise RuntimeError(f"{self._function.func!r} raised StopIteration") from error

    def give_up(self) -> bool:
        """Whether the call had not begun; now it never will."""
        return self._fate.acquire(blocking=False)


async def _finished(future: asyncio.Future[Any]) -> None:
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # cancelled once more; the first one is already on its way to the caller
    if not future.cancelled():
        future.exception()  # seen, so that asyncio does not complain that nobody looked
