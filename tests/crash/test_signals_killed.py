"""Signals are sent to a graph in another process, which is killed again and again: each arrives once, in order."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, Final

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from spark_testing.children import Child, Tell
from tests.support.variants import first_of

SIGNALS: Final = 40
KILLS: Final = 4


class Take(Node):
    """Keeps what it is sent."""

    async def process(self, context: NodeContext) -> Any:
        value = await context.wait_for("go")
        await context.graph_state.append("taken", value)
        return {"more": value is not None}


def worker(url: str) -> Child:
    """A process that runs the graph."""

    async def work(tell: Tell) -> None:
        take = Take()
        take.on(more=True) >> take
        config = CheckpointConfig(backend=url, trigger_on_iteration=2, signal_poll=0.01)
        graph = Graph(take, id="killed", checkpoint_config=config)
        await graph.run(resume=True)
        assert graph.checkpoint_backend is not None
        await graph.checkpoint_backend.close()

    return Child.start(work)


@pytest.mark.parametrize("kind", first_of(["sqlite", "file"]))
async def test_each_signal_arrives_once_and_in_order(kind: str, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store" if kind == "file" else f"sqlite:///{tmp_path}/store.db"
    drawn, manager, sent = random.Random(7), CheckpointManager(url), 0
    async with manager.backend:
        for _ in range(KILLS):
            child, until = worker(url), asyncio.get_running_loop().time() + drawn.uniform(0.1, 0.3)
            while asyncio.get_running_loop().time() < until:
                if sent < SIGNALS:
                    await manager.send("killed", "go", sent)
                    sent += 1
                await asyncio.sleep(drawn.uniform(0, 0.02))
            child.kill()
        for value in (*range(sent, SIGNALS), None):
            await manager.send("killed", "go", value)
        assert worker(url).wait() == []
        latest = await manager.load_latest("killed")
        assert latest is not None
        assert latest.graph_state["taken"] == [*range(SIGNALS), None]
        assert latest.execution_metadata["received"] == SIGNALS + 1
