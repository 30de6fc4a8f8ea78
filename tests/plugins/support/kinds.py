"""Stores by their kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointBackend, FileCheckpointBackend, InMemoryCheckpointBackend
from spark_backend_sql import DatabaseCheckpointBackend
from tests.plugins.support.s3.stores import open_store

SELDOM_S3 = pytest.param("s3", marks=pytest.mark.thorough)
"""As a parameter of a fixture: S3 costs ten times as much as any other, so by default few tests of the core use it."""


def store_of(kind: str, request: pytest.FixtureRequest, path: Path) -> CheckpointBackend:
    """A new store in memory, in files, in SQLite or in S3, whose server is started when it is asked for."""
    if kind == "memory":
        return InMemoryCheckpointBackend()
    if kind == "file":
        return FileCheckpointBackend(path / "store")
    if kind == "sqlite":
        return DatabaseCheckpointBackend(f"sqlite:///{path}/checkpoints.db")
    server = request.getfixturevalue("s3_server")
    return open_store(server, server.new_bucket())
