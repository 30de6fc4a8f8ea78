"""The stores that tests about large values run over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointBackend, FileCheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from tests.plugins.support.s3.stores import open_store


@pytest.fixture(params=["file", "sqlite", "s3"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    """A store of each kind that keeps large values by themselves."""
    made: CheckpointBackend
    if request.param == "file":
        made = FileCheckpointBackend(tmp_path / "store")
    elif request.param == "sqlite":
        made = DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/checkpoints.db")
    else:
        server = request.getfixturevalue("s3_server")
        made = open_store(server, server.new_bucket())
    async with made:
        yield made
