"""New runs on their way to the store: those that come at the same time go together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from spark_executor_ray.ray_runs.outcomes import Refusal

StoreNew: TypeAlias = Callable[[Sequence[tuple[str, Mapping[str, Any]]]], Awaitable[Sequence[bool | Refusal] | Refusal]]
"""Stores runs by graph ids and inputs: of each whether it was stored, or why it can't be."""
_TOGETHER: Final = 50
_AT_ONCE: Final = 2
"""Groups that are under way at the same time."""


class Beginnings:
    """Stores new runs, some at a time, and says of each whether it is stored."""

    def __init__(self, store_new: StoreNew) -> None:
        self._store_new = store_new
        self._waiting: list[tuple[str, Mapping[str, Any], asyncio.Future[bool]]] = []
        self._sending = set[asyncio.Task[None]]()

    async def add(self, graph_id: str, inputs: Mapping[str, Any]) -> bool:
        """Store a run; the same as ``Graph.submit`` returns.

        :raises SparkError: it could not be stored.
        """
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((graph_id, inputs, answer))
        if len(self._sending) < _AT_ONCE:
            task = asyncio.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return await answer

    async def _send(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            try:
                stored = await self._store_new([(graph_id, inputs) for graph_id, inputs, _ in group])
            except Exception as error:
                stored = Refusal.of(error, about="Storing runs on Ray")
            of_each = [stored] * len(group) if isinstance(stored, Refusal) else stored
            for (_, _, answer), each in zip(group, of_each, strict=True):
                if answer.done():
                    continue  # nobody waits for it any more
                if isinstance(each, Refusal):
                    answer.set_exception(each.error())
                else:
                    answer.set_result(each)
