"""Ids: whatever the string, it is only a name."""

from __future__ import annotations

import asyncio

import pytest

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import STORED_IDS, make_record
from spark_testing.suites.backends.store import GivenStore


class Ids(GivenStore):
    """Ids: whatever the string, it is only a name."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Try the ids that the author chose, each in a test of its own."""
        if "hostile" in metafunc.fixturenames:
            metafunc.parametrize("hostile", self.hostile_ids)

    async def test_any_id_is_only_a_name(self, backend: CheckpointBackend, hostile: str) -> None:
        """That of a graph, and that of a checkpoint made by hand."""
        records = [make_record(hostile, 1), make_record("g", 1, checkpoint_id=hostile)]
        for record in records:
            await backend.put(record)

        found = await backend.find(hostile)
        assert found is not None, "A checkpoint was saved by hand under this id, and find() does not find it."
        assert (found.graph_id, found.checkpoint_id, found.sequence, found.manual) == ("g", hostile, 1, True), (
            "A checkpoint was saved by hand in graph 'g', and find() by its id gives another one."
        )
        assert [await backend.get(hostile, 1), await backend.get("g", 1)] == records, (
            "One record was saved in a graph of this id, one in graph 'g': get() must give each as it was."
        )
        assert {info.graph_id for info in (await backend.list()).infos} == {hostile, "g"}, (
            "One record was saved in a graph of this id, one in graph 'g': both graphs must be listed, by their ids."
        )
        assert await backend.next_sequence(hostile) == 2, (
            "A graph of this id has one record, so its next sequence is 2."
        )
        assert [await backend.delete(hostile, 1), await backend.delete("g", 1)] == [True, True], (
            "delete() must return True for the record of a graph of this id, and for that of graph 'g'."
        )
        assert await backend.find(hostile) is None, (
            "The checkpoint with this id was deleted, and find() still finds it."
        )

    async def test_an_id_given_in_two_graphs_means_the_higher_sequence(self, backend: CheckpointBackend) -> None:
        records = [make_record("g", 1), make_record("g", 2, checkpoint_id="given twice")]
        for record in [*records, make_record("h", 1, checkpoint_id="given twice")]:
            await backend.put(record)

        found = await backend.find("given twice")

        assert found is not None, "A checkpoint was saved by hand under this id, and find() does not find it."
        assert (found.graph_id, found.sequence) == ("g", 2), (
            "An id was given to checkpoint 2 of graph 'g', then to checkpoint 1 of graph 'h': find() must give the one with "
            "the higher sequence."
        )

    async def test_no_two_ids_share_a_place(self, backend: CheckpointBackend) -> None:
        records = [make_record(hostile, 1, checkpoint_id=f"of {hostile}") for hostile in STORED_IDS]
        await asyncio.gather(*map(backend.put, records))

        assert [info.graph_id for info in (await backend.list()).infos] == sorted(STORED_IDS), (
            "One record was saved for each of these graph ids: each must be listed under its own, by code points."
        )
        assert await asyncio.gather(*(backend.get(hostile, 1) for hostile in STORED_IDS)) == records, (
            "One record was saved for each of these graph ids, and get() gives one that belongs to another."
        )
        highest = await asyncio.gather(*map(backend.next_sequence, STORED_IDS))
        assert highest == [2] * len(STORED_IDS), (
            "each graph id got one record, so the next sequence of each is 2; another one is counted together with: "
            f"{[hostile for hostile, following in zip(STORED_IDS, highest, strict=True) if following != 2]}"
        )
        for hostile in self.hostile_ids:
            found = await backend.find(f"of {hostile}")
            assert found is not None, (
                "A checkpoint was saved by hand under this id, and find() does not find it among many."
            )
            assert found.graph_id == hostile, "find() gives a checkpoint whose id only looks like the one asked for."
        to_delete, staying = STORED_IDS[::2], STORED_IDS[1::2]
        assert all(await asyncio.gather(*(backend.delete(hostile, 1) for hostile in to_delete))), (
            "deleting the only record of a graph id must return True, whatever other ids look alike"
        )
        left = [info.graph_id for info in (await backend.list()).infos]
        assert left == sorted(staying), (
            f"every second graph id lost its record. Also lost: {sorted({*staying} - {*left})}; "
            f"still there: {sorted({*left} - {*staying})}"
        )
