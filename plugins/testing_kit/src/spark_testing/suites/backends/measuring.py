"""What graphs take up: checkpoints and bytes, with large values, and no graph's for another one's."""

from __future__ import annotations

from typing import Final

from spark.graphs.checkpoint.storage import CheckpointBackend, Usage
from spark_testing.records import BLOB, HOSTILE_IDS, OTHER, make_record
from spark_testing.suites.backends.store import GivenStore

_AROUND: Final = 4096
"""What a store may need around a record, in bytes, and count as well."""


class Measuring(GivenStore):
    """What graphs take up."""

    async def test_usage_adds_up_what_each_graph_takes_up(self, backend: CheckpointBackend) -> None:
        assert await backend.usage() == {}, "usage() of an empty store must be empty."
        payload, content = b'"' + b"x" * 10_000 + b'"', b"y" * 30_000
        for sequence in (1, 2, 3):
            await backend.put(make_record("b", sequence, payload=payload))
        blobs = {BLOB: content, OTHER: b'"large"'} if backend.keeps_blobs else {}
        await backend.put(make_record("a", 1, blobs=blobs))
        await backend.put(make_record("a", 2, checkpoint_id="by hand"))
        await backend.put(make_record("deleted", 1))
        await backend.delete("deleted", 1)

        found = await backend.usage()

        assert [*found] == ["a", "b"], "usage() must name the graphs that have records, in the order of code points."
        _check("b", found["b"], count=3, size=3 * len(payload))
        small = len(make_record("a", 1).payload)
        _check("a", found["a"], count=2, size=2 * small + sum(map(len, blobs.values())))
        assert await backend.usage(["b", "nobody", "b"]) == {"b": found["b"]}, (
            "usage(ids) must measure each of these graphs that has records once, and no other one."
        )
        assert await backend.usage([]) == {}, "usage([]) asks for no graph, and must be empty."

    async def test_usage_keeps_graphs_apart_whatever_their_ids(self, backend: CheckpointBackend) -> None:
        for count, graph_id in enumerate(HOSTILE_IDS, 1):
            for sequence in range(1, 1 + count % 3 + 1):
                await backend.put(make_record(graph_id, sequence))

        found = await backend.usage(HOSTILE_IDS)

        assert {graph_id: usage.checkpoints for graph_id, usage in found.items()} == {
            graph_id: count % 3 + 1 for count, graph_id in enumerate(HOSTILE_IDS, 1)
        }, "usage() of graphs with odd ids must count the records of each one."
        assert await backend.usage() == found, "usage() of all graphs must say the same of each as usage(ids)."

    async def test_usage_follows_what_is_deleted(self, backend: CheckpointBackend) -> None:
        blobs = {BLOB: b"y" * 30_000} if backend.keeps_blobs else {}
        await backend.put(make_record("g", 1, blobs=blobs))
        await backend.put(make_record("g", 2))
        before = (await backend.usage(["g"]))["g"]
        await backend.delete("g", 1)
        if blobs:
            await backend.delete_blobs("g", [BLOB])

        after = (await backend.usage(["g"]))["g"]

        assert (before.checkpoints, after.checkpoints) == (2, 1), "a deleted record is still counted by usage()"
        assert after.bytes <= before.bytes - len(make_record("g", 1).payload) - sum(map(len, blobs.values())), (
            "usage() still counts the bytes of a record, or of large values, that were deleted."
        )
        await backend.forget("g")
        assert await backend.usage() == {}, "usage() still names a graph that was forgotten."


def _check(graph_id: str, usage: Usage, *, count: int, size: int) -> None:
    assert (usage.checkpoints, usage.damaged) == (count, 0), (
        f"Graph {graph_id!r} has {count} records and none is damaged: usage() must say so, and says {usage}."
    )
    assert size <= usage.bytes <= size + count * _AROUND, (
        f"Graph {graph_id!r} takes up about {size} bytes, large values included: usage() says {usage.bytes}."
    )
