"""Versions and tags come back from a checkpoint as they were."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.tags import Tag
from packaging.version import Version

from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend


@pytest.mark.parametrize("value", [Version("1!2.0rc1.post2.dev3+local.4"), Tag("cp311", "abi3", "linux_x86_64")])
async def test_it_comes_back_as_it_was(value: Any) -> None:
    """Nothing is chosen: the bundle is found by the module of the value."""
    config = CheckpointConfig(backend=InMemoryCheckpointBackend())
    await Graph(start=ExitNode(), id="graph", state={"value": value}, checkpoint_config=config).run()

    restored = Graph(start=ExitNode(), id="graph", checkpoint_config=config)
    await restored.run(resume=True)

    assert await restored.get_state("value") == value
