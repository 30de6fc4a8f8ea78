"""The memory backend keeps the promise of backends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark_testing import CheckpointBackendConformance, ReadRaw
from spark_testing.records import make_record


class TestMemoryBackend(CheckpointBackendConformance):
    capabilities = ("keeps_blobs", "deletes_along")

    @pytest.fixture
    async def backend(self) -> AsyncIterator[InMemoryCheckpointBackend]:
        async with InMemoryCheckpointBackend() as backend:
            yield backend

    @pytest.fixture
    def read_raw(self, backend: InMemoryCheckpointBackend) -> ReadRaw:
        def read(graph_id: str, sequence: int) -> bytes | None:
            record = backend._graphs.get(graph_id, {}).get(sequence)
            return None if record is None else record.header.to_json() + record.payload

        return read


@pytest.mark.parametrize("url", ["memory://", "memory:", "memory"])
def test_its_url_is_a_new_store(url: str) -> None:
    assert isinstance(InMemoryCheckpointBackend.from_url(url), InMemoryCheckpointBackend)


@pytest.mark.parametrize("url", ["memory://host", "memory:///path", "file:///a"])
def test_a_url_with_an_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="memory://"):
        InMemoryCheckpointBackend.from_url(url)


async def test_two_stores_share_nothing() -> None:
    one, other = InMemoryCheckpointBackend(), InMemoryCheckpointBackend()

    await one.put(make_record())

    assert (await other.list()).infos == []


def test_a_configuration_shows_it_as_it_is_written() -> None:
    assert "backend=InMemoryCheckpointBackend(), " in repr(CheckpointConfig(backend=InMemoryCheckpointBackend()))


async def test_a_small_state_is_never_put_into_chunks() -> None:
    """Records share its encoded items, so each later one would pay for the reference and gain nothing."""
    steps = 2 * InMemoryCheckpointBackend.blob_cost // 10_000

    @node
    async def count(context: NodeContext) -> dict[str, bool]:
        await context.graph_state.set("count", context.iteration)
        return {"again": context.iteration < steps}

    count.on(again=True) >> count
    async with InMemoryCheckpointBackend() as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        state = {f"key {number}": "x" * 90 for number in range(100)}
        await Graph(count, id="g", state=state, checkpoint_config=config).run()

        record = await backend.get_latest("g")

        assert record is not None
        assert record.sequence >= steps
        assert b"$chunks" not in record.payload


async def test_a_subclass_that_deletes_in_its_own_way_is_asked_to() -> None:
    """What stores and deletes in one act must not go around it."""

    class Noting(InMemoryCheckpointBackend):
        def __init__(self) -> None:
            super().__init__()
            self.deleted: list[int] = []

        async def delete(self, graph_id: str, sequence: int) -> bool:
            self.deleted.append(sequence)
            return await super().delete(graph_id, sequence)

    @node
    async def step(context: NodeContext) -> dict[str, bool]:
        return {"more": context.iteration < 3}

    step.on(more=True) >> step
    backend = Noting()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=1)
    await Graph(step, id="g", checkpoint_config=config).run()

    assert backend.deleted == [1, 2, 3]
