"""The backend keeps the promise of backends, and is found by its URL."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spark_backend_example.backend import ExampleCheckpointBackend

from spark.graphs.checkpoint import open_backend
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil


class TestExample(CheckpointBackendConformance):
    capabilities = ("persistent", "processes", "concurrent_processes", "keeps_blobs")
    many_graphs = 100  # each save waits for the disk twice
    many_blobs = 100

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[ExampleCheckpointBackend]:
        async with ExampleCheckpointBackend(tmp_path / "store") as backend:
            yield backend

    @pytest.fixture
    def open_another(self, tmp_path: Path) -> OpenAnother:
        return lambda: ExampleCheckpointBackend(tmp_path / "store")

    @pytest.fixture
    def read_raw(self, tmp_path: Path) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            file = file_of(tmp_path / "store", graph_id, sequence)
            return (file.read_bytes() or None) if file.exists() else None

        return read

    @pytest.fixture
    def spoil(self, tmp_path: Path) -> Spoil:
        def spoil(graph_id: str, sequence: int) -> None:
            file_of(tmp_path / "store", graph_id, sequence).write_bytes(b"something else")

        return spoil


def file_of(store: Path, graph_id: str, sequence: int) -> Path:
    return store / f"{hashlib.sha256(graph_id.encode()).hexdigest()}-{sequence:020d}.record"


def test_its_url_names_a_directory() -> None:
    backend = open_backend("example:///a%20b/c")

    assert isinstance(backend, ExampleCheckpointBackend)
    assert str(backend.directory) == "/a b/c"


@pytest.mark.parametrize("url", ["example://host/a", "example:a", "example:///a?b=c"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="example:///"):
        ExampleCheckpointBackend.from_url(url)
