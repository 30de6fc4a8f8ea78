"""What a run saves at once may be much: large values are then stored as they are encoded, ahead of their record."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest

from spark.errors import BackendError
from spark.graphs import Budget, Graph, NodeContext, Task, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, KeepAll
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.storage import Record, RecordCodec
from spark_testing.faults import FaultyBackend
from spark_testing.suites.blob_memory import BlobMemory

SIZE = 3_000_000
HELD = Thresholds._field_defaults["held"]
LARGE: dict[str, dict[str, Any]] = {
    "many values": {f"key {number}": f"{number} ".ljust(2000, ".") for number in range(SIZE // 2000)},
    "large values": {f"key {number}": f"{number} ".ljust(100_000, ".") for number in range(SIZE // 100_000)},
    "a long list": {"log": [f"{number} ".ljust(1000, ".") for number in range(SIZE // 1000)]},
    "a large dict": {"files": {f"f{number}": {"is": f"{number} ".ljust(1000, ".")} for number in range(SIZE // 1000)}},
}


class Store(BlobMemory):
    """Notes what it is given at once, in the order in which it is."""

    blob_cost = 8192

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.given: list[tuple[str, int]] = []

    async def put(self, record: Record) -> None:
        self.given.append(("record", sum(map(len, record.blobs.values())) + len(record.payload)))
        await super().put(record)

    async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
        self.given.append(("ahead", sum(map(len, blobs.values()))))
        return await super().put_blobs(graph_id, blobs)


@node
async def work(context: NodeContext) -> dict[str, Any]:
    await context.graph_state.update("steps", lambda steps: steps + 1, default=0)
    return {}


work >> work


async def run(backend: Any, *, state: Mapping[str, Any] | None = None, steps: int = 2) -> Graph:
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, retention=KeepAll())
    graph = Graph(work, id="g", state=state, checkpoint_config=config)
    try:
        await graph.run(Task(budget=Budget(max_iterations=steps)), resume=False)
    except Exception as error:
        if type(error).__name__ != "BudgetExceededError":
            raise
    return graph


async def stored_state(backend: Any) -> Mapping[str, Any]:
    checkpoint = await CheckpointManager(backend).load_latest("g")
    assert checkpoint is not None
    return dict(checkpoint.graph_state)


@pytest.mark.parametrize("name", LARGE)
async def test_no_more_than_a_part_of_it_is_held_encoded(name: str) -> None:
    """Otherwise a run would need its state a second time, and a third, whenever it saves for the first time."""
    backend, state = Store(), LARGE[name]

    await run(backend, state=state)

    kinds = [kind for kind, _ in backend.given]
    assert kinds[:3] == ["ahead", "ahead", "ahead"]
    assert kinds.count("record") == 3
    assert max(size for _, size in backend.given) < HELD + 2**20 + 100_000, "more than what is held, and one full chunk"
    assert await stored_state(backend) == {**state, "steps": 2}


@pytest.mark.parametrize(
    "values", [LARGE["large values"], {"log": [*LARGE["large values"].values()]}], ids=["keys", "list"]
)
def test_encoding_takes_little_memory_beside_the_values(values: dict[str, Any]) -> None:
    cache, blobs, codec = EncodingCache(Thresholds.of_store(8192)), NewBlobs("w"), RecordCodec()
    sections = {"graph_state": values, "node_states": {}, "execution_metadata": {}, "config": {}, "topology": {}}
    tracemalloc.start()

    for _ in codec.encode_ahead({**sections, "frontier": None}, sequence=1, cache=cache, blobs=blobs):
        blobs.stored(blobs.ahead())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2 * HELD + 2**20, "encoded values, what waits to be stored, and one chunk with its items"


async def test_what_is_packed_counts_as_it_is_stored() -> None:
    backend, state = Store(compression=True), LARGE["many values"]

    await run(backend, state=state)

    assert [kind for kind, _ in backend.given] == ["record"] * 3, "these texts take little once they are compressed"
    assert await stored_state(backend) == {**state, "steps": 2}


async def test_what_is_little_comes_with_the_record() -> None:
    """It is one transaction in a database, and one request less in others."""
    backend = Store()

    await run(backend, state={f"key {number}": "x" * 1000 for number in range(200)})

    assert [kind for kind, _ in backend.given] == ["record"] * 3


async def test_a_store_that_takes_nothing_ahead_gets_all_with_the_record() -> None:
    class Plain(Store):
        async def put_blobs(self, graph_id: str, blobs: Mapping[str, bytes]) -> bool:
            self.given.append(("refused", 0))
            return False

    backend, state = Plain(), LARGE["large values"]

    await run(backend, state=state)

    assert [kind for kind, _ in backend.given] == ["refused", *["record"] * 3], "it is asked once a run"
    assert await stored_state(backend) == {**state, "steps": 2}


@pytest.mark.parametrize("what", ["fail", "lose_answer"])
async def test_what_a_failure_leaves_behind_are_orphans(what: str) -> None:
    """The record never came. The run that resumes stores everything under names of its own."""
    backend, state = FaultyBackend(Store()), LARGE["many values"]
    getattr(backend, what)("put_blobs", at=3)

    with pytest.raises(BackendError, match="A fault was ordered"):
        await run(backend, state=state)
    left = len(await backend.blob_names("g"))
    await run(backend, state=state)

    assert left > 0
    assert await stored_state(backend) == {**state, "steps": 2}
    assert await CheckpointManager(backend).remove_orphans("g") == left
    assert await stored_state(backend) == {**state, "steps": 2}


async def test_an_error_of_another_kind_says_what_could_not_be_done() -> None:
    backend = FaultyBackend(Store())
    backend.fail("put_blobs", error=OSError("no space left"))

    with pytest.raises(BackendError, match=r"saving large values of graph 'g'.*no space left"):
        await run(backend, state=LARGE["many values"])


async def test_a_run_that_is_cancelled_meanwhile_saves_its_last_boundary() -> None:
    backend, state = FaultyBackend(Store()), LARGE["many values"]
    fault = backend.hang("put_blobs", at=2)
    running = asyncio.create_task(run(backend, state=state))
    await fault.reached.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert await stored_state(backend) == {**state, "steps": 1}
    assert await CheckpointManager(backend).remove_orphans("g") == 0
