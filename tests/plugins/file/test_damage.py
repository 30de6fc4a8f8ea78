"""What stands in the place of a file and is something else is reported, and not followed."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from spark.errors import BackendError, CheckpointDamagedError
from spark_backend_file import FileCheckpointBackend
from spark_testing.records import make_record
from tests.plugins.support.file_backends import file_of


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(pickle.dumps("x")),
        lambda file: file.write_bytes(gzip.compress(b"\0" * 10_000_000)),
        lambda file: os.truncate(file, 2**40),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.unlink(), os.mkfifo(file)),
    ],
    ids=["truncated", "empty", "pickle", "gzip bomb", "a sparse terabyte", "directory", "pipe"],
)
async def test_damage_is_an_error_that_names_the_file(
    backend: FileCheckpointBackend, damage: Callable[[Path], object]
) -> None:
    for sequence in (1, 2):
        await backend.put(make_record("g", sequence))
    damage(file_of(backend, 2))

    with pytest.raises(CheckpointDamagedError, match=re.escape(str(file_of(backend, 2)))):
        await backend.get("g", 2)
    assert await backend.get("g", 1) is not None


async def test_a_symbolic_link_in_the_place_of_a_checkpoint_is_not_followed(
    backend: FileCheckpointBackend, tmp_path: Path
) -> None:
    """Whoever can write to the store could otherwise have any file of the user read."""
    await backend.put(make_record("g", 1))
    outside = file_of(backend, 1).rename(tmp_path / "outside")
    file_of(backend, 1).symlink_to(outside)

    with pytest.raises(CheckpointDamagedError, match="is not a file"):
        await backend.get("g", 1)
    assert [each.sequence for each in (await backend.get_many("g", [1])).damaged] == [1]
    assert [each.sequence for each in (await backend.latest_headers(["g"])).damaged] == [1]


async def test_a_symbolic_link_in_the_place_of_a_graph_is_not_followed(
    backend: FileCheckpointBackend, tmp_path: Path
) -> None:
    await backend.put(make_record("h", 1))
    (tmp_path / "outside").mkdir()
    Path(backend.directory, "g").symlink_to(tmp_path / "outside")

    with pytest.raises(BackendError, match="symbolic link"):
        await backend.put(make_record("g", 1))

    assert list((tmp_path / "outside").iterdir()) == []
    listing = await backend.list()
    assert [info.graph_id for info in listing.infos] == ["h"]
    assert [(each.graph_id, each.sequence) for each in listing.damaged] == [("g", None)]
    assert "symbolic link" in listing.damaged[0].reason


async def test_a_deleted_up_to_that_is_no_file_is_reported(backend: FileCheckpointBackend) -> None:
    """Its length would be a wrong number."""
    await backend.put(make_record("g", 1))
    (file_of(backend, 1).parent / "floor").symlink_to("/etc/passwd")

    for call in (backend.put(make_record("g", 2)), backend.next_sequence("g"), backend.delete("g", 1)):
        with pytest.raises(BackendError, match="move it away"):
            await call


async def test_a_file_in_the_place_of_the_directory_is_reported(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    async with FileCheckpointBackend(tmp_path / "store") as backend:
        with pytest.raises(BackendError, match="move it away"):
            await backend.put(make_record())


async def test_a_checkpoint_in_the_wrong_place_is_found_out(backend: FileCheckpointBackend) -> None:
    await backend.put(make_record("g", 1))
    await backend.put(make_record("h", 1))
    shutil.copy(file_of(backend, 1), file_of(backend, 2))
    shutil.copy(file_of(backend, 1), file_of(backend, 1, "h"))

    for graph_id, sequence in (("g", 2), ("h", 1)):
        with pytest.raises(CheckpointDamagedError, match="holds checkpoint 1 of graph 'g'"):
            await backend.get(graph_id, sequence)


async def test_an_alias_that_its_record_does_not_confirm_means_nothing(backend: FileCheckpointBackend) -> None:
    """A writer that died after it lost the race leaves one."""
    await backend.put(make_record("g", 1))
    await backend.put(make_record("g", 2, checkpoint_id="true"))
    ids = file_of(backend, 1).parent / "ids"
    for alias in ("false@000000000001", "false@000000000002", "dangling@000000000009", "no alias"):
        (ids / alias).symlink_to("/etc/passwd")

    assert [info.checkpoint_id for info in (await backend.list()).infos] == ["ckpt_g_000001", "true"]
    assert await backend.find("false") is None
    assert await backend.find("dangling") is None
