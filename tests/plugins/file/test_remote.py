"""The file backend keeps the promise of backends on filesystems that fsspec speaks to, as far as each of them can."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from spark.errors import BackendError, CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.names import new_temporary
from spark_backend_file.publishing import CreateWhole, MoveIntoPlace, PublishStrategy
from spark_backend_file.remote_folder import RemoteFolder
from spark_testing import CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from spark_testing.records import BLOB, GONE, OTHER, make_record
from tests.plugins.support.command_line import growing_graph, large_text
from tests.plugins.support.file_faults import run_in_child
from tests.plugins.support.fsspec_filesystems import AsyncMemory, CachingMemory
from tests.plugins.support.remote_stores import read_local, remove_from_memory, spoil_local

FSSPEC = ("fsspecIO",)
"""The thread of fsspec's event loop; it is started once, and stays."""


class TestOnTheMemoryFilesystem(CheckpointBackendConformance):
    capabilities = ("persistent", "keeps_blobs")
    lasting_threads = FSSPEC

    @pytest.fixture
    async def backend(self) -> AsyncIterator[FileCheckpointBackend]:
        url = f"memory://{uuid4().hex}"
        async with FileCheckpointBackend(url) as backend:
            yield backend
        remove_from_memory(url)

    @pytest.fixture
    def open_another(self, backend: FileCheckpointBackend) -> OpenAnother:
        return lambda: FileCheckpointBackend(backend.directory)

    @pytest.fixture
    def read_raw(self, backend: FileCheckpointBackend) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            path = f"{backend.directory}/{graph_id}/{sequence:012d}.ckpt"
            memory = fsspec.filesystem("memory")
            return memory.cat_file(path) if memory.exists(path) else None

        return read

    @pytest.fixture
    def spoil(self, backend: FileCheckpointBackend) -> Spoil:
        def spoil(graph_id: str, sequence: int) -> None:
            fsspec.filesystem("memory").pipe_file(f"{backend.directory}/{graph_id}/{sequence:012d}.ckpt", b"else")

        return spoil


class TestOnAFilesystemThatNobodyKnows(CheckpointBackendConformance):
    """Local files behind fsspec's ``dir``: written to a temporary name and moved, as wherever nothing better is known."""

    capabilities = ("persistent", "processes", "keeps_blobs")
    lasting_threads = FSSPEC

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with FileCheckpointBackend(f"dir::file://{tmp_path}/store") as backend:
            yield backend

    @pytest.fixture
    def open_another(self, tmp_path: Path) -> OpenAnother:
        return lambda: FileCheckpointBackend(f"dir::file://{tmp_path}/store")

    @pytest.fixture
    def read_raw(self, tmp_path: Path) -> ReadRaw:
        return lambda graph_id, sequence: read_local(tmp_path / "store", graph_id, sequence)

    @pytest.fixture
    def spoil(self, tmp_path: Path) -> Spoil:
        return lambda graph_id, sequence: spoil_local(tmp_path / "store", graph_id, sequence)


