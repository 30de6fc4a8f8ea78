"""What many tests of the engine need: nodes made of small functions, and histories to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from spark_testing.clock import FakeClock

Work = Callable[[NodeContext], Any]


class Does(Node):
    """A node that does what the function says; the function may be async or plain, and is called on the event loop."""

    def __init__(self, work: Work, *, name: str) -> None:
        super().__init__(name=name)
        self._work = work

    async def process(self, context: NodeContext) -> Any:
        result = self._work(context)
        return await result if hasattr(result, "__await__") else result


def fan_out(*works: Work) -> Graph:
    """Parallel branches named a, b, c…"""
    start = Does(lambda context: {}, name="start")
    start >> [Does(work, name=name) for name, work in zip("abcdef", works, strict=False)]
    return Graph(start)


class Countdown(Node):
    """Counts in the state to the limit that it is given as input, and passes it on."""

    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {**context.inputs, "count": count, "done": count >= context.inputs["limit"]}


def countdown() -> Node:
    """A loop that ends by itself: run it with ``{"limit": …}``."""
    loop = Countdown()
    loop.on(done=False) >> loop
    return loop


class Ticking(FakeClock):
    """A clock on which some seconds pass whenever it is asked."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._tick = seconds

    def monotonic(self) -> float:
        self.advance(self._tick)
        return super().monotonic()


class Failure(Exception):
    """What failing nodes raise in tests."""


class FailsOnce(Node):
    """Fails at its first execution by this very instance, then passes its input on."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)
        self.executions = 0

    async def process(self, context: NodeContext) -> Any:
        self.executions += 1
        await context.graph_state.update("done", lambda done: [*done, context.node], [])
        if self.executions == 1:
            raise Failure("the first time")
        return context.inputs


def every_step(backend: InMemoryCheckpointBackend, **more: Any) -> CheckpointConfig:
    """A checkpoint at every boundary, none deleted."""
    return CheckpointConfig(backend=backend, trigger_on_iteration=1, **{"auto_cleanup": False, **more})


async def history(graph: Graph) -> list[GraphCheckpoint]:
    """All checkpoints of a graph, oldest first."""
    backend = graph.checkpoint_backend
    assert backend is not None
    manager = CheckpointManager(backend)
    infos = await manager.list_checkpoints(graph.graph_id)
    return [await manager.load_checkpoint(info.checkpoint_id) for info in infos]


def frontier_at(node: str, inputs: Any = None) -> dict[str, Any]:
    """The frontier of a run in which only this node is pending."""
    token = {"node": node, "lineage": 1, "source": None, "content": "1"}
    return {"next_token": 2, "tokens": {"1": token}, "contents": {"1": inputs or {}}}
