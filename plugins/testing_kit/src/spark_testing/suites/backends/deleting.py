"""Deleting: one, many, along with a save; sequences stay used."""

from __future__ import annotations

import asyncio

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import make_record
from spark_testing.suites.backends.store import GivenStore, ReadRaw


class Deleting(GivenStore):
    """Deleting: one, many, along with a save; sequences stay used."""

    # delete

    async def test_deletes_one_record(self, backend: CheckpointBackend, read_raw: ReadRaw) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        assert await backend.delete("g", 2) is True, "delete() of a record that is there must return True."
        assert await backend.get("g", 2) is None, "A record was deleted, and get() still gives it."
        assert read_raw("g", 2) is None, "A record was deleted, and its content is still in the store."
        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 3], (
            "Records 1, 2 and 3 were saved and 2 was deleted: 1 and 3 must be listed."
        )

    async def test_deleting_what_is_not_there_says_so(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record())
        await backend.delete("g", 1)

        assert await backend.delete("g", 1) is False, (
            "A record was deleted before: delete() must return False the second time, as handlers are notified once."
        )
        assert await backend.delete("g", 7) is False, "delete() of a sequence that was never used must return False."
        assert await backend.delete("unknown", 1) is False, "delete() in a graph that is not there must return False."

    async def test_one_of_many_deleters_is_told_that_it_did_it(self, backend: CheckpointBackend) -> None:
        """Handlers are notified of a deletion once."""
        await backend.put(make_record())

        answers = await asyncio.gather(*(backend.delete("g", 1) for _ in range(8)))

        assert sorted(answers) == [False] * 7 + [True], (
            "Eight callers deleted one record at once: exactly one must get True, as handlers are notified once."
        )

    async def test_deletes_many_records_and_says_which(self, backend: CheckpointBackend, read_raw: ReadRaw) -> None:
        for sequence in (1, 2, 3, 4):
            await backend.put(make_record("g", sequence, checkpoint_id="mine" if sequence == 1 else None))
        await backend.put(make_record("other", 2))
        await backend.delete("g", 2)

        assert sorted(await backend.delete_many("g", [1, 2, 3, 7])) == [1, 3], (
            "delete_many() must name the records that it deleted: not 2, deleted before, nor 7."
        )
        assert await backend.find("mine") is None, (
            "delete_many() removed a record that was made by hand, and its id is still found."
        )
        assert [read_raw("g", sequence) for sequence in (1, 2, 3)] == [None] * 3, (
            "delete_many() reports that it deleted these records, and their content is still in the store."
        )
        assert [(info.graph_id, info.sequence) for info in (await backend.list()).infos] == [("g", 4), ("other", 2)], (
            "delete_many() of 1, 2 and 3 in graph 'g' must leave all other records of all graphs."
        )
        assert await backend.delete_many("unknown", [1, 2]) == [], (
            "delete_many() in a graph that is not there must return an empty list."
        )
        assert await backend.delete_many("g", []) == [], "delete_many() of nothing must return an empty list."

    async def test_sequences_of_many_deleted_records_stay_used(self, backend: CheckpointBackend) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        await backend.delete_many("g", [3, 1, 2])

        assert await backend.next_sequence("g") == 4, (
            "Records 1, 2 and 3 were saved and deleted: these sequences stay used, so the next one is 4."
        )
        for sequence in (1, 2, 3):
            with pytest.raises(SequenceTakenError):
                await backend.put(make_record("g", sequence))

    async def test_of_deleters_of_many_one_is_told_of_each(self, backend: CheckpointBackend) -> None:
        for sequence in range(1, 7):
            await backend.put(make_record("g", sequence))

        answers = await asyncio.gather(
            backend.delete_many("g", [1, 2, 3, 4]),
            backend.delete_many("g", [3, 4, 5, 6]),
            backend.delete("g", 4),
        )

        assert sorted([*answers[0], *answers[1], *([4] if answers[2] else [])]) == [1, 2, 3, 4, 5, 6], (
            "Two delete_many() and one delete() overlapped: for each record, exactly one of them must report the deletion."
        )

    # put_and_delete

    async def test_a_save_may_delete_others(self, backend: CheckpointBackend) -> None:
        """What it does not delete the caller does; what it reports as deleted is deleted."""
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        deleted = await backend.put_and_delete(make_record("g", 4), [1, 2, 9])

        assert set(deleted) <= {1, 2}, (
            "put_and_delete() was asked to delete 1, 2 and 9, which is not there: it may report 1 and 2 at most."
        )
        left = [sequence for sequence in (1, 2) if sequence not in deleted]
        assert [info.sequence for info in (await backend.list("g")).infos] == [*left, 3, 4], (
            "What put_and_delete() reports as deleted must not be listed, everything else must be, and so must its own record."
        )

    async def test_a_save_deletes_only_records_of_its_graph(self, backend: CheckpointBackend) -> None:
        for graph_id in ("g", "h"):
            await backend.put(make_record(graph_id, 1, checkpoint_id=f"first of {graph_id}"))

        deleted = await backend.put_and_delete(make_record("g", 2), [1])

        assert await backend.get("h", 1) is not None, (
            "put_and_delete of graph 'g' was asked to delete sequence 1, and deleted that of graph 'h'"
        )
        assert await backend.find("first of h") is not None, (
            "put_and_delete of graph 'g' removed an id that was given by hand in graph 'h'"
        )
        assert (await backend.find("first of g") is None) is (list(deleted) == [1]), (
            f"put_and_delete says that it removed {list(deleted)}; the id 'first of g' of sequence 1 has to agree with that"
        )

    async def test_sequences_that_a_save_deleted_stay_used(self, backend: CheckpointBackend, read_raw: ReadRaw) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        deleted = await backend.put_and_delete(make_record("g", 4), [1, 2])
        await backend.delete_many("g", [1, 2])

        for sequence in (1, 2):
            assert read_raw("g", sequence) is None, f"sequence {sequence} was deleted and is still in the store"
            with pytest.raises(SequenceTakenError):
                await backend.put(make_record("g", sequence))
        assert await backend.next_sequence("g") == 5, (
            f"put_and_delete removed {list(deleted)} of [1, 2], delete_many the rest; sequences stay used, so 5 is the next one"
        )

    async def test_a_save_that_is_refused_deletes_nothing(self, backend: CheckpointBackend) -> None:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))

        with pytest.raises(SequenceTakenError):
            await backend.put_and_delete(make_record("g", 2), [1])

        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2], (
            "put_and_delete() was refused with SequenceTakenError: then nothing may be removed."
        )
