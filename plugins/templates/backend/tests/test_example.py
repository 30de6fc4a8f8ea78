"""The backend keeps the promise of backends, and is found by its URL."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spark_backend_example.backend import ExampleCheckpointBackend

from spark.hooks import open_backend
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw


class TestExample(CheckpointBackendConformance):
    capabilities = ("persistent", "processes", "concurrent_processes")

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
            name = f"{hashlib.sha256(graph_id.encode()).hexdigest()}-{sequence:020d}.record"
            file = tmp_path / "store" / name
            return (file.read_bytes() or None) if file.exists() else None

        return read


def test_its_url_names_a_directory() -> None:
    backend = open_backend("example:///a%20b/c")

    assert isinstance(backend, ExampleCheckpointBackend)
    assert str(backend.directory) == "/a b/c"


@pytest.mark.parametrize("url", ["example://host/a", "example:a", "example:///a?b=c"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="example:///"):
        ExampleCheckpointBackend.from_url(url)
