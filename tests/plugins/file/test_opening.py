"""A directory that is only looked at: nothing is made in it, and it may be read-only."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark.errors import BackendError, StoreNotFoundError
from spark.graphs.checkpoint import open_backend
from spark_testing.records import make_record
from tests.plugins.support.unprivileged import for_everybody, somebody_else


async def test_a_directory_that_is_read_only_is_read(tmp_path: Path) -> None:
    url = f"file://{for_everybody(tmp_path)}/store"
    async with open_backend(url) as backend:
        await backend.put(make_record("g", 1))
    paths = [tmp_path / "store", *(tmp_path / "store").rglob("*")]
    for path in paths[::-1]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(path.name for path in paths)

    with somebody_else():
        async with open_backend(url, create=False) as backend:
            assert [info.sequence for info in (await backend.list()).infos] == [1]
            assert await backend.get_latest("g") is not None
            assert await backend.leftovers() == []
            with pytest.raises(BackendError, match="Make the directory writable for this user"):
                await backend.put(make_record("g", 2))

    for path in paths:
        path.chmod(0o755)
    assert sorted(path.name for path in (tmp_path / "store", *(tmp_path / "store").rglob("*"))) == before


async def test_a_folder_of_fsspec_is_looked_for_once_and_not_made() -> None:
    async with open_backend("fsspec+memory://nowhere/store", create=False) as backend:
        for _ in range(2):
            with pytest.raises(StoreNotFoundError, match="memory://nowhere/store: there is no such folder"):
                await backend.list()
        async with open_backend("fsspec+memory://nowhere/store") as writer:
            await writer.put(make_record("g", 1))
        assert len((await backend.list()).infos) == 1
