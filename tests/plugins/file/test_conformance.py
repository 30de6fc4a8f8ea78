"""The file backend keeps the promise of backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spark_backend_file import FileCheckpointBackend
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from tests.plugins.support.remote_stores import spoil_local


class TestFileBackend(CheckpointBackendConformance):
    capabilities = ("persistent", "processes", "concurrent_processes", "keeps_blobs", "deletes_along")
    many_graphs = 200  # each save waits for the disk
    many_blobs = 200

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with FileCheckpointBackend(tmp_path / "store") as backend:
            yield backend

    @pytest.fixture
    def open_another(self, tmp_path: Path) -> OpenAnother:
        return lambda: FileCheckpointBackend(tmp_path / "store")

    @pytest.fixture
    def open_absent(self, tmp_path: Path) -> OpenAnother:
        return lambda: FileCheckpointBackend(tmp_path / "nowhere", create=False)

    @pytest.fixture
    def read_raw(self, backend: FileCheckpointBackend) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            # Test ids that are looked up so are plain, and so are their folders' names.
            file = Path(backend.directory) / graph_id / f"{sequence:012d}.ckpt"
            return file.read_bytes() if file.exists() else None

        return read

    @pytest.fixture
    def spoil(self, backend: FileCheckpointBackend) -> Spoil:
        return lambda graph_id, sequence: spoil_local(Path(backend.directory), graph_id, sequence)
