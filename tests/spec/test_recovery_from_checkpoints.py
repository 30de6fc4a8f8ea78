"""Recovery from Checkpoints."""

from __future__ import annotations

import pytest

from spark.errors import SparkWarning
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, Flaky, looping


@pytest.mark.block("Manual Checkpoint Creation")
async def test_a_checkpoint_is_made_and_saved_by_hand(
    block: PageBlock, memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    graph = Graph(start=looping(Count()), id="g", state={"count": 1})

    names = await block.run(graph=graph, backend=memory)
    loaded = await manager.load_checkpoint("manual_ckpt_001")

    assert loaded == names["checkpoint"]
    assert loaded.graph_state == {"count": 1}
    assert loaded.execution_metadata["metadata"] == {"reason": "before_risky_operation"}


@pytest.mark.block("Restore from Checkpoint")
async def test_a_restored_graph_goes_on_from_the_checkpoints_state(
    block: PageBlock, memory: InMemoryCheckpointBackend
) -> None:
    flaky = Flaky(limit=5, fails_at=3)
    interrupted = Graph(start=looping(flaky), id="g")
    with pytest.raises(ConnectionError):
        await interrupted.run()
    await interrupted.create_checkpoint("ckpt_123").save(memory)

    names = await block.run(backend=memory)

    assert names["checkpoint"].graph_state == {"count": 2}
    assert names["graph"] is not interrupted
    assert names["result"].content == {"count": 5, "done": True, "success": True}


@pytest.mark.block("Complete Recovery Example")
async def test_a_failed_run_is_retried_from_its_latest_checkpoint(
    block: PageBlock, files: FileCheckpointBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    node = Flaky(limit=20, fails_at=14)

    with pytest.warns(SparkWarning, match="random id"):
        names = await block.run(my_node=looping(node))
    said = capsys.readouterr().out.splitlines()

    assert said == [
        "Graph failed: the service hung up",
        f"Recovering from checkpoint: {names['latest'].checkpoint_id}",
        "Recovery successful",
    ]
    assert [info.sequence for info in names["checkpoints"]] == [1, 2]
    assert names["checkpoint"].execution_metadata["iteration"] == 13
    assert names["result"].content == {"count": 20, "done": True, "success": True}


@pytest.mark.parametrize("iterations", [9, 10, 11])
async def test_every_completed_iteration_before_a_failure_is_kept(
    iterations: int, memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    """Whether or not a trigger was due just then."""
    config = CheckpointConfig(backend=memory, trigger_on_iteration=10)
    graph = Graph(start=looping(Flaky(limit=20, fails_at=iterations + 1)), id="g", checkpoint_config=config)

    with pytest.raises(ConnectionError):
        await graph.run()
    latest = await manager.load_latest("g")

    assert latest is not None
    assert latest.graph_state == {"count": iterations}
