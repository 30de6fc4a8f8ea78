"""Many records and many graphs cost few calls: what other libraries' checkpointers ask for fits on a backend as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint import CheckpointInfo, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend, CheckpointQuery, LatestHeaders, Record, in_batches
from spark_testing import FaultyBackend, make_record


class Checkpointer:
    """Threads, namespaces and pending writes, as LangGraph's protocol has them, on any backend.

    A namespace of a thread is a graph, and the writes that belong to a checkpoint are a graph beside it.
    """

    def __init__(self, backend: CheckpointBackend) -> None:
        self._backend = backend

    async def put(self, thread: str, namespace: str, number: int) -> None:
        await self._backend.put(make_record(f"{thread}/{namespace}", number))

    async def put_write(self, thread: str, namespace: str, number: int, task: int) -> None:
        await self._backend.put(make_record(f"{thread}/{namespace}:writes", 100 * number + task))

    async def namespaces(self, thread: str) -> list[str]:
        return [each for each in await self._backend.graph_ids(f"{thread}/") if not each.endswith(":writes")]

    async def latest(self, thread: str) -> dict[str, int]:
        latest = await self._backend.latest_headers(await self.namespaces(thread))
        return {graph_id: header.sequence for graph_id, header in latest.headers.items()}

    async def pending_writes(self, thread: str, namespace: str, number: int) -> list[int]:
        found = await self._backend.get_many(f"{thread}/{namespace}:writes", range(100 * number, 100 * number + 100))
        return [sequence % 100 for sequence in found.records]

    async def history(self, thread: str, namespace: str, *, before: int, limit: int) -> list[int]:
        query = CheckpointQuery(graph_id=f"{thread}/{namespace}", newest_first=True)
        infos = [info for info in (await self._backend.query(query)).infos if info.sequence < before][:limit]
        return [*(await self._backend.get_many(f"{thread}/{namespace}", [info.sequence for info in infos])).records]


async def test_a_checkpointer_of_another_library_asks_in_one_call_whatever_it_wants() -> None:
    backend = FaultyBackend(InMemoryCheckpointBackend())
    checkpointer = Checkpointer(backend)
    for thread in ("a", "ab", "b"):
        for namespace in ("", "child"):
            for number in range(1, 6):
                await checkpointer.put(thread, namespace, number)
                await checkpointer.put_write(thread, namespace, number, 7)
                await checkpointer.put_write(thread, namespace, number, 3)
    backend.calls.clear()

    assert await checkpointer.namespaces("a") == ["a/", "a/child"]
    assert await checkpointer.latest("a") == {"a/": 5, "a/child": 5}
    assert await checkpointer.pending_writes("a", "child", 4) == [3, 7]
    assert await checkpointer.history("a", "child", before=5, limit=2) == [3, 4]
    assert backend.calls == ["graph_ids", "graph_ids", "latest_headers", "get_many", "query", "get_many"]


@pytest.mark.parametrize("graphs", [1, 3])
async def test_a_store_is_verified_in_batches(graphs: int) -> None:
    inner = InMemoryCheckpointBackend()
    for graph in range(graphs):
        for sequence in range(1, 101):
            await inner.put(make_record(f"g{graph}", sequence))
    backend = FaultyBackend(inner)

    found = await CheckpointManager(backend).verify()

    assert len(found.damaged) == 100 * graphs, "none of these records has the checksum of its content"
    assert backend.calls.count("get_many") == 2 * graphs
    assert "get" not in backend.calls


async def test_a_damaged_record_in_a_batch_is_reported_with_its_reason() -> None:
    inner = InMemoryCheckpointBackend()
    for sequence in (1, 2, 3):
        await inner.put(make_record("g", sequence))

    class Damaged(FaultyBackend):
        async def get_many(self, graph_id, sequences):  # type: ignore[no-untyped-def]
            return await CheckpointBackend.get_many(self, graph_id, sequences)

        async def get(self, graph_id: str, sequence: int) -> Record | None:
            if sequence == 2:
                raise CheckpointDamagedError("the second one is damaged")
            return await super().get(graph_id, sequence)

    found = await CheckpointManager(Damaged(inner)).verify()

    assert "the second one is damaged" in {str(error) for _, error in found.damaged}


def test_a_batch_is_of_one_graph_and_fits_into_memory() -> None:
    small, large = info("g", 1, size=10), 2**24

    def sizes(infos: Iterator[list[CheckpointInfo]]) -> list[int]:
        return [len(batch) for batch in infos]

    assert sizes(in_batches([])) == []
    assert sizes(in_batches([small] * 130)) == [64, 64, 2]
    assert sizes(in_batches([small, small, info("h", 1, size=10)])) == [2, 1]
    assert sizes(in_batches([small, info("g", 2, size=large), small, small])) == [1, 1, 2]
    assert [one for batch in in_batches([small, info("h", 1, size=large)]) for one in batch] == [
        small,
        info("h", 1, size=large),
    ]


def info(graph_id: str, sequence: int, *, size: int) -> CheckpointInfo:
    return replace(make_record(graph_id, sequence).info(), size=size)


async def test_graphs_that_are_deleted_meanwhile_do_not_make_a_page_seem_the_last() -> None:
    class Shrinking(InMemoryCheckpointBackend):
        async def latest_headers(self, graph_ids: Sequence[str]) -> LatestHeaders:
            for graph_id in ("b", "c"):
                await self.delete(graph_id, 1)
            return await super().latest_headers(graph_ids)

    backend = Shrinking()
    for graph_id in "abcdef":
        await backend.put(make_record(graph_id, 1))

    assert [*(await backend.latest_runs(limit=3)).headers] == ["a", "d", "e"]
    assert [*(await backend.latest_runs(after="e", limit=3)).headers] == ["f"]
