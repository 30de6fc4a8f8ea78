"""How long pages take on an operator's store: many graphs, a long history, a large state.

    python -m tests.plugins.ui.measure
    python -m tests.plugins.ui.measure --graphs 1000 --steps 500 --megabytes 10 --backend file

It makes the store, serves it, and asks for each page four times: cold, and then as a browser that looks again.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from spark.graphs import ExitNode, Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, KeepAll, open_backend
from tests.plugins.ui.serving import Served, serving

_TOGETHER: Final = 32
"""Graphs that run at once while the store is made."""


class Take(Node):
    """Begin an order."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.append("log", f"order {context.inputs['order']}")
        return dict(context.inputs)


class Check(Node):
    """Of ten orders, one fails, one asks, one waits."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        order = context.inputs["order"]
        if order % 10 == 3:
            raise ValueError(f"order {order} has no address")
        if order % 10 == 5:
            await context.interrupt({"approve": order}, key="approve")
        if order % 10 == 7:
            await context.sleep(timedelta(hours=3))
        return dict(context.inputs)


class Reply(Node):
    """One turn of a long chat."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        turn = await context.graph_state.get("turn", 0) + 1
        await context.graph_state.set("turn", turn)
        await context.graph_state.append("messages", {"turn": turn, "text": "The quick brown fox jumps. " * 3})
        return {"turns": context.inputs["turns"], "more": turn < context.inputs["turns"]}


class Load(Node):
    """A large state: half of it many objects, half of it one text."""

    async def process(self, context: NodeContext) -> None:
        size = context.inputs["megabytes"] * 500_000
        orders = {f"order-{number}": {"id": number, "note": "x" * 900} for number in range(size // 1000)}
        await context.graph_state.set("orders", orders)
        await context.graph_state.set("text", "A line of a long report.\n" * (size // 25))


async def make(url: str, *, graphs: int, steps: int, megabytes: int) -> None:
    """Fill a store."""
    store = open_backend(url)
    free = asyncio.Semaphore(_TOGETHER)

    async def order(number: int) -> None:
        take = Take()
        take >> Check() >> ExitNode()
        async with free:
            with suppress(ValueError):
                await _graph(take, f"order-{number:05}", store).run({"order": number}, wait=False)

    for first in range(0, graphs, 500):
        await asyncio.gather(*map(order, range(first, min(first + 500, graphs))))
    reply = Reply()
    reply.on(more=True) >> reply
    reply.on(more=False) >> ExitNode()
    await _graph(reply, "chat", store).run(Task(inputs={"turns": steps}))
    load = Load()
    load >> ExitNode()
    await _graph(load, "large", store).run({"megabytes": megabytes})
    await store.close()


def _graph(start: Node, id: str, store: CheckpointBackend) -> Graph:
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, retention=KeepAll())
    return Graph(start, id=id, checkpoint_config=config)


def measure(served: Served, *, steps: int) -> None:
    """Print how long each page takes, as a table."""
    pages = {
        "Runs, the first page": "/",
        "Runs, the fiftieth page": "/?page=50",
        "Runs, only the failed ones": "/?status=failed",
        "Runs, sorted by size": "/?sort=size",
        "Runs, a search": "/?q=order-0012",
        "a run": "/run/order-00013",
        "the long history, latest": "/run/chat",
        "the long history, first": "/run/chat?at=1",
        "the long history, in the middle": f"/run/chat?at={steps // 2}",
        "the long history, for the slider": "/run/chat/history",
        "the long history, Timeline": "/run/chat/timeline",
        "the large state, what changed": "/run/large?at=1",
        "the large state, Everything": "/run/large?at=1&show=tree",
        "the large state, a value in it": "/run/large?at=1&show=tree&open=0.0",
        "the large state, a search": "/run/large?at=1&show=tree&q=order-29",
        "Forks": "/forks",
        "Health": "/health",
    }
    print("| page | first time | again | processor, first and again | size |\n|---|---|---|---|---|")
    for name, path in pages.items():
        times, work = list[float](), list[float]()
        size = 0
        for _ in range(4):
            begun, used = time.perf_counter(), time.process_time()
            size = len(served.get(path).body)
            times.append(time.perf_counter() - begun)
            work.append(time.process_time() - used)
        taken = f"{_ms(times[0])} | {_ms(min(times[1:]))} | {_ms(work[0])}, {_ms(min(work[1:]))}"
        print(f"| {name} | {taken} | {size / 1000:.0f} kB |", flush=True)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--graphs", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=5_000)
    options.add_argument("--megabytes", type=int, default=100)
    options.add_argument("--backend", choices=["sqlite", "file"], default="sqlite")
    options.add_argument("--store", type=Path, help="a folder that is kept: the next time, the store is there already")
    given = options.parse_args()
    with TemporaryDirectory() as temporary:
        folder = given.store or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / ("runs.db" if given.backend == "sqlite" else "runs")
        url = f"sqlite:///{place}" if given.backend == "sqlite" else f"file://{place}"
        if not place.exists():
            begun = time.perf_counter()
            asyncio.run(make(url, graphs=given.graphs, steps=given.steps, megabytes=given.megabytes))
            print(f"The store was made in {time.perf_counter() - begun:.0f} s.\n")
        begun = time.perf_counter()
        with serving(url) as served:
            served.open()
            print(f"The server started in {time.perf_counter() - begun:.2f} s.\n")
            measure(served, steps=given.steps)


if __name__ == "__main__":
    main()
