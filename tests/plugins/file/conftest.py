"""A file backend for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spark_backend_file import FileCheckpointBackend


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    """One that saves in threads of its own, where a test can hold it up."""
    async with FileCheckpointBackend(tmp_path / "store", inline_io=False) as backend:
        yield backend
