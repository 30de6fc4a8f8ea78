"""Values that take time to make, kept for those who ask next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values that take time to make: the latest are kept, and those who ask for one at the same time share it.

    :param most: the weight of all that are kept together; the latest one is kept, whatever it weighs.
    :param weigh: the weight of a value, once it is made.
    """

    def __init__(self, most: int, *, weigh: Callable[[Value], int] = lambda value: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._tasks: OrderedDict[Hashable, asyncio.Task[Value]] = OrderedDict()
        self._weights: dict[Hashable, int] = {}
        self.weight = 0
        """Of all that are kept."""

    def __contains__(self, key: Hashable) -> bool:
        return key in self._tasks

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        """The value, made if it is not there. One that could not be made is not kept."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(_made(make))
            task.add_done_callback(partial(self._note, key))
        self._tasks.move_to_end(key)
        return await asyncio.shield(task)

    def _note(self, key: Hashable, task: asyncio.Task[Value]) -> None:
        is_made = (
            not task.cancelled() and task.exception() is None
        )  # who waited for it may be gone, and needs no telling
        if self._tasks.get(key) is not task:
            return
        if not is_made:
            del self._tasks[key]
            return
        self._weights[key] = self._weigh(task.result())
        self.weight += self._weights[key]
        while self.weight > self._most and len(self._tasks) > 1:
            oldest, _ = self._tasks.popitem(last=False)
            self.weight -= self._weights.pop(oldest, 0)


async def _made(make: Callable[[], Awaitable[Value]]) -> Value:
    return await make()
