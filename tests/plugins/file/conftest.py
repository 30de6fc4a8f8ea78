"""A file backend for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spark_backend_file import FileCheckpointBackend

LEAVES_OUT = ("Listing", "AskingMany", "Deleting", "Forgetting", "LargeValues", "Ids", "Running")
"""Parts of the suite of which one test runs over SFTP by default. The others ask the same of the same code, which runs whole on
two other filesystems. All of those about single calls, connections, cancellation and other writers are kept."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make test-thorough` what is slow over SFTP and the same elsewhere."""
    met: set[str] = set()
    for item in items:
        if isinstance(item, pytest.Function) and getattr(item.cls, "__name__", "") == "TestOverSftp":
            part = item.function.__qualname__.partition(".")[0]
            if part in LEAVES_OUT and part in met:
                item.add_marker(pytest.mark.thorough)
            met.add(part)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    """One that saves in threads of its own, where a test can hold it up."""
    async with FileCheckpointBackend(tmp_path / "store", inline_io=False) as backend:
        yield backend
