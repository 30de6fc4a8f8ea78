"""The graph of an order: it is charged once, and shipped. Three programs carry orders out, each resuming what another one left:

spark worker orders:build --url sqlite:///orders.db     # docs/workers.md
python worker.py                                        # a worker as a program of its own: docs/shutdown.md
python ray_orders.py                                    # whole runs on a Ray cluster: docs/ray-runs.md
"""

import asyncio
import os
from typing import Any

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig

SECONDS_PER_CALL = float(os.environ.get("SECONDS_PER_CALL", "1"))


@node
async def charge(context: NodeContext) -> dict[str, Any]:
    """Charge once, even if the step is repeated."""
    receipt = await context.run("charge", call_service, "charge", context.inputs["order"])
    return {**context.inputs, "receipt": receipt}


@node
async def ship(context: NodeContext) -> dict[str, Any]:
    return {**context.inputs, "parcel": await call_service("ship", context.inputs["order"])}


charge >> ship


async def call_service(what: str, order: int) -> str:
    """Stands for a call to another service."""
    print(f"{what} {order}", flush=True)
    await asyncio.sleep(SECONDS_PER_CALL)
    return f"{what}-{order}"


def build(graph_id: str, store: CheckpointBackend | None = None) -> Graph:
    """The graph of one order. Without a store it is the one of ``SPARK_CHECKPOINT_URL``, or that of whoever calls this."""
    return Graph(charge, id=graph_id, checkpoint_config=CheckpointConfig(backend=store, trigger_on_iteration=1))
