"""Graphs that are asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointHandler,
    InMemoryCheckpointBackend,
)
from tests.support.running import Does, every_step


class Service:
    """A loop that asks its own run to stop in one of its steps, in the way that a test chooses."""

    def __init__(self, stop: Any, *, at: int = 3, **config: Any) -> None:
        self.backend = InMemoryCheckpointBackend()
        self.graph = self._graph(stop, at, **config)

    def again(self, handler: CheckpointHandler) -> Graph:
        """The same in another process, which nothing asks to stop but the handler."""
        return self._graph(lambda: None, 0, handler=handler)

    def _graph(self, stop: Any, at: int, **config: Any) -> Graph:
        async def work(context: NodeContext) -> Any:
            count = await context.graph_state.get("count", 0) + 1
            await context.graph_state.set("count", count)
            if count == at:
                stop()
                await asyncio.sleep(0)
            return {"done": count >= 5}

        loop = Does(work, name="loop")
        loop.on(done=False) >> loop
        return Graph(loop, id="service", checkpoint_config=every_step(self.backend, **config))


def stored(start: Node, *, id: str = "stored", **more: Any) -> Graph:
    """A graph with a checkpoint at every boundary."""
    return Graph(start, id=id, checkpoint_config=every_step(InMemoryCheckpointBackend(), **more))


async def until(condition: Callable[[], Any]) -> None:
    """Let others run until it is true."""
    while not condition():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0)


class Waits(Node):
    """Waits until it is cancelled, and notes that it was."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)
        self.was_cancelled = False

    async def process(self, context: NodeContext) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
