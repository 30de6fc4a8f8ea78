"""Performance Considerations. What things cost is for benchmarks to say; these are the tips."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, iterations_of, looping


@pytest.mark.block("Optimization Tips")
async def test_the_frequency_is_configured(block: PageBlock) -> None:
    config = (await block.run())["config"]

    graph = Graph(start=looping(Count(30)), checkpoint_config=config)
    await graph.run()

    assert config.trigger_on_iteration == 10
    assert await iterations_of(graph) == [10, 20, 30, 31]


@pytest.mark.block("Optimization Tips", 2)
async def test_a_reference_is_kept_as_well_as_large_data(block: PageBlock, memory: InMemoryCheckpointBackend) -> None:
    class Storing(Node):
        async def process(self, context: NodeContext) -> None:
            await block.run(context=context, huge_list=[*range(10_000)], file_path="/data/large")

    graph = Graph(start=Storing(), id="g", checkpoint_config=CheckpointConfig(backend=memory))
    await graph.run()

    assert graph.get_state_snapshot() == {"large_data": [*range(10_000)], "data_ref": "/data/large"}
    assert await size_with({"large_data": [*range(10_000)]}, memory) > 50 * await size_with(
        {"data_ref": "/data/large"}, memory
    )


@pytest.mark.block("Optimization Tips", 3)
async def test_compression_makes_checkpoints_smaller(block: PageBlock, memory: InMemoryCheckpointBackend) -> None:
    backend = (await block.run())["backend"]

    state = {"log": ["the same line again"] * 1000}

    assert isinstance(backend, FileCheckpointBackend)
    assert await size_with(state, backend) * 10 < await size_with(state, memory)


@pytest.mark.block("Optimization Tips", 4)
async def test_only_recent_checkpoints_are_kept(block: PageBlock) -> None:
    config = (await block.run())["config"]
    config.trigger_on_iteration = 1

    graph = Graph(start=looping(Count(9)), checkpoint_config=config)
    await graph.run()

    assert await iterations_of(graph) == [6, 7, 8, 9, 10]


async def size_with(state: dict[str, Any], backend: CheckpointBackend) -> int:
    """The stored size of a checkpoint of this state."""
    await Graph(start=Count(), id="g", state=state).create_checkpoint("sized").save(backend)
    (info,) = [info for info in await CheckpointManager(backend).list_checkpoints("g") if info.manual]
    return info.size
