"""A map over 10,000 items on Ray, that a test kills in the middle. Ray's workers import it by its name."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from spark.errors import WorkerLostError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig
from spark_executor_ray import RayExecutor

ITEMS = 10_000
IN_FLIGHT = 64
BETWEEN_CHECKPOINTS = 100
FORGETS = "PAYING_APP_FORGETS"


class Split(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"items": [[number, context.inputs["ledger"]] for number in range(context.inputs["items"])]}


class Counts(Node):
    """Writes down that it was executed."""

    def process(self, context: NodeContext) -> int:
        number, ledger = context.inputs
        with Path(ledger).open("ab", buffering=0) as file:
            file.write(f"{number}\n".encode())
        return int(number)


class Keeps(Node):
    """Leaves it in the state, once."""

    async def process(self, context: NodeContext) -> int:
        await context.graph_state.append("kept", context.inputs)
        return int(context.inputs)


def again(error: Exception, attempt: int) -> float | None:
    """When an attempt is repeated."""
    return 0.2 if isinstance(error, WorkerLostError) else None


def build(folder: str, executor: RayExecutor, *, keeps: bool) -> Graph:
    start, counts = Split(executor="loop"), Counts(retry=again)
    start.each("items") >> counts
    (counts >> Keeps(retry=again) if keeps else counts) >> JoinNode()
    durability: Any = "exit" if os.environ.get(FORGETS) else "sync"  # the planted bug
    config = CheckpointConfig(
        backend=f"sqlite:///{folder}/runs.db",
        trigger_on_iteration=BETWEEN_CHECKPOINTS,
        max_checkpoints=3,
        durability=durability,
    )
    return Graph(start, id="map", state={"kept": []}, checkpoint_config=config, executor=executor)


async def main(folder: str, *, items: int = ITEMS, keeps: bool = False) -> None:
    """Print the most steps that Ray had at a time, whenever that grows; then the seconds, and whether all results are there."""
    executor, most = RayExecutor(max_in_flight=IN_FLIGHT), 0
    graph = build(folder, executor, keeps=keeps)
    began = time.monotonic()
    running = asyncio.create_task(graph.run({"ledger": f"{folder}/ledger", "items": items}, resume=True))
    while not running.done():
        opening = executor._opening
        if opening is not None and opening.done() and (now := len(opening.result()._under_way)) > most:
            most = now
            print("most", most, flush=True)
        await asyncio.sleep(0.001)
    content = (await running).content
    print("seconds", f"{time.monotonic() - began:.1f}", content == {"results": [*range(items)]}, flush=True)
    executor.close()
