"""A worker as a program of its own: it resumes whatever orders are unfinished in the store, until it is told to stop.

    SPARK_CHECKPOINT_URL=sqlite:///orders.db python examples/worker.py --begin 3
    SPARK_CHECKPOINT_URL=sqlite:///orders.db python examples/worker.py

The first line submits three orders and leaves them to workers; start as many of these as you like. At SIGTERM or Ctrl-C,
nothing new is begun, running steps finish within ``--grace`` seconds, and the process exits with 0. Other workers, or the next
one, do the rest. ``examples/kubernetes.yaml`` runs it in a cluster.
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from orders import build

from spark.graphs import Message
from spark.graphs.checkpoint import CheckpointBackend, CheckpointManager, RunInfo, open_backend

STORE = os.environ.get("SPARK_CHECKPOINT_URL", "sqlite:///orders.db")
ALIVE_FILE = Path(os.environ.get("ALIVE_FILE", os.devnull))


async def begin(store: CheckpointBackend, orders: int) -> None:
    """Store runs, and leave them to workers."""
    for number in range(1, orders + 1):
        await build(f"order-{number}", store).submit({"order": number})


async def work(store: CheckpointBackend, *, every: float, grace: float, limit: int) -> None:
    """Resume what can continue, again and again, until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    alive = asyncio.create_task(show_signs_of_life())
    await CheckpointManager(store).work(
        lambda graph_id: build(graph_id, store), limit=limit, every=every, stop=stop, grace=grace, tell=tell
    )
    alive.cancel()


def tell(run: RunInfo, outcome: Message | Exception | str | None) -> None:
    """Say how a run has ended."""
    if isinstance(outcome, Exception):
        print(f"{run.graph_id} failed: {outcome!r}", flush=True)
    elif isinstance(outcome, Message):
        print(f"{run.graph_id} {outcome.status}", flush=True)


async def show_signs_of_life() -> None:
    """Touch a file, for the liveness probe: it finds a process whose event loop is blocked."""
    while True:
        ALIVE_FILE.touch()
        await asyncio.sleep(5)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--begin", type=int, metavar="N", help="submit so many orders, and exit")
    parser.add_argument("--every", type=float, default=5, help="seconds from a look that found nothing to the next")
    parser.add_argument("--grace", type=float, default=20, help="seconds that running steps get after SIGTERM")
    parser.add_argument("--limit", type=int, default=8, help="so many runs at a time")
    options = parser.parse_args()
    async with open_backend(STORE) as store:
        if options.begin:
            await begin(store, options.begin)
        else:
            await work(store, every=options.every, grace=options.grace, limit=options.limit)


if __name__ == "__main__":
    asyncio.run(main())
