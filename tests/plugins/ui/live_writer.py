"""A program that runs a graph, one step for each line that it is given: ``python -m tests.plugins.ui.live_writer URL``."""

from __future__ import annotations

import asyncio
import sys

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, open_backend


class Step(Node):
    """Waits for a line, and says whether it was the last one."""

    async def process(self, context: NodeContext) -> dict[str, bool]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        line = await asyncio.to_thread(sys.stdin.readline)
        if line == "fail\n":
            raise RuntimeError("as it was told")
        return {"done": line != "go on\n"}


async def run(url: str) -> None:
    """Run to the end."""
    backend = open_backend(url)
    step = Step()
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    try:
        await Graph(step, id="live-1", checkpoint_config=config).run(claim=True)
    finally:
        await backend.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
