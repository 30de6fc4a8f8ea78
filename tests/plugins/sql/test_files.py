"""The file of a database of SQLite: where it is, and who may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark.errors import BackendError
from spark.graphs.checkpoint import open_backend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record


@pytest.fixture(params=[0o022, 0o000, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_in(folder: Path) -> dict[str, str]:
    """Of each file beside the database, who may do what."""
    return {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("url", ["sqlite:///{}/x.db", "sqlite+pysqlite:///{}/x.db", "sqlite:///file:{}/x.db?uri=true"])
async def test_only_the_owner_reads_what_is_created(tmp_path: Path, umask: int, url: str) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o700)
    async with DatabaseCheckpointBackend(url.format(folder)) as backend:
        await backend.put(make_record())
        await backend.list()

        assert modes_in(folder) == {"x.db": "0o600", "x.db-shm": "0o600", "x.db-wal": "0o600"}


async def test_a_reader_that_comes_first_creates_the_file_for_the_owner_too(tmp_path: Path) -> None:
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/x.db") as backend:
        assert (await backend.list()).infos == []

        assert set(modes_in(tmp_path).values()) == {"0o600"}


async def test_the_file_behind_a_link_is_created_for_the_owner(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (tmp_path / "x.db").symlink_to(folder / "real.db")
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/x.db") as backend:
        await backend.put(make_record())

        assert set(modes_in(folder).values()) == {"0o600"}


async def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record())
    (tmp_path / "x.db").chmod(0o640)

    async with DatabaseCheckpointBackend(url) as backend:
        await backend.put(make_record("g", 2))

        assert modes_in(tmp_path) == {"x.db": "0o640", "x.db-shm": "0o640", "x.db-wal": "0o640"}


@pytest.mark.parametrize("mode", ["ro", "rw"])
async def test_a_url_that_creates_nothing_leaves_nothing(tmp_path: Path, mode: str) -> None:
    async with DatabaseCheckpointBackend(f"sqlite:///file:{tmp_path}/x.db?mode={mode}&uri=true") as backend:
        with pytest.raises(BackendError, match="unable to open"):
            await backend.put(make_record())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["sqlite:///~/x.db", "sqlite+pysqlite:///~/x.db", "sqlite:///~/y/../x.db", "sqlite:///file:~/x.db?uri=true"]
)
async def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)

    backend = open_backend(url)
    await backend.put(make_record())
    await backend.close()

    assert [file.name for file in home.iterdir()] == ["x.db"]
    assert list(here.iterdir()) == []


async def test_a_uri_means_the_same_file_in_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with DatabaseCheckpointBackend("sqlite:///file:a%20b.db?uri=true") as backend:
        monkeypatch.chdir("/")
        await backend.put(make_record())

    assert (tmp_path / "a b.db").is_file()
