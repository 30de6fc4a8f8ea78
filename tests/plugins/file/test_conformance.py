"""The file backend keeps the promise of backends."""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import pickle
import re
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, CheckpointDamagedError, CheckpointError, DeletionError
from spark.graphs import ExitNode, Graph, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.local_directory import LocalDirectory
from spark_backend_file.names import is_leftover, new_temporary
from spark_testing import HOSTILE_IDS, CheckpointBackendConformance, OpenAnother, ReadRaw, Spoil
from spark_testing.records import make_record
from tests.plugins.support.file_faults import WatchedOs, run_in_child, watching
from tests.plugins.support.remote_stores import spoil_local
from tests.plugins.support.threads import no_thread_left


class TestFileBackend(CheckpointBackendConformance):
    capabilities = ("persistent", "processes", "concurrent_processes", "keeps_blobs", "deletes_along")
    many_graphs = 200  # each save waits for the disk

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
        async with FileCheckpointBackend(tmp_path / "store") as backend:
            yield backend

    @pytest.fixture
    def open_another(self, tmp_path: Path) -> OpenAnother:
        return lambda: FileCheckpointBackend(tmp_path / "store")

    @pytest.fixture
    def read_raw(self, backend: FileCheckpointBackend) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            # Test ids that are looked up so are plain, and so are their folders' names.
            file = Path(backend.directory) / graph_id / f"{sequence:012d}.ckpt"
            return file.read_bytes() if file.exists() else None

        return read

    @pytest.fixture
    def spoil(self, backend: FileCheckpointBackend) -> Spoil:
        return lambda graph_id, sequence: spoil_local(Path(backend.directory), graph_id, sequence)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FileCheckpointBackend]:
    """One that saves in threads of its own, where a test can hold it up."""
    async with FileCheckpointBackend(tmp_path / "store", inline_io=False) as backend:
        yield backend


def file_of(backend: FileCheckpointBackend, sequence: int, graph_id: str = "g") -> Path:
    return Path(backend.directory, graph_id, f"{sequence:012d}.ckpt")


# where things are


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
    ["file://a/b", "file:a", "file:", "file://host/a", "http:///a", "file:///a?format=pickle", "file:///a#b", "/a"],
)
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="file backend"):
        FileCheckpointBackend.from_url(url)


# listing


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
    """To go on from an older one would be a guess, and without one it would be an empty start."""
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


# damage


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


# threads, cancellation


