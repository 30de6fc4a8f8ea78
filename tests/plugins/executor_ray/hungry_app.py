"""Nodes that take memory until Ray kills them, once; and programs that run them. Ray's workers import it by its name."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig
from spark_executor_ray import RayExecutor

PORTION = 100_000_000
PORTIONS = 60
"""At most 6 GB. Ray ends it as soon as this machine uses as much as the test tolerates, which is after a part of that."""


def note(error: Exception, attempt: int) -> float | None:
    """Print why an attempt failed; there is another one in a second."""
    print("failed", attempt, type(error).__name__, error)
    return 1.0 if attempt < 10 else None


class Eats(Node):
    def process(self, context: NodeContext) -> str:
        kept = []
        while context.attempt == 1 and len(kept) < PORTIONS:
            kept.append(b"x" * PORTION)
            time.sleep(0.1)
        return "done"


class EatsInActor(Node):
    async def process(self, context: NodeContext) -> str:
        kept = []
        while context.attempt == 1 and len(kept) < PORTIONS:
            kept.append(b"x" * PORTION)
            await asyncio.sleep(0.1)
        return "done"


class EatsOnce(Node):
    """In a whole run on Ray, which says who executed it."""

    async def process(self, context: NodeContext) -> int:
        kept, marker = [], Path(context.inputs["marker"])
        is_first = not marker.exists()
        marker.touch()
        while is_first and len(kept) < PORTIONS:
            kept.append(b"x" * PORTION)
            await asyncio.sleep(0.1)
        return os.getpid()


def build(graph_id: str) -> Graph:
    return Graph(EatsOnce(), id=graph_id, checkpoint_config=CheckpointConfig(trigger_on_iteration=1))


async def main(folder: str) -> None:
    """Print what became of a plain node, of an async one, and of a run."""
    import ray

    from spark_executor_ray import ray_runs

    ray.init(address=os.environ["RAY_ADDRESS"], logging_level="error", log_to_driver=False)
    with RayExecutor() as executor:
        for node in (Eats, EatsInActor):
            print(node.__name__, (await Graph(node(retry=note), executor=executor).run()).content)
    store = f"sqlite:///{folder}/runs.db"
    inputs = {"marker": f"{folder}/marker"}
    await ray_runs.submit("hungry_app:build", graph_id="one", inputs=inputs, url=store, poll=0.5, claim_ttl=2)
    print("run", (await ray_runs.wait(["one"], url=store, poll=0.2))["one"].status)
