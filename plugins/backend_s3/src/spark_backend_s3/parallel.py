"""Many requests at once, but not too many; and calls that a cancellation does not cut in two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from spark_backend_s3.connections import PARALLEL

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_parallel(function: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """What the function returns for each item, in order.

    :raises Exception: one call failed; no other goes on.
    """
    numbered = enumerate(items)
    results: dict[int, Result] = {}

    async def work(numbered: Iterator[tuple[int, Item]]) -> None:
        for number, item in numbered:
            results[number] = await function(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(work(numbered))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return [results[number] for number in sorted(results)]


class Whole:
    """A call that, once begun, is awaited to its end also when its caller is cancelled."""

    def __init__(self) -> None:
        self.is_wanted = True
        """Whether the caller still waits for what comes out."""

    async def run(self, work: Awaitable[Result]) -> Result:
        """What the work returns or raises. A cancellation goes on when it has ended."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.is_wanted = False
            await _ended(task)
            raise


async def _ended(task: asyncio.Future[Result]) -> None:
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue  # cancelled once more; the first one is already on its way to the caller
    if not task.cancelled():
        task.exception()  # seen, so that asyncio does not complain that nobody looked
