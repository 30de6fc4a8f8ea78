"""A worker: it resumes whatever is unfinished in the store, round after round, until it is told to stop.

    SPARK_CHECKPOINT_URL=sqlite:///orders.db python examples/worker.py --begin 3
    SPARK_CHECKPOINT_URL=sqlite:///orders.db python examples/worker.py

The first line begins three orders and leaves them to workers; start as many of these as you like. At SIGTERM or Ctrl-C,
nothing new is begun, running steps finish within ``--grace`` seconds, and the process exits with 0. Other workers, or the next
one, do the rest. ``examples/kubernetes.yaml`` runs it in a cluster.
"""

import argparse
import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, open_backend

STORE = os.environ.get("SPARK_CHECKPOINT_URL", "sqlite:///orders.db")
ALIVE_FILE = Path(os.environ.get("ALIVE_FILE", os.devnull))
SECONDS_PER_CALL = float(os.environ.get("SECONDS_PER_CALL", "1"))


@node
async def accept(context: NodeContext) -> dict[str, Any]:
    """Return to whoever began the run: a worker goes on from here."""
    await context.sleep(0.01)
    return {"order": context.inputs["order"]}


@node
async def charge(context: NodeContext) -> dict[str, Any]:
    """Charge once, even if the step is repeated."""
    receipt = await context.run("charge", call_service, "charge", context.inputs["order"])
    return {**context.inputs, "receipt": receipt}


@node
async def ship(context: NodeContext) -> dict[str, Any]:
    return {**context.inputs, "parcel": await call_service("ship", context.inputs["order"])}


accept >> charge >> ship


async def call_service(what: str, order: int) -> str:
    """Stands for a call to another service."""
    print(f"{what} {order}", flush=True)
    await asyncio.sleep(SECONDS_PER_CALL)
    return f"{what}-{order}"


def build(graph_id: str, store: CheckpointBackend) -> Graph:
    """The graph of one order."""
    return Graph(accept, id=graph_id, checkpoint_config=CheckpointConfig(backend=store, trigger_on_iteration=1))


async def begin(store: CheckpointBackend, orders: int) -> None:
    for number in range(1, orders + 1):
        await build(f"order-{number}", store).run({"order": number}, wait=False, claim=True)


async def work(store: CheckpointBackend, *, every: float, grace: float, limit: int) -> None:
    """Resume what can go on, again and again, until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    manager, alive = CheckpointManager(store), asyncio.create_task(show_signs_of_life())

    async def resume_due() -> None:
        recovery = await manager.resume_all(
            lambda graph_id: build(graph_id, store), limit=limit, stop=stop, grace=grace
        )
        for graph_id, message in recovery.resumed.items():
            print(f"{graph_id} {message.status}", flush=True)
        for graph_id, error in recovery.failed.items():
            print(f"{graph_id} failed: {error!r}", flush=True)

    async with asyncio.TaskGroup() as rounds:  # one that has long runs to resume holds up no other
        while not stop.is_set():
            rounds.create_task(resume_due())
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), every)
    alive.cancel()


async def show_signs_of_life() -> None:
    """Touch a file, for the liveness probe: it finds a process whose event loop is blocked."""
    while True:
        ALIVE_FILE.touch()
        await asyncio.sleep(5)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--begin", type=int, metavar="N", help="begin so many orders, and exit")
    parser.add_argument("--every", type=float, default=5, help="seconds between two rounds")
    parser.add_argument("--grace", type=float, default=20, help="seconds that running steps get after SIGTERM")
    parser.add_argument("--limit", type=int, default=8, help="so many runs at a time, in each round")
    options = parser.parse_args()
    async with open_backend(STORE) as store:
        if options.begin:
            await begin(store, options.begin)
        else:
            await work(store, every=options.every, grace=options.grace, limit=options.limit)


if __name__ == "__main__":
    asyncio.run(main())
