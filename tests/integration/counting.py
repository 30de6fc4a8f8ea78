"""A small graph that checkpoints each step to files, for tests that spoil what it left or what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, FileCheckpointBackend


class Count(Node):
    """Counts in the state, up to ``upto``."""

    upto = 3

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"count": count, "done": count >= self.upto}


def counting(directory: Path, *, graph_id: str = "count") -> Graph:
    """A loop to three, and an exit: four checkpoints, and one for the end."""
    count = Count()
    count.on(done=False) >> count
    count.on(done=True) >> ExitNode()
    return keeping(count, directory, graph_id=graph_id)


def keeping(start: Node, directory: Path, *, graph_id: str = "count") -> Graph:
    """A graph that keeps a checkpoint of every step in files."""
    config = CheckpointConfig(backend=FileCheckpointBackend(directory), trigger_on_iteration=1)
    return Graph(start=start, id=graph_id, checkpoint_config=config)


def checkpoint_files(directory: Path) -> list[Path]:
    """The checkpoints in a store, oldest first, as files."""
    return sorted(directory.rglob("*.ckpt"))
