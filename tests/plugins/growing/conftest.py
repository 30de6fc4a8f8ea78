"""A store of each kind, for graphs whose state grows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from spark.graphs.checkpoint import CheckpointBackend, FileCheckpointBackend, InMemoryCheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from tests.plugins.support.remote_stores import remove_from_memory
from tests.plugins.support.s3.stores import open_store
from tests.plugins.support.sql_servers import new_table


@pytest.fixture
def kind() -> str:
    """Which of the stores; a test has it as a parameter where it is about some of them."""
    return "memory"


@pytest.fixture
async def store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    """An empty store of this kind."""
    async with _made(kind, request, tmp_path) as made:
        yield made
    if kind == "fsspec":
        assert isinstance(made, FileCheckpointBackend)
        remove_from_memory(made.directory)


def _made(kind: str, request: pytest.FixtureRequest, folder: Path) -> CheckpointBackend:
    if kind == "memory":
        memory = InMemoryCheckpointBackend()
        memory.keeps_records = False  # it has the chunks of a store that keeps bytes
        return memory
    if kind == "file":
        return FileCheckpointBackend(folder / "store")
    if kind == "fsspec":
        return FileCheckpointBackend(f"memory://growing-{uuid4().hex}")
    if kind == "sqlite":
        return DatabaseCheckpointBackend(f"sqlite:///{folder}/checkpoints.db")
    if kind == "postgresql":
        return DatabaseCheckpointBackend(request.getfixturevalue("postgres").url, new_table())
    server = request.getfixturevalue("s3_server")
    return open_store(server, server.new_bucket())