class Gate:
    """Holds a call until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def wait(self, name: str) -> None:
        self.reached.set()
        assert self.opened.wait(10)


async def test_the_event_loop_goes_on_while_the_disk_is_slow(backend: FileCheckpointBackend) -> None:
    gate = Gate()

    with watching(WatchedOs(1, gate.wait)):
        saving = asyncio.create_task(backend.put(make_record()))
        await asyncio.to_thread(gate.reached.wait, 10)
        assert not saving.done()
        gate.opened.set()
        await saving

    assert await backend.get("g", 1) is not None


@pytest.mark.parametrize("before", range(1, 12))
async def test_a_cancelled_save_ends_before_its_caller_goes_on(backend: FileCheckpointBackend, before: int) -> None:
    """Cancelled in the middle of any of its calls, and again while it is waited for."""
    gate, record = Gate(), make_record("g", 2)
    await backend.put(make_record("g", 1))

    with watching(WatchedOs(before, gate.wait)) as watched:
        saving = asyncio.create_task(backend.put(record))
        await asyncio.to_thread(gate.reached.wait, 10)
        for _ in range(3):
            saving.cancel()
            await asyncio.sleep(0)
        assert not saving.done()
        gate.opened.set()
        await asyncio.wait([saving])
        calls = len(watched.log)

    assert saving.cancelled()
    assert len(watched.log) == calls
    assert await backend.get("g", 2) == record
    assert sorted(path.name for path in file_of(backend, 1).parent.iterdir()) == [
        "000000000001.ckpt",
        "000000000002.ckpt",
    ]


async def test_a_save_that_has_not_begun_never_does_when_cancelled(backend: FileCheckpointBackend) -> None:
    """More saves than threads: the last ones wait for their turn."""
    gate = Gate()
    with watching(WatchedOs(1, gate.wait)):
        running = asyncio.create_task(backend.put(make_record("g", 1)))
        await asyncio.to_thread(gate.reached.wait, 10)
        others = [asyncio.create_task(backend._threads.run(gate.opened.wait, 10)) for _ in range(3)]
        queued = asyncio.create_task(backend.put(make_record("queued", 1)))
        for _ in range(3):
            await asyncio.sleep(0)
        queued.cancel()
        await asyncio.wait([queued])
        gate.opened.set()
        await asyncio.gather(running, *others)

    assert queued.cancelled()
    assert await backend.get("queued", 1) is None


async def test_a_cancelled_save_that_fails_is_still_cancelled(backend: FileCheckpointBackend) -> None:
    """And asyncio does not complain of an exception that was never retrieved."""
    gate = Gate()

    def fail(name: str) -> None:
        gate.wait(name)
        raise OSError(28, "No space left on device")

    with watching(WatchedOs(1, fail)):
        saving = asyncio.create_task(backend.put(make_record()))
        await asyncio.to_thread(gate.reached.wait, 10)
        saving.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.wait([saving])

    assert saving.cancelled()
    assert (await backend.list()).infos == []


async def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    backend, gate = FileCheckpointBackend(tmp_path), Gate()

    with watching(WatchedOs(1, gate.wait)):
        saving = asyncio.create_task(backend.put(make_record()))
        await asyncio.to_thread(gate.reached.wait, 10)
        closing = asyncio.create_task(backend.close())
        await asyncio.sleep(0)
        assert not closing.done()
        gate.opened.set()
        await closing
        await saving

    with pytest.raises(BackendError, match="is closed"):
        await backend.get("g", 1)


def test_every_call_of_asyncio_run_can_use_it_and_close_leaves_no_thread(tmp_path: Path) -> None:
    backend = FileCheckpointBackend(tmp_path)

    with no_thread_left():
        for sequence in (1, 2):
            asyncio.run(backend.put(make_record("g", sequence)))
        assert len(asyncio.run(backend.list()).infos) == 2
        asyncio.run(backend.close())


def test_threads_of_a_backend_that_nobody_closed_end_with_it(tmp_path: Path) -> None:
    backend = FileCheckpointBackend(tmp_path)
    before = set(threading.enumerate())
    asyncio.run(backend.put(make_record()))
    started = set(threading.enumerate()) - before
    assert started

    del backend
    gc.collect()

    for thread in started:
        thread.join(10)
    assert not any(thread.is_alive() for thread in started)


def test_a_fork_can_go_on_using_it(tmp_path: Path) -> None:
    """The child has the object, but none of its threads: waiting for them would take for ever."""
    backend = FileCheckpointBackend(tmp_path)
    asyncio.run(backend.put(make_record("g", 1)))

    told = run_in_child(lambda: asyncio.run(asyncio.wait_for(backend.put(make_record("g", 2)), 10)))

    assert told == "None"
    assert len(asyncio.run(backend.list()).infos) == 2
    asyncio.run(backend.close())


# leftovers


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


# large values


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


# forgetting


class Large(ExitNode):
    """Leaves a large value in the state."""

    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.set("large", "x" * 20_000)
        return await super().process(context)


async def test_nothing_is_left_of_small_graphs_that_are_forgotten(backend: FileCheckpointBackend) -> None:
    for number in range(20):
        graph = Graph(Large(), id=f"graph {number}", checkpoint_config=CheckpointConfig(backend=backend))
        await graph.run()
        await graph.create_checkpoint(f"by hand {number}").save(backend)
        Path(backend.directory, f"graph%20{number}", ".tmp-of-a-dead-writer").touch()
    manager = CheckpointManager(backend)

    assert [await manager.forget(f"graph {number}") for number in range(20)] == [2] * 20
    assert list(Path(backend.directory).rglob("*")) == []


async def test_what_is_not_the_backends_own_keeps_a_graph_from_being_forgotten(backend: FileCheckpointBackend) -> None:
    """It is not ours to remove, and it may hold traces of the graph: so the caller gets an error."""
    await backend.put(make_record())
    file_of(backend, 1).with_name("notes.txt").touch()

    with pytest.raises(DeletionError, match=r"could not forget graph 'g'.*not empty") as caught:
        await backend.forget("g")

    assert caught.value.deleted == [1]
    file_of(backend, 1).with_name("notes.txt").unlink()
    assert await backend.forget("g") == []
    assert list(Path(backend.directory).iterdir()) == []


async def test_a_writer_that_is_stopped_while_its_graph_is_forgotten_is_refused(backend: FileCheckpointBackend) -> None:
    """Its folder was deleted, and one of the same name, made for a new run, is another one."""
    await backend.put(make_record("g", 1))
    other = LocalDirectory(backend.directory)

    def forget_meanwhile(name: str) -> None:
        with watching(WatchedOs()):
            other.forget("g")
            other.put(make_record("g", 1))

    # Before its second call: the first has opened the folder.
    with watching(WatchedOs(2, forget_meanwhile)), pytest.raises(BackendError, match="No such file"):
        await backend.put(make_record("g", 2))

    assert [info.sequence for info in (await backend.list("g")).infos] == [1]
