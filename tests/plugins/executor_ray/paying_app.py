"""What runs on Ray in the tests: graphs that pay, wait, ask, and end their process. Ray's workers import it by its name."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from spark.graphs import Graph, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig

STEPS = 4


class Pays(Node):
    """Pays once in each step, and notes in a file who did: ``graph id, number, process, when``."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        number = await context.graph_state.length("paid")
        await context.run("pay", pay, Path(context.inputs["ledger"]), context.graph_id, number)
        await asyncio.sleep(context.inputs.get("seconds", 0.0))
        await context.graph_state.append("paid", number)
        return {**context.inputs, "done": number + 1 == context.inputs.get("steps", STEPS)}


def pay(ledger: Path, graph_id: str, number: int) -> None:
    with ledger.open("ab", buffering=0) as file:
        file.write(f"{graph_id} {number} {os.getpid()} {time.time():.3f}\n".encode())


def paying(graph_id: str) -> Graph:
    pays = Pays(name="pays")
    pays.on(done=False) >> pays
    # The planted bug: what a process has done is lost with it.
    durability: Any = "exit" if os.environ.get("PAYING_APP_FORGETS") else "sync"
    config = CheckpointConfig(trigger_on_iteration=1, max_checkpoints=3, durability=durability)
    return Graph(pays, id=graph_id, state={"paid": []}, checkpoint_config=config)


@node
async def asks(context: NodeContext) -> dict[str, Any]:
    return {"answer": await context.interrupt("go on?")}


def asking(graph_id: str) -> Graph:
    return Graph(asks, id=graph_id)


@node
async def sleeps(context: NodeContext) -> dict[str, Any]:
    await context.sleep(context.inputs["seconds"])
    return {"slept": True}


def sleeping(graph_id: str) -> Graph:
    return Graph(sleeps, id=graph_id)


@node
async def dies(context: NodeContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(graph_id: str) -> Graph:
    return Graph(dies, id=graph_id)


@node
async def fails(context: NodeContext) -> None:
    raise ValueError("no such order")


def failing(graph_id: str) -> Graph:
    return Graph(fails, id=graph_id)


def no_graph(graph_id: str) -> int:
    return 7


def raising(graph_id: str) -> Graph:
    raise ValueError("not this id")


def without_id() -> Graph:
    return failing("x")
