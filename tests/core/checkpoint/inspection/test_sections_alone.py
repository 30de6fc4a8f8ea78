"""Of a checkpoint with a large state, what is pending can be read alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from tests.plugins.support.counting_reads import CountingReads
from tests.support.running import Does

LARGE = "x" * 3_000_000


async def grow(context: NodeContext) -> None:
    await context.graph_state.set("text", LARGE)


@pytest.fixture
async def manager(tmp_path: Path) -> CheckpointManager:
    store = CountingReads(f"sqlite:///{tmp_path}/store.db")
    await Graph(Does(grow, name="grow"), id="large", checkpoint_config=CheckpointConfig(backend=store)).run()
    return CheckpointManager(store)


async def test_sections_are_read_alone_and_the_others_are_empty(manager: CheckpointManager) -> None:
    whole = await manager.load_checkpoint_at("large", 1, raw=True)
    store = manager.backend
    assert isinstance(store, CountingReads)
    assert whole.graph_state == {"text": LARGE}
    before = store.read
    assert before > 1_000

    outline = await manager.load_checkpoint_at("large", 1, sections=["frontier", "topology"])

    assert (outline.frontier, outline.topology) == (whole.frontier, whole.topology)
    assert (outline.graph_state, outline.execution_metadata, outline.is_raw) == ({}, {}, True)
    assert store.read == before


async def test_a_section_that_does_not_exist_is_refused(manager: CheckpointManager) -> None:
    with pytest.raises(GraphDefinitionError, match=r"a checkpoint has no 'state'\. It has graph_state, node_states"):
        await manager.load_checkpoint("ckpt_large_000001", sections=["state"])


async def test_that_a_large_value_of_another_section_is_missing_is_told_without_reading_any(
    manager: CheckpointManager,
) -> None:
    assert (await manager.load_checkpoint_at("large", 1, sections=["frontier"])).damaged == {}
    names = await manager.backend.blob_names("large")

    await manager.backend.delete_blobs("large", names)

    damaged = (await manager.load_checkpoint_at("large", 1, sections=["frontier"])).damaged
    assert set(damaged) == {"graph_state", "config"}  # each has one
    assert all(f"1 of 1 are missing, such as {name!r}" in "".join(damaged.values()) for name in names)
