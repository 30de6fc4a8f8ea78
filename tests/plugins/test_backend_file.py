"""The file backend keeps the promise of backends."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.backend_contract import BackendContract, ReadRaw

from spark_backend_file import FileCheckpointBackend


class TestFileBackend(BackendContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with FileCheckpointBackend(tmp_path / "store") as backend:
            yield backend
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("file-backend")] == []

    @pytest.fixture
    def read_raw(self, backend: FileCheckpointBackend) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            # Test ids that are looked up so are plain, and so are their folders' names.
            file = Path(backend.directory) / graph_id / f"{sequence:012d}.ckpt"
            return file.read_bytes() if file.exists() else None

        return read
