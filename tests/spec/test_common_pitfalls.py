"""Common Pitfalls."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, checkpoints_of, iterations_of, looping


@pytest.mark.block("1. Not Enabling Persistent Backend")
async def test_a_persistent_backend_keeps_checkpoints_for_another_process(block: PageBlock) -> None:
    config = (await block.run())["config"]

    await Graph(start=looping(Count()), id="g", checkpoint_config=config).run()
    await config.backend.close()

    async with FileCheckpointBackend(directory=str(block.directory)) as anew:
        latest = await CheckpointManager(anew).load_latest("g")
    assert latest is not None
    assert latest.execution_metadata["reason"] == "completed"


@pytest.mark.block("2. Checkpoint Triggers Too Frequent")
async def test_a_reasonable_frequency_is_configured(block: PageBlock) -> None:
    config = (await block.run())["config"]

    graph = Graph(start=looping(Count(20)), checkpoint_config=config)
    await graph.run()

    assert await iterations_of(graph) == [10, 20, 21]


@pytest.mark.block("3. Not Testing Recovery")
async def test_the_pages_test_of_a_recovery_passes(block: PageBlock, memory: InMemoryCheckpointBackend) -> None:
    names = await block.run(my_node=looping(Count()), backend=memory)

    await names["test_recovery"]()

    assert [checkpoint.execution_metadata["reason"] for checkpoint in await checkpoints_of(names["graph"])] == [
        "completed"
    ]


@pytest.mark.block("4. Large State in Checkpoints")
async def test_large_data_and_references_are_both_kept(block: PageBlock) -> None:
    rows = [{"row": number} for number in range(1000)]

    class Storing(Node):
        async def process(self, context: NodeContext) -> Any:
            await block.run(context=context, million_row_dataframe=rows)

    graph = Graph(start=Storing(), checkpoint_config=CheckpointConfig())
    await graph.run()
    (checkpoint,) = await checkpoints_of(graph)

    assert checkpoint.graph_state == {"all_records": rows, "data_path": "/path/to/data.parquet"}
