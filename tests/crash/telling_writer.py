"""A process that tells of each step that it begins, and checkpoints it: ``python -m tests.crash.telling_writer folder async``;
with ``unasked``, as the store's default has it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, FileCheckpointBackend


class Tell(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        os.write(1, f"{context.iteration + 1}\n".encode())
        return {}


async def main(folder: str, durability: Any) -> None:
    tell = Tell()
    tell >> tell
    async with FileCheckpointBackend(folder) as backend:
        asked = {} if durability == "unasked" else {"trigger_on_iteration": 1, "durability": durability}
        config = CheckpointConfig(backend=backend, **asked)
        await Graph(start=tell, id="telling", checkpoint_config=config).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
