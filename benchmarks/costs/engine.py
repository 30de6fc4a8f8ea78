"""What a step costs when nothing is saved: a loop of one node, and a fan-out that joins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import floors
from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig

STEPS = 20_000
BRANCHES = 100


class Count(Node):
    """Counts in the shared state, as the specification's example does."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"done": count >= self.steps}


class Spin(Node):
    """Does nothing but come round again."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    async def process(self) -> dict[str, Any]:
        self.left -= 1
        return {"done": self.left <= 0}


class Echo(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"node": context.node}


def compare(effort: Effort) -> Iterator[Comparison]:
    steps, branches = effort.of(STEPS), effort.of(BRANCHES)
    yield in_turns(
        lambda: asyncio.run(seconds_of_loop(steps)) * 1e6,
        lambda: asyncio.run(floors.bare_loop(steps)) * 1e6,
        rounds=effort.rounds,
        work="a step of a one-node loop, no checkpoint",
        unit="us",
        floor_is="await in a while loop",
    )
    yield in_turns(
        lambda: asyncio.run(seconds_of_loop(steps, looping=Count)) * 1e6,
        lambda: asyncio.run(floors.bare_loop(steps)) * 1e6,
        rounds=effort.rounds,
        work="the same, with a get and a set of the state",
        unit="us",
        floor_is="await in a while loop",
    )
    yield in_turns(
        lambda: asyncio.run(seconds_of_fan_out(branches)) * 1e3,
        lambda: asyncio.run(floors.bare_fan_out(branches)) * 1e3,
        rounds=effort.rounds,
        work=f"a fan-out to {branches} nodes and a join",
        unit="ms",
        floor_is=f"gather of {branches} tasks",
    )


async def seconds_of_loop(steps: int, *, looping: type[Spin] | type[Count] = Spin) -> float:
    """What one step takes."""
    node = looping(steps)
    node.on(done=False) >> node
    node.on(done=True) >> ExitNode()
    graph = Graph(start=node)
    began = time.perf_counter()
    await graph.run()
    return (time.perf_counter() - began) / steps


async def seconds_of_fan_out(branches: int, config: CheckpointConfig | None = None) -> float:
    """What the whole graph takes."""
    start = Echo(name="start")
    start >> [Echo() for _ in range(branches)] >> JoinNode()
    graph = Graph(start=start, checkpoint_config=config)
    began = time.perf_counter()
    await graph.run()
    return time.perf_counter() - began
