"""Listings and other questions about many records are answered by names, in few calls to the system."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.storage import CheckpointInfo
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.local_directory import LocalDirectory
from spark_backend_file.local_folder import LocalFolder
from spark_testing.records import make_record
from tests.plugins.support.file_backends import file_of
from tests.plugins.support.file_faults import WatchedOs, watching


async def test_listing_opens_no_checkpoint(backend: FileCheckpointBackend) -> None:
    for sequence in (1, 2, 3):
        await backend.put(make_record("g", sequence))

    with watching(WatchedOs()) as watched:
        await backend.list()
        await backend.latest("g")
        await backend.next_sequence("g")
        await backend.find("ckpt_g_000002")

    assert [step for step in watched.log if step.name == "open" and step.paths[0].endswith(".ckpt")] == []
    assert not any(step.name == "read" for step in watched.log)


async def test_the_latest_of_many_is_one_stat(backend: FileCheckpointBackend) -> None:
    await backend.put(make_record("g", 1))
    for sequence in range(2, 500):
        os.link(file_of(backend, 1), file_of(backend, sequence))

    with watching(WatchedOs()) as watched:
        latest = await backend.latest("g")

    assert latest is not None
    assert latest.sequence == 499
    assert [step.name for step in watched.log].count("stat") == 1


async def test_a_page_of_graph_ids_looks_into_no_more_folders_than_it_needs(backend: FileCheckpointBackend) -> None:
    for number in range(100):
        await backend.put(make_record(f"g{number:02d}", 1))
    await backend.delete("g51", 1)

    with watching(WatchedOs()) as watched:
        assert await backend.graph_ids("g", after="g49", limit=3) == ["g50", "g52", "g53"]

    opened = [step.paths[0] for step in watched.log if step.name == "open"]
    assert [os.path.basename(path) for path in opened] == ["g50", "g51", "g52", "g53"]


async def test_a_link_in_the_place_of_a_graph_is_among_the_graph_ids(
    backend: FileCheckpointBackend, tmp_path: Path
) -> None:
    """The folder may have been moved elsewhere by its owner: the graph still exists."""
    await backend.put(make_record("h", 1))
    Path(backend.directory, "g").symlink_to(tmp_path)

    assert await backend.graph_ids() == ["g", "h"]


async def test_many_records_are_read_in_one_go(backend: FileCheckpointBackend) -> None:
    """One look into the folder tells which of a range there are, however long that is, and headers need no payload."""
    for sequence in (1, 2, 3, 5):
        await backend.put(make_record("g", sequence, payload=b"x" * 100_000))

    with watching(WatchedOs()) as watched:
        found = await backend.get_many("g", range(2, 10**12))
        headers = (await backend.latest_headers(["g", "h"])).headers

    assert [*found.records] == [2, 3, 5]
    assert [step.name for step in watched.log].count("listdir") == 2
    assert {graph_id: header.sequence for graph_id, header in headers.items()} == {"g": 5}
    assert [step.name for step in watched.log].count("read") == 2 * 3 + 1


async def test_files_that_are_not_named_like_checkpoints_are_passed_over(backend: FileCheckpointBackend) -> None:
    await backend.put(make_record("g", 1))
    folder = file_of(backend, 1).parent
    (folder / "notes.txt").write_text("mine")
    (folder / "2.ckpt").write_text("not ours")
    (folder.parent / "lost+found").mkdir()
    (folder.parent / "README").write_text("mine")

    assert [info.sequence for info in (await backend.list()).infos] == [1]
    latest = await backend.latest("g")
    assert latest is not None
    assert latest.sequence == 1


async def test_listing_reports_what_is_no_file_in_the_place_of_a_checkpoint_and_goes_on(
    backend: FileCheckpointBackend,
) -> None:
    await backend.put(make_record("g", 1))
    file_of(backend, 8).mkdir()
    file_of(backend, 9).symlink_to("/etc/passwd")
    os.mkfifo(file_of(backend, 10))

    listing = await backend.list()

    assert [info.sequence for info in listing.infos] == [1]
    assert await backend.next_sequence("g") == 11
    assert [(each.graph_id, each.sequence, each.place) for each in listing.damaged] == [
        ("g", sequence, str(file_of(backend, sequence))) for sequence in (8, 9, 10)
    ]
    assert all(each.place in each.reason for each in listing.damaged)


async def test_a_folder_of_a_graph_whose_id_no_record_tells_is_reported(backend: FileCheckpointBackend) -> None:
    """The folder of a long id is named by a hash; each record in it says which id that is, if any can be read."""
    await backend.put(make_record("é" * 200, 1))
    await backend.put(make_record("h", 1))
    (file,) = Path(backend.directory).glob("*~*/*.ckpt")
    file.write_bytes(b"something else")

    listing = await backend.list()

    assert [info.graph_id for info in listing.infos] == ["h"]
    assert [(each.graph_id, each.sequence, each.place) for each in listing.damaged] == [(None, 1, str(file))]


@pytest.mark.parametrize(
    "put_there",
    [Path.mkdir, lambda file: file.symlink_to("/etc/passwd"), os.mkfifo],
    ids=["directory", "symbolic link", "pipe"],
)
async def test_what_is_no_file_in_the_place_of_the_latest_is_not_passed_over(
    backend: FileCheckpointBackend, put_there: Callable[[Path], object]
) -> None:
    """Continuing from an older one would be a guess, and without one it would be an empty start."""
    await backend.put(make_record("g", 1))
    put_there(file_of(backend, 2))

    with pytest.raises(CheckpointDamagedError, match=re.escape(str(file_of(backend, 2)))):
        await backend.latest("g")


async def test_an_empty_file_is_listed_like_any_other_damaged_one(backend: FileCheckpointBackend) -> None:
    """Listings read names only; so it can be deleted by its id, and loading it says that it is damaged."""
    await backend.put(make_record("g", 1))
    file_of(backend, 2).touch()

    latest = await backend.latest("g")

    assert latest is not None
    assert (latest.sequence, latest.size) == (2, 0)
    assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]
    assert await backend.delete("g", 2)


def test_the_latest_record_that_is_deleted_while_it_is_read_gives_way_to_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = LocalDirectory(str(tmp_path)), LocalDirectory(str(tmp_path))
    first = make_record("g", 1)
    for record in (first, make_record("g", 2)):
        store.put(record)
    find_latest = LocalFolder.latest

    def latest_then_deleted(folder: LocalFolder, graph_id: str) -> CheckpointInfo | None:
        monkeypatch.undo()
        info = find_latest(folder, graph_id)
        assert other.delete("g", 2)
        return info

    monkeypatch.setattr(LocalFolder, "latest", latest_then_deleted)

    assert store.get_latest("g") == first
