"""The one way in which blocking work leaves the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


async def run_blocking(
    function: Callable[..., Result], *arguments: Any, executor: Executor | None = None, **keywords: Any
) -> Result:
    """Call a blocking function in a worker thread, and wait for it.

    When the caller is cancelled, the call is still awaited to its end before ``CancelledError`` goes on: nothing happens
    behind the caller's back.

    :param executor: where to run it; None means the event loop's own threads.
    """
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(executor, partial(function, *arguments, **keywords))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _finished(future)
        raise


async def _finished(future: asyncio.Future[Any]) -> None:
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # cancelled once more; the first one is already on its way to the caller
    if not future.cancelled():
        future.exception()  # seen, so that asyncio does not complain that nobody looked
