"""A database that is only looked at: nothing is made in it, and it may be read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spark.errors import BackendError, StoreNotFoundError
from spark.graphs.checkpoint import CheckpointManager, open_backend
from spark_backend_sql import DatabaseCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.sql_servers import PostgresServer
from tests.plugins.support.unprivileged import for_everybody, ourselves, somebody_else


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that everybody can get to."""
    folder = for_everybody(tmp_path) / "store"
    folder.mkdir()
    yield folder
    folder.chmod(0o755)


async def save(url: str, sequence: int = 1) -> None:
    async with open_backend(url) as backend:
        await backend.put(make_record("g", sequence))


def seal(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


async def test_a_file_and_a_folder_that_are_read_only_are_read(folder: Path) -> None:
    url = f"sqlite:///{folder}/runs.db"
    await save(url)
    seal(folder)

    with somebody_else():
        async with open_backend(url, create=False) as backend:
            assert [info.sequence for info in (await backend.list()).infos] == [1]
            assert await backend.get_latest("g") is not None
            with pytest.raises(BackendError, match="The database can only be read"):
                await backend.put(make_record("g", 2))

    assert [file.name for file in folder.iterdir()] == ["runs.db"]


async def test_a_store_that_is_read_only_here_shows_what_others_write_meanwhile(folder: Path) -> None:
    url = f"sqlite:///{folder}/runs.db"
    await save(url)
    seal(folder)

    with somebody_else():
        async with open_backend(url, create=False) as backend:
            assert len((await backend.list()).infos) == 1
            with ourselves():
                folder.chmod(0o755)
                (folder / "runs.db").chmod(0o644)
                writer = open_backend(url)
                await writer.put(make_record("g", 2))
                seal(folder)
            assert len((await backend.list()).infos) == 2
            with ourselves():
                folder.chmod(0o755)
                await writer.close()


async def test_looking_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    await save(url)
    before = (tmp_path / "runs.db").read_bytes()

    async with CheckpointManager(url, create=False).backend as backend:
        await CheckpointManager(backend).list_checkpoints()

    assert [file.name for file in tmp_path.iterdir()] == ["runs.db"]
    assert (tmp_path / "runs.db").read_bytes() == before


async def test_a_file_without_our_tables_is_no_store_and_the_nearest_set_of_tables_is_named(tmp_path: Path) -> None:
    async with DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/runs.db", "checkpoint") as backend:
        await backend.put(make_record("g", 1))
    before = (tmp_path / "runs.db").read_bytes()

    async with open_backend(f"sqlite:///{tmp_path}/runs.db", create=False) as backend:
        with pytest.raises(
            StoreNotFoundError, match=r"no checkpoints in a table 'checkpoints'\. Did you mean 'checkpoint'\?"
        ):
            await backend.list()

    assert (tmp_path / "runs.db").read_bytes() == before


@pytest.mark.parametrize("name", ["rums.db", "othre/runs.db"])
async def test_the_nearest_name_in_the_folder_is_told(tmp_path: Path, name: str) -> None:
    await save(f"sqlite:///{tmp_path}/runs.db")
    (tmp_path / "other").mkdir()

    async with open_backend(f"sqlite:///{tmp_path}/{name}", create=False) as backend:
        with pytest.raises(StoreNotFoundError) as raised:
            await backend.list()

    nearest = "runs.db" if name == "rums.db" else "other"
    assert f"{tmp_path} has no '{name.partition('/')[0]}'. Did you mean '{tmp_path}/{nearest}'?" in str(raised.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", "runs.db"]


async def test_one_object_that_only_looks_and_one_that_makes_don_t_share_connections(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with open_backend(url, create=False) as looking, open_backend(url) as making:
        with pytest.raises(StoreNotFoundError):
            await looking.list()
        await making.put(make_record("g", 1))
        assert len((await looking.list()).infos) == 1


async def test_a_server_that_only_allows_reading_is_read(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    await save(url)

    async with open_backend(
        f"{url}{'&' if '?' in url else '?'}options=-cdefault_transaction_read_only%3Don", create=False
    ) as backend:
        assert len((await backend.list()).infos) == 1


async def test_a_database_of_somebody_else_stays_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE songs (title)")
    before = (tmp_path / "other.db").read_bytes()

    async with open_backend(f"sqlite:///{tmp_path}/other.db", create=False) as backend:
        with pytest.raises(StoreNotFoundError):
            await backend.graph_ids()

    assert (tmp_path / "other.db").read_bytes() == before


async def test_a_store_that_is_removed_or_replaced_is_not_shown_as_it_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    await save(url, 1)
    async with open_backend(url, create=False) as looks:
        assert (await looks.list()).sequences() == [1]
        for file in tmp_path.iterdir():
            file.unlink()
        await looks.list()  # which finds that another file is meant now
        with pytest.raises(StoreNotFoundError):
            await looks.list()
        await save(url, 2)

        assert (await looks.list()).sequences() == [2]
