"""Best Practices: no code on the page, but each needs something from the library."""

from __future__ import annotations

import stat
from pathlib import Path

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CURRENT_VERSION,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from tests.support.stand_ins import Count, checkpoints_of, looping


def test_a_backend_says_whether_it_is_persistent() -> None:
    assert FileCheckpointBackend.persistent
    assert not InMemoryCheckpointBackend.persistent


async def test_the_size_of_a_checkpoint_can_be_monitored_without_loading_it(manager: CheckpointManager) -> None:
    graph = Graph(start=looping(Count()), id="g", checkpoint_config=CheckpointConfig(backend=manager.backend))

    await graph.run()
    small = (await manager.list_checkpoints("g"))[-1].size
    await graph.set_state("large", "x" * 5_000)
    await graph.run()

    assert (await manager.list_checkpoints("g"))[-1].size > small + 5_000


async def test_checkpoints_in_files_are_readable_by_their_owner_only(
    files: FileCheckpointBackend, tmp_path: Path
) -> None:
    await Graph(start=looping(Count()), id="g", checkpoint_config=CheckpointConfig(backend=files)).run()

    stored = list((tmp_path / "checkpoints").rglob("*.ckpt"))

    assert stored
    assert {stat.S_IMODE(file.stat().st_mode) for file in stored} == {0o600}


async def test_the_strategy_is_recorded_in_every_checkpoint() -> None:
    graph = Graph(start=looping(Count()), id="g", checkpoint_config=CheckpointConfig(trigger_on_iteration=2))

    await graph.run()

    assert [checkpoint.config["checkpoint"]["trigger_on_iteration"] for checkpoint in await checkpoints_of(graph)] == [
        2,
        2,
    ]


async def test_every_checkpoint_has_its_format_version() -> None:
    graph = Graph(start=looping(Count()), id="g", checkpoint_config=CheckpointConfig())

    await graph.run()

    assert [checkpoint.version for checkpoint in await checkpoints_of(graph)] == [CURRENT_VERSION]
