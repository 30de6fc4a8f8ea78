"""What is stored stays proportional to what is kept, however many checkpoints there were; and what is kept loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager
from spark.graphs.checkpoint.storage import in_batches
from tests.plugins.support.growing_graph import conversation, state_after
from tests.support.variants import first_of

KEPT = 3
WINDOW = 100
"""Messages of 1 KB, so the state is 115 KB at most."""
LARGEST_STATE = 130_000


async def run_long(store: CheckpointBackend, *, steps: int) -> None:
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, max_checkpoints=KEPT)
    await conversation(config).run({"length": steps, "window": WINDOW})


async def bytes_in(store: CheckpointBackend) -> int:
    """Of all records, and of all large values, also of those that no record needs."""
    size, graph_id = 0, "conversation"
    for batch in in_batches((await store.list(graph_id)).infos):
        found = await store.get_many(graph_id, [info.sequence for info in batch])
        size += sum(len(record.payload) for record in found.records.values())
    blobs = await store.get_blobs(graph_id, await store.blob_names(graph_id))
    return size + sum(map(len, blobs.values()))


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("memory", 500),
        ("sqlite", 300),
        pytest.param("file", 300, marks=pytest.mark.thorough),
        pytest.param("fsspec", 400, marks=pytest.mark.thorough),
        pytest.param("postgresql", 300, marks=pytest.mark.thorough),
        pytest.param("s3", 120, marks=pytest.mark.thorough),
    ],
)
async def test_few_kept_checkpoints_take_little_space(store: CheckpointBackend, steps: int) -> None:
    """Of each item there may be two copies: one that is needed and one in a chunk of which less than half is dead."""
    store.blob_cost = min(store.blob_cost, 16 * 1024)  # so that short runs have as many chunks as long ones
    await run_long(store, steps=steps)

    assert await bytes_in(store) < 3 * LARGEST_STATE
    infos = (await store.list("conversation")).infos
    assert len(infos) == KEPT
    for info in infos[:-1]:  # the last one was made at the end, with the state of the one before
        loaded = await CheckpointManager(store).load_checkpoint(info.checkpoint_id)
        assert loaded.graph_state == state_after(loaded.execution_metadata["iteration"], window=WINDOW)


@pytest.mark.parametrize("kind", first_of(["file", "sqlite"]))
async def test_so_it_is_on_the_disk(store: CheckpointBackend, tmp_path: Path) -> None:
    store.blob_cost = min(store.blob_cost, 16 * 1024)
    await run_long(store, steps=300)
    await store.close()

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "floor"]
    assert sum(path.stat().st_size for path in files) < 6 * LARGEST_STATE
