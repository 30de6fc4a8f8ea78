"""Waiting that a cancellation does not cut off, so that no work is left running when the caller has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def wait_uncancellable(work: Awaitable[Result], *, on_cancel: Callable[[], object] | None = None) -> Result:
    """What the work returns or raises. When the caller is cancelled, its ``CancelledError`` is raised once the work has ended.

    :param work: a future, a task, or a coroutine, which then runs in a task of its own.
    :param on_cancel: called when the caller is cancelled, so that the work ends sooner; ``task.cancel``, for instance.
    """
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if on_cancel is not None and not future.done():
            on_cancel()
        await wait_until_done(future)
        raise


async def wait_until_done(future: asyncio.Future[Any]) -> None:
    """Wait until a future is done, however often the waiting is cancelled. Ignores its result."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await wait_for_end(future)
    if not future.cancelled():
        future.exception()  # retrieved, or asyncio would log that it never was


async def wait_for_end(future: asyncio.Future[Any], seconds: float | None = None) -> None:
    """Wait until a future is done, for so many seconds at most. Cancelling the caller does not cancel the future.

    ``asyncio.wait`` does the same for many futures; for one, this takes three quarters of the time.
    """
    if future.done():
        return
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def wake(_: object = None) -> None:
        if not ended.done():
            ended.set_result(None)

    future.add_done_callback(wake)
    timer = loop.call_later(seconds, wake) if seconds is not None else None
    try:
        await ended
    finally:
        future.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()


def is_being_cancelled() -> bool:
    """Whether this task was cancelled, and not only something that it awaits. False where no event loop runs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0
