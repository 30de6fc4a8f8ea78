"""Fit a line to points, with checkpoints of which this program knows nothing: ``spark.toml`` beside it says where, when and how.

    pip install 'spark-graphs[sql,msgpack]'
    cd examples/settings
    python train.py

Kill it and start it again: it continues. ``SPARK_CHECKPOINT_URL=file:///tmp/train python train.py`` keeps its checkpoints
elsewhere, and ``spark checkpoints list`` shows them.
"""

import asyncio
import random
import sys
from typing import Any

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig

EPOCHS = 400
RATE = 0.02
SEED = random.Random(7)
POINTS = [(x, 3 * x + 2 + SEED.gauss(0, 0.1)) for x in (SEED.uniform(-1, 1) for _ in range(2_000))]


class Train(Node):
    """One step of gradient descent."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        state = context.graph_state
        epoch, slope, offset = (
            await state.get("epoch", 0),
            await state.get("slope", 0.0),
            await state.get("offset", 0.0),
        )
        errors = [(slope * x + offset - y, x) for x, y in POINTS]
        await state.set("loss", sum(error * error for error, _ in errors) / len(errors))
        await state.set("slope", slope - RATE * 2 * sum(error * x for error, x in errors) / len(errors))
        await state.set("offset", offset - RATE * 2 * sum(error for error, _ in errors) / len(errors))
        await state.set("epoch", epoch + 1)
        if epoch % 50 == 0:
            print(f"epoch {epoch}, loss {await state.get('loss'):.4f}", flush=True)
        return {"done": epoch + 1 >= EPOCHS}


async def main() -> None:
    train = Train()
    train.on(done=False) >> train
    train.on(done=True) >> ExitNode()
    graph = Graph(start=train, id="train", checkpoint_config=CheckpointConfig.load())
    await graph.run(resume=True)
    print(f"y = {await graph.get_state('slope'):.6f} x + {await graph.get_state('offset'):.6f}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
