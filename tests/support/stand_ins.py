"""What the page leaves to the reader: nodes to run, and a look at what a run has left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint

if TYPE_CHECKING:  # where the page runs with the core alone, there is no testing kit
    from spark_testing.clock import FakeClock


class Count(Node):
    """Adds one to the state's ``count``, until it has reached a limit."""

    def __init__(self, limit: int = 3) -> None:
        self.limit = limit

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"count": count, "done": count >= self.limit}


class Flaky(Count):
    """Counts, and fails once on the way."""

    def __init__(self, limit: int = 3, *, fails_at: int = 2) -> None:
        super().__init__(limit)
        self.fails_at: int | None = fails_at

    async def process(self, context: NodeContext) -> dict[str, Any]:
        output = await super().process(context)
        if output["count"] == self.fails_at:
            self.fails_at = None
            raise ConnectionError("the service hung up")
        return output


class FailingNode(Node):
    async def process(self, context: NodeContext) -> None:
        raise RuntimeError("it fails")


class WorkingNode(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"success": True}


class Slow(Count):
    """Counts, and each time takes some seconds of a fake clock."""

    def __init__(self, limit: int, *, clock: FakeClock, seconds: float) -> None:
        super().__init__(limit)
        self.clock = clock
        self.seconds = seconds

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.clock.advance(self.seconds)
        return await super().process(context)


def looping(node: Node) -> Node:
    """The node, wired to itself until its output says ``done``, and then to an exit."""
    node.on(done=False) >> node
    node.on(done=True) >> ExitNode()
    return node


async def checkpoints_of(graph: Graph) -> list[GraphCheckpoint]:
    """All checkpoints of a graph that are kept, oldest first."""
    assert graph.checkpoint_backend is not None
    manager = CheckpointManager(graph.checkpoint_backend)
    return [
        await manager.load_checkpoint(info.checkpoint_id)
        for info in await manager.list_checkpoints(graph_id=graph.graph_id)
    ]


async def iterations_of(graph: Graph) -> list[int]:
    """The iterations at which the checkpoints of a graph were made."""
    return [checkpoint.execution_metadata["iteration"] for checkpoint in await checkpoints_of(graph)]
