"""Where things are on the disk, and which directories and URLs can be that place."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from spark.errors import CheckpointError
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.names import is_leftover, new_temporary
from spark_testing import HOSTILE_IDS
from spark_testing.records import make_record
from tests.plugins.support.file_faults import run_in_child


async def test_nothing_is_made_before_the_first_save(tmp_path: Path) -> None:
    async with FileCheckpointBackend(tmp_path / "a" / "b") as backend:
        await backend.list()
        await backend.get("g", 1)
        await backend.delete("g", 1)
        await backend.next_sequence("g")

    assert list(tmp_path.iterdir()) == []


async def test_the_layout_is_what_the_documentation_says(backend: FileCheckpointBackend) -> None:
    await backend.put(make_record("a/b", 1))
    await backend.put(make_record("a/b", 42, checkpoint_id="before the change"))
    await backend.delete("a/b", 1)

    root = Path(backend.directory)
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == [
        "a%2Fb",
        "a%2Fb/000000000042.ckpt",
        "a%2Fb/floor",
        "a%2Fb/ids",
        "a%2Fb/ids/before%20the%20change@000000000042",
    ]
    assert (root / found[4]).resolve() == (root / found[1]).resolve()
    assert (root / found[1]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("hostile", [*HOSTILE_IDS, "", "x\0y", "x" * 5_000, "\ud800", "a\nb"])
async def test_no_id_leaves_the_directory(tmp_path: Path, hostile: str) -> None:
    """Also ids that are refused long before they come here."""
    async with FileCheckpointBackend(tmp_path / "store") as backend:
        with suppress(CheckpointError):
            await backend.put(make_record(hostile, 1, checkpoint_id=hostile or "x"))
        with suppress(CheckpointError):
            await backend.get(hostile, 1)
        await backend.delete(hostile, 1)
        await backend.find(hostile)

    assert {path.name for path in tmp_path.iterdir()} <= {"store"}
    if (tmp_path / "store").exists():
        (folder,) = (tmp_path / "store").iterdir()
        assert {path.name for path in folder.iterdir()} == {"floor", "ids"}


async def test_another_working_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with FileCheckpointBackend("relative") as backend:
        monkeypatch.chdir("/")
        await backend.put(make_record())

    assert (tmp_path / "relative" / "g").is_dir()


async def test_a_directory_removed_meanwhile_is_made_again(backend: FileCheckpointBackend) -> None:
    await backend.put(make_record("g", 1))
    shutil.rmtree(backend.directory)

    await backend.put(make_record("g", 1))

    assert [info.sequence for info in (await backend.list()).infos] == [1]


@pytest.mark.parametrize("directory", ["", "a\0b"])
def test_a_directory_that_can_not_be_is_refused_at_once(directory: str) -> None:
    with pytest.raises(ValueError, match="directory"):
        FileCheckpointBackend(directory)


def test_a_directory_is_text(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not bytes"):
        FileCheckpointBackend(str(tmp_path).encode())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "directory"),
    [("file:///a/b", "/a/b"), ("file://localhost/a", "/a"), ("file:///a%20b/%3F", "/a b/?"), ("file:/a", "/a")],
)
def test_a_url_names_a_directory(url: str, directory: str) -> None:
    assert FileCheckpointBackend.from_url(url).directory == directory


@pytest.mark.parametrize(
    "url",
    ["file://a/b", "file:a", "file:", "file://host/a", "http:///a", "file:///a?other=json", "file:///a#b", "/a"],
)
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="file backend"):
        FileCheckpointBackend.from_url(url)


def temporary_named(machine: str, pid: int, start: str) -> str:
    return f".tmp-{machine}-{pid}-{start}-abc"


def test_only_temporaries_of_writers_that_are_gone_are_leftovers() -> None:
    machine, pid, start, _ = new_temporary().removeprefix(".tmp-").split("-")
    dead = run_in_child(os.getpid)

    assert is_leftover(temporary_named(machine, int(dead), "1"), age=0)
    assert is_leftover(temporary_named(machine, int(pid), "1"), age=0)
    assert not is_leftover(new_temporary(), age=10**9)
    assert not is_leftover(temporary_named(machine, int(pid), "0"), age=0)
    assert not is_leftover(temporary_named("elsewhere", int(dead), "1"), age=3600)
    assert is_leftover(temporary_named("elsewhere", int(pid), start), age=100_000)
    assert not is_leftover(".tmp-of-somebody-else", age=10**9)
    assert not is_leftover("000000000001.ckpt", age=10**9)


async def test_a_large_value_that_is_sent_again_is_not_missing_for_a_moment(tmp_path: Path) -> None:
    """Copies send it again where they can't know that it is whole, and others may be reading it."""
    name, content = "000000000001-ab-1", b"x" * 9_000
    file = tmp_path / "g" / "blobs" / f"{name}.blob"
    async with FileCheckpointBackend(tmp_path) as backend:
        await backend.put(make_record("g", 1, blobs={name: content}))
        os.link(file, tmp_path / "the same file")
        await backend.put(make_record("g", 2, blobs={name: content}))
        assert file.samefile(tmp_path / "the same file")

        file.write_bytes(content[:4_000])
        await backend.put(make_record("g", 3, blobs={name: content}))
        assert await backend.get_blobs("g", [name]) == {name: content}
