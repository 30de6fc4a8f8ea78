"""Checkpoint Triggers."""

from __future__ import annotations

from functools import partial

import pytest

from spark.graphs import ExitNode, Graph, Node
from spark_testing.clock import FakeClock
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, Slow, checkpoints_of, iterations_of, looping


@pytest.mark.block("Iteration-Based Triggers")
async def test_a_loop_is_checkpointed_at_every_fifth_iteration(block: PageBlock) -> None:
    names = await block.run()
    names["config"].auto_cleanup = False  # so that the first ones are still there to be seen

    result = await names["graph"].run()

    assert result.content == {"done": True, "iteration": 50, "success": True}
    assert await iterations_of(names["graph"]) == [*range(5, 51, 5), 51]
    assert [checkpoint.graph_state["iteration"] for checkpoint in await checkpoints_of(names["graph"])] == [
        *range(5, 51, 5),
        50,
    ]


@pytest.mark.block("Time-Based Triggers")
async def test_a_long_run_is_checkpointed_every_thirty_seconds(block: PageBlock) -> None:
    clock = FakeClock()
    node = looping(Slow(12, clock=clock, seconds=10))

    names = await block.run(my_node=node, Graph=partial(Graph, clock=clock))
    checkpoints = await checkpoints_of(names["graph"])

    # Ten seconds each: the third node execution ends at 30 s, the sixth at 60 s, and so on.
    assert await iterations_of(names["graph"]) == [3, 6, 9, 12, 13]
    assert checkpoints[-1].config["mode"] == "LONG_RUNNING"
    assert names["result"].content["success"] is True


@pytest.mark.block("Node-Based Triggers")
async def test_a_checkpoint_is_made_after_each_of_the_nodes(block: PageBlock) -> None:
    start = Ingest()
    start >> DataProcessor() >> ModelTrainer() >> ResultValidator() >> ExitNode()

    names = await block.run(my_node=start)
    await names["graph"].run()

    assert [checkpoint.execution_metadata["last_node"] for checkpoint in await checkpoints_of(names["graph"])] == [
        "DataProcessor",
        "ModelTrainer",
        "ResultValidator",
        "ExitNode",
    ]


@pytest.mark.block("Combined Triggers")
async def test_a_checkpoint_is_made_when_any_of_the_triggers_is_due(block: PageBlock) -> None:
    clock = FakeClock()
    critical = CriticalNode()
    critical >> looping(Slow(20, clock=clock, seconds=4))

    config = (await block.run())["config"]
    graph = Graph(start=critical, checkpoint_config=config, clock=clock)
    await graph.run()

    # The critical node; the tenth iteration; the fifteenth slow one, at 60 s; the twentieth; and the exit.
    assert await iterations_of(graph) == [1, 10, 16, 20, 21]


class Ingest(Node):
    async def process(self) -> dict[str, bool]:
        return {"done": True}


class DataProcessor(Ingest): ...


class ModelTrainer(Ingest): ...


class ResultValidator(Ingest): ...


class CriticalNode(Count): ...
