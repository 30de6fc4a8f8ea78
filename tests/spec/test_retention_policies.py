"""Retention Policies."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, iterations_of, looping


@pytest.mark.block("Max Checkpoints")
async def test_the_oldest_checkpoints_go_when_there_are_more_than_five(block: PageBlock) -> None:
    config = (await block.run())["config"]
    config.trigger_on_iteration = 1

    graph = Graph(start=looping(Count(8)), checkpoint_config=config)
    await graph.run()

    assert await iterations_of(graph) == [5, 6, 7, 8, 9]


@pytest.mark.block("Auto-Cleanup")
@pytest.mark.parametrize(("auto_cleanup", "kept"), [(True, [*range(4, 14)]), (False, [*range(1, 14)])])
async def test_old_checkpoints_are_deleted_only_by_auto_cleanup(
    block: PageBlock, auto_cleanup: bool, kept: list[int]
) -> None:
    config = (await block.run())["config"]
    assert config.auto_cleanup is True
    config.trigger_on_iteration = 1
    config.auto_cleanup = auto_cleanup

    graph = Graph(start=looping(Count(12)), checkpoint_config=config)
    await graph.run()

    assert await iterations_of(graph) == kept


@pytest.mark.block("Manual Cleanup")
async def test_checkpoints_are_listed_and_deleted_by_hand(
    block: PageBlock, memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    now = datetime.now()
    await saved(memory, "other_old", graph_id="other", timestamp=now - timedelta(days=8))
    await saved(memory, "other_new", graph_id="other", timestamp=now - timedelta(days=6))
    await saved(memory, "ckpt_123", graph_id="my_graph", timestamp=now)
    await saved(memory, "ckpt_124", graph_id="my_graph", timestamp=now)

    names = await block.run(backend=memory)

    assert [info.checkpoint_id for info in names["checkpoints"]] == ["ckpt_123", "ckpt_124"]
    assert [info.checkpoint_id for info in await manager.list_checkpoints()] == ["other_new"]


async def saved(backend: InMemoryCheckpointBackend, checkpoint_id: str, *, graph_id: str, timestamp: datetime) -> None:
    await GraphCheckpoint(checkpoint_id, graph_id, timestamp).save(backend)
