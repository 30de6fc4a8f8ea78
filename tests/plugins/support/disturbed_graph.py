"""A graph that counts, with a checkpoint for each step, and has something done to its store on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointReader

STEPS = 8


class DisturbedCount(Node):
    """Counts to ``STEPS``.

    :param disturbances: what is called in a step, once, by the count that it begins with. The step waits for its end.
    """

    def __init__(self, disturbances: Mapping[int, Callable[[], object]]) -> None:
        super().__init__(name="count")
        self._disturbances = dict(disturbances)

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0)
        await context.graph_state.set("count", count + 1)
        if disturbance := self._disturbances.pop(count, None):
            await asyncio.to_thread(disturbance)
        return {"done": count + 1 == STEPS}


def disturbed_graph(store: CheckpointBackend, disturbances: Mapping[int, Callable[[], object]] | None = None) -> Graph:
    """The graph ``g``; all its checkpoints are kept."""
    count = DisturbedCount(disturbances or {})
    count.on(done=False) >> count
    count.on(done=True) >> ExitNode()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    return Graph(start=count, id="g", checkpoint_config=config)


async def counts_stored(store: CheckpointBackend | str) -> list[int]:
    """The count in each checkpoint of the graph, the last one, which its end makes, aside."""
    reader = CheckpointReader(store)
    infos = await reader.list_checkpoints("g")
    checkpoints = [await reader.load_checkpoint(info.checkpoint_id) for info in infos]
    return [checkpoint.graph_state["count"] for checkpoint in checkpoints][:STEPS]
