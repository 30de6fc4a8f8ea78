"""What a step costs when nothing is saved: a loop of one node, and a fan-out that joins."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.measure import Comparison, in_turns
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext

STEPS = 20_000
BRANCHES = 100


class Count(Node):
    """Counts in the shared state, as the specification's example does."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"done": count >= STEPS}


class Spin(Node):
    """Does nothing but come round again."""

    left = STEPS

    async def process(self) -> dict[str, Any]:
        self.left -= 1
        return {"done": self.left <= 0}


class Echo(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"node": context.node}


def compare(rounds: int) -> list[Comparison]:
    return [
        in_turns(
            lambda: asyncio.run(_loop(Spin())),
            lambda: asyncio.run(_bare_loop()),
            rounds=rounds,
            work="a step of a one-node loop, no checkpoint",
            unit="us",
            floor_is="await in a while loop",
        ),
        in_turns(
            lambda: asyncio.run(_loop(Count())),
            lambda: asyncio.run(_bare_loop()),
            rounds=rounds,
            work="the same, with a get and a set of the state",
            unit="us",
            floor_is="await in a while loop",
        ),
        in_turns(
            lambda: asyncio.run(_fan_out()),
            lambda: asyncio.run(_bare_fan_out()),
            rounds=rounds,
            work=f"a fan-out to {BRANCHES} nodes and a join",
            unit="ms",
            floor_is=f"gather of {BRANCHES} tasks",
        ),
    ]


async def _loop(looping: Node) -> float:
    looping.on(done=False) >> looping
    looping.on(done=True) >> ExitNode()
    graph = Graph(start=looping)
    began = time.perf_counter()
    await graph.run()
    return (time.perf_counter() - began) / STEPS * 1e6


async def _bare_loop() -> float:
    spin, output = Spin(), {"done": False}
    began = time.perf_counter()
    while not output["done"]:
        output = await spin.process()
    return (time.perf_counter() - began) / STEPS * 1e6


async def _fan_out() -> float:
    start = Echo(name="start")
    start >> [Echo() for _ in range(BRANCHES)] >> JoinNode()
    graph = Graph(start=start)
    began = time.perf_counter()
    await graph.run()
    return (time.perf_counter() - began) * 1e3


async def _bare_fan_out() -> float:
    began = time.perf_counter()
    await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0)) for _ in range(BRANCHES)))
    return (time.perf_counter() - began) * 1e3
