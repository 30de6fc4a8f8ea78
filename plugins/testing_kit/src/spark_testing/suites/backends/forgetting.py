"""Forgetting a graph: nothing is left of it, and a later run under its id begins anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import BLOB, OTHER, make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother, ReadRaw, Spoil


class Forgetting(GivenStore):
    """Forgetting a graph: nothing is left of it, and a later run under its id begins anew."""

    async def test_forgets_a_graph_and_no_other(self, backend: CheckpointBackend, read_raw: ReadRaw) -> None:
        blobs = {BLOB: b"large"} if backend.keeps_blobs else {}
        for graph_id in ("g", "h"):
            for sequence in (1, 2, 3):
                by_hand = f"{graph_id} by hand" if sequence == 2 else None
                record = make_record(graph_id, sequence, checkpoint_id=by_hand, blobs=blobs if sequence == 1 else None)
                await backend.put(record)
        await backend.delete("g", 1)

        assert sorted(await backend.forget("g")) == [2, 3], (
            "forget() must name the records that were there: 2 and 3, as 1 was deleted before."
        )
        assert [read_raw("g", sequence) for sequence in (1, 2, 3)] == [None] * 3, (
            "A graph was forgotten, and the content of its records is still in the store."
        )
        assert ((await backend.list("g")).infos, await backend.blob_names("g")) == ([], []), (
            "A graph was forgotten, and records or large values of it are still listed."
        )
        assert await backend.get_latest("g") is None, (
            "A graph was forgotten, and get_latest() still finds a record of it."
        )
        assert await backend.find("g by hand") is None, "an id given by hand outlives its graph"
        assert [info.graph_id for info in (await backend.list()).infos] == ["h"] * 3, (
            "Graph 'g' was forgotten: the three records of graph 'h' must stay."
        )
        assert await backend.find("h by hand") is not None, (
            "Graph 'g' was forgotten, and with it an id that was given by hand in graph 'h'."
        )
        assert await backend.get_blobs("h", [BLOB]) == blobs, "large values of another graph were removed"
        assert await backend.forget("g") == [], (
            "forget() of a graph that was forgotten before must return an empty list"
        )
        assert await backend.forget("unknown") == [], "forget() of a graph that is not there must return an empty list."

    async def test_a_forgotten_graph_begins_anew(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Also for another backend on the store, which knew it before."""
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))
        await backend.delete("g", 2)
        if open_another is None:
            await backend.forget("g")
        else:
            async with open_another() as another:
                await another.forget("g")

        first = await backend.next_sequence("g")
        records = [make_record("g", first + number) for number in range(4)]
        for record in records:
            await backend.put(record)

        assert first in (1, 4), (
            f"the next sequence is {first}: neither 1, as for a new graph, nor one that was never used"
        )
        assert [await backend.get("g", record.sequence) for record in records] == records, (
            "A graph was forgotten and started again: each record must come back as it was saved."
        )
        assert sorted(await backend.delete_many("g", [first, first + 1])) == [first, first + 1], (
            "A graph was forgotten and started again: delete_many() must say that it removed its first two records."
        )
        assert [info.sequence for info in (await backend.list("g")).infos] == [first + 2, first + 3], (
            "A graph was forgotten and started again with four records, two were deleted: the others must be listed."
        )

    async def test_forgets_those_that_are_empty_and_no_others(self, backend: CheckpointBackend) -> None:
        """Where a store does so at all, and keeps nothing of them for longer."""
        for graph_id in ("g/left", "g/empty", "h"):
            for sequence in (1, 2):
                await backend.put(make_record(graph_id, sequence))
        for graph_id, sequences in (("g/left", [2]), ("g/empty", [1, 2]), ("h", [1, 2])):
            await backend.delete_many(graph_id, sequences)

        assert await backend.forget_empty("g/", older_than=timedelta(days=1)) == 0, (
            "A graph lost its last record just now: forget_empty() of what is older than a day must leave it alone."
        )
        assert await backend.next_sequence("g/empty") == 3, "forget_empty() forgot the sequences of a graph too early."
        forgotten = await backend.forget_empty("g/", older_than=timedelta(0))

        highest = {graph_id: await backend.next_sequence(graph_id) - 1 for graph_id in ("g/left", "g/empty", "h")}
        assert highest == {"g/left": 2, "g/empty": 0 if forgotten else 2, "h": 2}, (
            "forget_empty('g/') may forget 'g/empty' only, and must say so: 'g/left' has a record, and 'h' is not asked for."
        )
        assert await backend.get("g/left", 1) is not None, "forget_empty() removed a record."

    async def test_forgets_what_is_damaged(
        self, backend: CheckpointBackend, open_another: OpenAnother | None, spoil: Spoil | None, read_raw: ReadRaw
    ) -> None:
        if open_another is None or spoil is None:
            return
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence, checkpoint_id=f"c{sequence}"))
        spoil("g", 2)

        async with open_another() as another:
            assert sorted(await another.forget("g")) == [1, 2], (
                "forget() must remove damaged records, too, and name them."
            )
            assert (await another.list()).damaged == [], (
                "A graph was forgotten, and its damaged record is still reported."
            )
        assert read_raw("g", 2) is None, "a damaged record is still there"

    async def test_what_is_listed_while_a_graph_is_forgotten_is_whole(self, backend: CheckpointBackend) -> None:
        """Records go before the large values that they need."""
        for sequence, name in ((1, BLOB), (2, OTHER)):
            await backend.put(make_record("g", sequence, blobs={name: b"x"} if backend.keeps_blobs else None))

        async def look() -> list[str]:
            torn = []
            for _ in range(5):
                for info in (await backend.list("g")).infos:
                    name = {1: BLOB, 2: OTHER}[info.sequence]
                    blobs = await backend.get_blobs("g", [name]) if backend.keeps_blobs else {name: b"x"}
                    if not blobs and await backend.get("g", info.sequence) is not None:
                        torn.append(name)
            return torn

        torn, deleted = await asyncio.gather(look(), backend.forget("g"))

        assert torn == [], "a record is there whose large value is not"
        assert sorted(deleted) == [1, 2], (
            "A graph with two records was forgotten while somebody looked: forget() must name both."
        )

    async def test_of_several_that_forget_one_is_told_of_each_record(self, backend: CheckpointBackend) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        answers = await asyncio.gather(*(backend.forget("g") for _ in range(3)))

        assert sorted(sequence for each in answers for sequence in each) == [1, 2, 3], (
            "Three callers forgot one graph at once: for each record, exactly one of them must report the deletion."
        )