@pytest.fixture
async def unknown(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    """A backend whose store the tests can look into and damage, below ``tmp_path / "store"``."""
    async with FileCheckpointBackend(f"dir::file://{tmp_path}/store") as backend:
        yield backend


# what lies where


async def test_the_layout_is_what_the_documentation_says(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    for sequence in (1, 2):
        await unknown.put(make_record("a/b", sequence))
    await unknown.put(make_record("a/b", 42, checkpoint_id="before the change", blobs={BLOB: b"large"}))
    for sequence in (2, 1):
        await unknown.delete("a/b", sequence)

    found = sorted(str(path.relative_to(tmp_path / "store")) for path in (tmp_path / "store").rglob("*"))
    assert found == [
        "a%2Fb",
        "a%2Fb/000000000002.floor",
        "a%2Fb/000000000042.ckpt",
        "a%2Fb/before%20the%20change@000000000042",
        "a%2Fb/blobs",
        f"a%2Fb/blobs/{BLOB}.blob",
    ]


async def test_a_checkpoint_is_the_same_file_as_on_a_disk(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    """So what reads one of them with ordinary tools reads the other."""
    record = make_record()
    await unknown.put(record)
    async with FileCheckpointBackend(tmp_path / "disk") as disk:
        await disk.put(record)

    assert read_local(tmp_path / "store", "g", 1) == read_local(tmp_path / "disk", "g", 1)


async def test_a_folder_removed_meanwhile_is_made_again(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    await unknown.put(make_record("g", 1, blobs={BLOB: b"large"}))
    shutil.rmtree(tmp_path / "store")

    await unknown.put(make_record("g", 1, blobs={BLOB: b"larger"}))

    assert [info.sequence for info in (await unknown.list()).infos] == [1]
    assert await unknown.get_blobs("g", [BLOB]) == {BLOB: b"larger"}


# large values


class Refuses(MoveIntoPlace):
    """Publishes nothing in the folder of a graph itself, where records are, while it is told so."""

    is_refusing = True

    def publish(self, filesystem: Any, folder: str, name: str, content: bytes) -> None:
        if self.is_refusing and name.endswith(".ckpt"):
            raise OSError("the server is away")
        super().publish(filesystem, folder, name, content)


async def test_large_values_are_there_before_their_record_and_stay_as_they_are_when_it_is_tried_again(
    unknown: FileCheckpointBackend, tmp_path: Path
) -> None:
    """An earlier attempt may have succeeded without anybody knowing: then its record refers to them already."""
    unknown._graphs._strategy = strategy = Refuses()  # type: ignore[attr-defined]
    record = make_record("g", 1, blobs={BLOB: b"large", OTHER: b"larger"})
    with pytest.raises(BackendError, match="the server is away"):
        await unknown.put(record)
    file = tmp_path / "store" / "g" / "blobs" / f"{BLOB}.blob"
    before = file.stat().st_ino

    strategy.is_refusing = False
    await unknown.put(record)

    assert file.stat().st_ino == before
    assert await unknown.get_blobs("g", [BLOB, OTHER]) == {BLOB: b"large", OTHER: b"larger"}
    assert [name for name in os.listdir(tmp_path / "store" / "g") if name.startswith(".tmp-")] == []


async def test_a_graph_whose_state_grows_stores_and_keeps_what_its_checkpoints_need() -> None:
    url = f"memory://{uuid4().hex}"
    async with FileCheckpointBackend(url) as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=2)
        await growing_graph(config).run({"to": 30})
        checkpoint = await CheckpointManager(backend).load_latest("growing")

        assert checkpoint is not None
        assert checkpoint.graph_state["text"] == large_text(30)
        assert len(await backend.blob_names("growing")) <= 4
    remove_from_memory(url)


async def test_many_large_values_are_on_their_way_at_once() -> None:
    """Otherwise each would take one trip to the server."""
    fsspec.register_implementation("async-memory", AsyncMemory, clobber=True)
    url = f"async-memory://{uuid4().hex}"
    blobs = {f"{1:012d}-ab-{number}": b"%d" % number for number in range(250)}
    async with FileCheckpointBackend(url, storage_options={"mark": url}) as backend:
        # As on an object store; what nobody knows moves one after the other into place.
        backend._graphs._strategy = CreateWhole()  # type: ignore[attr-defined]
        with backend._graphs._connection.filesystem() as (filesystem, _):  # type: ignore[attr-defined]
            await backend.put(make_record("g", 1, blobs=blobs))
            assert filesystem.most_at_once > 50
            filesystem.most_at_once = 0

            assert await backend.get_blobs("g", [*blobs, GONE]) == blobs
            assert filesystem.most_at_once > 50
        assert sorted(await backend.blob_names("g")) == sorted(blobs)
        await backend.forget("g")
        assert await backend.blob_names("g") == []
    remove_from_memory(url.replace("async-memory", "memory"))


# writers


async def test_a_filesystem_that_caches_its_listings_does_not_here() -> None:
    """Other processes write too, and a remembered listing would give out a sequence twice."""
    fsspec.register_implementation("caching-memory", CachingMemory, clobber=True)
    url = f"caching-memory://{uuid4().hex}"
    async with FileCheckpointBackend(url) as first, FileCheckpointBackend(url) as second:
        await first.put(make_record("g", 1))
        await second.list()
        await second.latest("g")
        await first.put(make_record("g", 2))

        assert await second.next_sequence("g") == 3
        assert [info.sequence for info in (await second.list()).infos] == [1, 2]
    remove_from_memory(url.replace("caching-memory", "memory"))


class Overtaken(CreateWhole):
    """Others do something between a writer's first listing and its commit."""

    def __init__(self, others: Callable[[], object]) -> None:
        self._others = others

    def publish(self, filesystem: Any, folder: str, name: str, content: bytes) -> None:
        self._others()
        super().publish(filesystem, folder, name, content)


def test_a_writer_that_was_overtaken_takes_its_record_back() -> None:
    """Its sequence was used and deleted while it was paused: the name is free, and must not be used again."""
    memory, path = fsspec.filesystem("memory"), f"/{uuid4().hex}/g"

    def folder(strategy: PublishStrategy) -> RemoteFolder:
        return RemoteFolder(memory, path, path="memory://…/g", strategy=strategy, headers={})

    def others() -> None:
        for sequence in (1, 2):
            folder(CreateWhole()).put(make_record("g", sequence), close_file=os.close)
        folder(CreateWhole()).delete(1)

    with pytest.raises(SequenceTakenError, match="has been deleted"):
        folder(Overtaken(others)).put(make_record("g", 1), close_file=os.close)

    assert folder(CreateWhole()).read(1) is None
    assert folder(CreateWhole()).next_sequence() == 3
    remove_from_memory(path)


def test_a_move_that_would_replace_a_record_is_not_made(tmp_path: Path) -> None:
    """It checks just before; two processes that move in the same instant are the user's to keep apart."""
    local = fsspec.filesystem("file")
    (tmp_path / "1").write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        MoveIntoPlace().publish(local, str(tmp_path), "1", b"ours")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"1": b"theirs"}


async def test_a_file_put_in_the_place_of_another_is_read_anew(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    """Headers are remembered between listings, as long as it is the same file."""
    await unknown.put(make_record("g", 1, checkpoint_id="one"))
    assert [info.checkpoint_id for info in (await unknown.list()).infos] == ["one"]
    shutil.rmtree(tmp_path / "store")
    await unknown.put(make_record("g", 1, checkpoint_id="two"))

    assert [info.checkpoint_id for info in (await unknown.list()).infos] == ["two"]


async def test_deleting_leaves_one_file_that_says_up_to_where(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    for sequence in range(1, 6):
        await unknown.put(make_record("g", sequence))
        await unknown.delete("g", sequence)

    assert [path.name for path in (tmp_path / "store" / "g").iterdir()] == ["000000000005.floor"]


async def test_temporary_files_of_dead_writers_are_removed_and_mean_nothing(
    unknown: FileCheckpointBackend, tmp_path: Path
) -> None:
    folder = tmp_path / "store" / "g"
    folder.mkdir(parents=True)
    dead = run_in_child(new_temporary)
    (folder / dead).write_bytes(b'{"header": ')

    assert (await unknown.list()).infos == []
    assert await unknown.latest("g") is None
    await unknown.put(make_record("g", 1))
    assert [path.name for path in folder.iterdir()] == ["000000000001.ckpt"]


async def test_leftovers_are_told_and_removed_only_when_asked_for(
    unknown: FileCheckpointBackend, tmp_path: Path
) -> None:
    folder = tmp_path / "store" / "g"
    folder.mkdir(parents=True)
    dead = run_in_child(new_temporary)
    (folder / dead).write_bytes(b'{"header": ')

    assert await unknown.leftovers() == [f"g/{dead}"]
    assert await unknown.leftovers(remove=True) == [f"g/{dead}"]
    assert await unknown.leftovers() == []


# damage


@pytest.mark.parametrize(
    ("damage", "listed"),
    [
        (lambda content: content[:-1], True),
        (lambda content: content[: len(content) // 2], False),
        (lambda content: content + b"x", True),
        (lambda content: b"", False),
        (lambda content: b"\x80\x05not ours", False),
    ],
    ids=["without its end", "half", "too long", "empty", "something else"],
)
async def test_half_a_record_is_damage_and_never_passed_over(
    unknown: FileCheckpointBackend,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    listed: bool,
) -> None:
    for sequence in (1, 2):
        await unknown.put(make_record("g", sequence))
    file = tmp_path / "store" / "g" / "000000000002.ckpt"
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(CheckpointDamagedError, match=re.escape("g/000000000002.ckpt")):
        await unknown.get("g", 2)
    listing = await unknown.list()
    assert [info.sequence for info in listing.infos] == ([1, 2] if listed else [1])
    if not listed:
        assert [(each.graph_id, each.sequence) for each in listing.damaged] == [("g", 2)]
        assert "000000000002.ckpt is damaged" in listing.damaged[0].reason
        with pytest.raises(CheckpointDamagedError, match=re.escape("g/000000000002.ckpt")):
            await unknown.latest("g")
    assert await unknown.next_sequence("g") == 3
    assert await unknown.delete("g", 2)


async def test_a_folder_in_the_place_of_a_record_is_damage(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    await unknown.put(make_record("g", 1))
    (tmp_path / "store" / "g" / "000000000002.ckpt").mkdir()

    for call in (unknown.get("g", 2), unknown.latest("g")):
        with pytest.raises(CheckpointDamagedError, match="is not a file"):
            await call


async def test_a_record_in_the_wrong_place_is_found_out(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    await unknown.put(make_record("g", 1))
    folder = tmp_path / "store" / "g"
    shutil.copy(folder / "000000000001.ckpt", folder / "000000000002.ckpt")

    with pytest.raises(CheckpointDamagedError, match="holds checkpoint 1 of graph 'g'"):
        await unknown.get("g", 2)


async def test_a_header_longer_than_most_is_read_whole(unknown: FileCheckpointBackend) -> None:
    record = make_record("g", 1, checkpoint_id="x" * 150, metadata={f"key {number}": "v" * 200 for number in range(50)})
    await unknown.put(record)

    (info,) = (await unknown.list()).infos

    assert (info.checkpoint_id, info.timestamp) == ("x" * 150, record.header.timestamp)


async def test_files_that_are_not_ours_are_passed_over(unknown: FileCheckpointBackend, tmp_path: Path) -> None:
    await unknown.put(make_record("g", 1))
    (tmp_path / "store" / "README").write_text("mine")
    (tmp_path / "store" / "lost+found").mkdir()
    (tmp_path / "store" / "g" / "2.ckpt").write_text("mine")

    assert [info.sequence for info in (await unknown.list()).infos] == [1]
    assert await unknown.next_sequence("g") == 2


# asynchronous filesystems


async def test_an_asynchronous_filesystem_is_used_and_its_session_closed() -> None:
    fsspec.register_implementation("async-memory", AsyncMemory, clobber=True)
    url = f"async-memory://{uuid4().hex}"
    async with FileCheckpointBackend(url, storage_options={"mark": url}) as backend:
        records = [make_record("g", 1, payload=str(number).encode()) for number in range(12)]
        results = await asyncio.gather(*map(backend.put, records), return_exceptions=True)
        await backend.put(make_record("g", 2, checkpoint_id="mine"))
        await backend.delete("g", 1)

        assert results.count(None) == 1
        assert [info.checkpoint_id for info in (await backend.list()).infos] == ["mine"]
        (session,) = AsyncMemory.sessions[url]
        assert not session.closed

    assert session.closed
    remove_from_memory(url.replace("async-memory", "memory"))


# forgetting


@pytest.mark.parametrize("kind", ["memory", "unknown"])
async def test_nothing_is_left_of_a_forgotten_graph(unknown: FileCheckpointBackend, tmp_path: Path, kind: str) -> None:
    backend = unknown if kind == "unknown" else FileCheckpointBackend(f"memory://{tmp_path.name}")
    for sequence in (1, 2, 3):
        await backend.put(make_record("g", sequence, checkpoint_id="by hand" if sequence == 2 else None))
    await backend.delete("g", 1)
    if kind == "unknown":
        (tmp_path / "store" / "g" / ".tmp-of-a-dead-writer").touch()

    assert await backend.forget("g") == [2, 3]

    memory = fsspec.filesystem("memory")
    assert list((tmp_path / "store").iterdir() if kind == "unknown" else memory.find(f"/{tmp_path.name}")) == []
    assert await backend.next_sequence("g") == 1
