"""Waiting that ends in time, for what a cancellation must not lose and for what does not stop when it should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a call returned, or what it raised."""


async def outcome_of(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Outcome:
    """What a call comes to, as the result of a task: as its exception, ``SystemExit`` would end the event loop."""
    try:
        return await function(*arguments), None
    except BaseException as error:
        return None, error


def ended(task: asyncio.Task[Outcome]) -> Outcome:
    """What a task that is done came to, which was made of ``outcome_of``."""
    return (None, asyncio.CancelledError()) if task.cancelled() else task.result()


def result_of(task: asyncio.Task[Outcome]) -> Any:
    """What a task that is done returned, which was made of ``outcome_of``.

    :raises BaseException: what was raised in it.
    """
    result, error = task.result()
    if error is None:
        return result
    try:
        raise error
    finally:
        del task, error  # its traceback leads to this frame, which would keep it alive


class GracePeriod:
    """Waits for tasks, however often the waiting is cancelled, but from the first cancellation for ``grace`` seconds at most."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._deadline = float("inf")
        self.cancelled: asyncio.CancelledError | None = None
        """The first cancellation that came while it waited."""

    def hurry(self) -> None:
        """The run was cancelled: from now on there is as much time as the grace says."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + self._grace)

    @property
    def left(self) -> float:
        """How many seconds there are; infinite while nobody is in a hurry."""
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def wait(
        self, tasks: Collection[asyncio.Task[Any]], seconds: float = float("inf")
    ) -> list[asyncio.Task[Any]]:
        """Wait until these are done, for so many seconds at most; those that are not."""
        until = asyncio.get_running_loop().time() + seconds
        pending = [task for task in tasks if not task.done()]
        while pending and (left := min(self.left, until - asyncio.get_running_loop().time())) > 0:
            try:
                await asyncio.wait(pending, timeout=None if left == float("inf") else left)
            except asyncio.CancelledError as error:
                self.cancelled = self.cancelled or error
                self.hurry()
            pending = [task for task in pending if not task.done()]
        return pending
