"""Forks and copies share nothing with their origin: it can be forgotten, and they load and are continued."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark_cli.copying.archive import Archive
from spark_cli.copying.transfer import transfer
from tests.plugins.support.growing_graph import conversation, state_after
from tests.support.variants import first_of

KINDS = first_of(["file", "sqlite", "memory", "fsspec", "postgresql", "s3"], always=2)
STEPS = 70


@pytest.fixture
async def origin(store: CheckpointBackend) -> GraphCheckpoint:
    """The latest checkpoint of a conversation with chunks in them."""
    store.blob_cost = 4 * 1024
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, max_checkpoints=3)
    await conversation(config).run({"length": STEPS})
    assert len(await store.blob_names("conversation")) > 2
    checkpoint = await CheckpointManager(store).load_latest("conversation")
    assert checkpoint is not None
    return checkpoint


async def forget(store: CheckpointBackend) -> None:
    await CheckpointManager(store).forget("conversation")
    assert await store.blob_names("conversation") == []


async def loaded(store: CheckpointBackend, graph_id: str = "conversation") -> GraphCheckpoint:
    checkpoint = await CheckpointManager(store).load_latest(graph_id)
    assert checkpoint is not None
    return checkpoint


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fork_outlives_its_origin_and_is_continued(store: CheckpointBackend, origin: GraphCheckpoint) -> None:
    await origin.fork("fork").save(store)
    await forget(store)

    fork = await loaded(store, "fork")
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, max_checkpoints=3)
    again = Graph.from_checkpoint(fork, start=conversation(config).start, checkpoint_config=config)
    await again.run({"length": STEPS + 30}, resume="state")

    assert fork.graph_state == state_after(STEPS)
    assert (await loaded(store, "fork")).graph_state == state_after(STEPS + 30)
    assert (await CheckpointManager(store).verify("fork")).damaged == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_copy_in_another_store_outlives_its_origin_and_is_continued(
    store: CheckpointBackend, origin: GraphCheckpoint, tmp_path: Path
) -> None:
    async with FileCheckpointBackend(tmp_path / "copy") as copy:
        assert (await transfer(store, copy)).is_fine
        await forget(store)

        assert (await loaded(copy)).graph_state == state_after(STEPS)
        config = CheckpointConfig(backend=copy, trigger_on_iteration=1, max_checkpoints=3)
        await conversation(config).run({"length": STEPS + 30}, resume="state")
        assert (await loaded(copy)).graph_state == state_after(STEPS + 30)
        assert (await CheckpointManager(copy).verify("conversation")).damaged == []


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_exported_or_saved_by_hand_outlives_its_origin(
    store: CheckpointBackend, origin: GraphCheckpoint, tmp_path: Path
) -> None:
    by_hand, imported = InMemoryCheckpointBackend(), InMemoryCheckpointBackend()
    await origin.save(by_hand)
    archive = Archive.write(tmp_path / "all.records")
    await transfer(store, archive)
    await archive.finish()
    archive.close()
    await forget(store)

    archive = Archive.read(tmp_path / "all.records")
    assert (await transfer(archive, imported)).is_fine
    archive.close()
    assert (await loaded(imported)).graph_state == state_after(STEPS)
    assert (await loaded(by_hand)).graph_state == state_after(STEPS)
    assert await by_hand.blob_names("conversation") == [], "what is saved by hand holds everything"
