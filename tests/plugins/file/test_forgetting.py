"""A graph that is forgotten leaves nothing, and nobody writes into what was its folder."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, DeletionError
from spark.graphs import ExitNode, Graph, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from spark_backend_file import FileCheckpointBackend
from spark_backend_file.local_directory import LocalDirectory
from spark_testing.records import BLOB, make_record
from tests.plugins.support.file_backends import file_of
from tests.plugins.support.file_faults import WatchedOs, watching


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


def test_records_are_durably_removed_before_their_large_values_and_the_folder_at_last(tmp_path: Path) -> None:
    """Otherwise a power failure could bring back a record without its large values, or the folder."""
    store = LocalDirectory(str(tmp_path))
    store.put(make_record("g", 1, blobs={BLOB: b"x" * 9_000}))

    with watching(WatchedOs()) as watched:
        store.forget("g")

    steps = [(step.name, step.paths[0].removeprefix(str(tmp_path))) for step in watched.log]
    removed = steps.index(("unlink", "/g/000000000001.ckpt"))
    synced = steps.index(("fsync", "/g"), removed)
    assert synced < steps.index(("unlink", f"/g/blobs/{BLOB}.blob"))
    assert steps[-1] == ("fsync", "")


async def test_a_graph_without_records_is_forgotten_once_that_is_long_ago(backend: FileCheckpointBackend) -> None:
    directory, hour = Path(backend.directory), timedelta(hours=1)
    for graph_id in ("g", "h", "i", "long " + "x" * 190):
        await backend.put(make_record(graph_id, 1))
        if graph_id != "h":
            await backend.delete(graph_id, 1)
    assert await backend.forget_empty("", older_than=hour) == 0
    for folder in directory.iterdir():
        os.utime(folder, (0, 0))
    (directory / "i" / "notes.txt").touch()
    os.utime(directory / "i", (0, 0))

    assert await backend.forget_empty("i", older_than=hour) == 0
    assert await backend.forget_empty("", older_than=hour) == 2
    assert {folder.name for folder in directory.iterdir()} == {"h", "i"}
    await backend.put(make_record("g", 1))
