"""Large values, kept beside the records that refer to them, and chunks of small ones, which are kept in the same way."""

from __future__ import annotations

from typing import ClassVar

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint import CheckpointManager
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import BLOB, GONE, OTHER, make_record
from spark_testing.suites.backends.store import GivenStore

HOSTILE_NAMES = ["", "../x", "a/b", "..", "x" * 5_000, "\0", "'; DROP TABLE x; --", "é", "\ud800"]


class LargeValues(GivenStore):
    """Large values, kept beside the records that refer to them."""

    many_blobs: ClassVar[int] = 1_000
    """So many come with one record and are read at once. A slow store may want fewer."""

    async def test_large_values_come_with_their_record_and_stay_until_they_are_removed(
        self, backend: CheckpointBackend
    ) -> None:
        """Other records refer to them, so they outlive the one that they came with."""
        if not backend.keeps_blobs:
            assert await backend.get_blobs("g", [BLOB]) == {}, (
                "keeps_blobs is False, and get_blobs() gives something: it must be empty."
            )
            assert await backend.blob_names("g") == [], (
                "keeps_blobs is False, and blob_names() names something: it must be empty."
            )
            return
        content, other = bytes(range(256)) * 40, b'"large"'
        await backend.put(make_record("g", 1, blobs={BLOB: content, OTHER: other}))
        await backend.put(make_record("g", 2))
        await backend.delete("g", 1)

        assert sorted(await backend.blob_names("g")) == [BLOB, OTHER], (
            "A record that came with large values was deleted: they stay until delete_blobs(), as others may need them."
        )
        assert await backend.get_blobs("g", [OTHER, BLOB, GONE]) == {BLOB: content, OTHER: other}, (
            "get_blobs() must give the contents as they were put, and leave out the name that is not there."
        )
        await backend.delete_blobs("g", [BLOB, GONE])
        assert await backend.blob_names("g") == [OTHER], (
            "delete_blobs() must remove the large values it names, and no others."
        )
        assert await backend.get_blobs("g", [BLOB, OTHER]) == {OTHER: other}, (
            "get_blobs() still gives a large value that delete_blobs() removed, or has lost another one."
        )

    async def test_large_values_may_come_before_their_record(self, backend: CheckpointBackend) -> None:
        """A run that saves much at once stores most of it ahead, so as not to hold all of it in memory."""
        content, other = bytes(range(256)) * 40, b""
        is_stored = await backend.put_blobs("g", {BLOB: content, OTHER: other})

        if not is_stored:
            assert await backend.blob_names("g") == [], (
                "put_blobs() returned False, which means that nothing was stored, and blob_names() names something."
            )
            return
        assert backend.keeps_blobs, "put_blobs() returned True, and keeps_blobs is False: a run would never read them."
        assert await backend.get_blobs("g", [BLOB, OTHER]) == {BLOB: content, OTHER: other}, (
            "put_blobs() returned True: all that it was given must be there, though there is no record yet."
        )
        assert await backend.latest("g") is None, "Large values were stored, and no record: there is no latest one."
        assert await backend.graph_ids() == [], "Only graphs with records have ids, not those with large values alone."
        assert await backend.next_sequence("g") == 1, "Large values use no sequence."

        await backend.put_blobs("g", {BLOB: content})
        await backend.put(make_record("g", 1, blobs={BLOB: content, GONE: b"x"}))

        assert await backend.get_blobs("g", [BLOB, OTHER, GONE]) == {BLOB: content, OTHER: other, GONE: b"x"}, (
            "A large value was stored ahead, again, and then once more with its record: it stays what it was."
        )
        await backend.forget("g")
        assert await backend.blob_names("g") == [], "forget() must also remove what put_blobs() stored."

    async def test_large_values_of_one_graph_are_not_those_of_another(self, backend: CheckpointBackend) -> None:
        if not backend.keeps_blobs:
            return
        for graph_id in ("g", "h"):
            await backend.put(make_record(graph_id, 1, blobs={BLOB: graph_id.encode()}))
        await backend.delete_blobs("h", [BLOB])

        assert await backend.get_blobs("g", [BLOB]) == {BLOB: b"g"}, (
            "Graphs 'g' and 'h' have large values of one name: deleting that of 'h' must leave that of 'g'."
        )
        assert await backend.get_blobs("h", [BLOB]) == {}, (
            "A large value of graph 'h' was deleted, and get_blobs() gives one: that of graph 'g'?"
        )
        assert await backend.blob_names("unknown") == [], "blob_names() of a graph that is not there must be empty."
        await backend.delete_blobs("unknown", [BLOB])

    async def test_a_save_may_take_large_values_along(self, backend: CheckpointBackend) -> None:
        if not backend.keeps_blobs:
            return
        for sequence, name in ((1, BLOB), (2, OTHER)):
            await backend.put(make_record("g", sequence, blobs={name: b"x"}))

        deleted = await backend.put_and_delete(make_record("g", 3), [1], [BLOB])
        if not deleted:
            await backend.delete_many("g", [1])
            await backend.delete_blobs("g", [BLOB])

        assert await backend.blob_names("g") == [OTHER], (
            "A record was deleted with the large value that only it needed: the other large value must stay."
        )

    async def test_a_save_deletes_large_values_of_its_graph_only_and_only_when_it_succeeds(
        self, backend: CheckpointBackend
    ) -> None:
        if not backend.keeps_blobs:
            return
        for graph_id in ("g", "h"):
            for sequence, name in ((1, BLOB), (2, OTHER)):
                await backend.put(make_record(graph_id, sequence, blobs={name: b"x"}))

        with pytest.raises(SequenceTakenError):
            await backend.put_and_delete(make_record("g", 2), [1], [BLOB])
        assert await backend.get_blobs("g", [BLOB]) == {BLOB: b"x"}, (
            "put_and_delete was refused, since its sequence is in use, and removed a large value all the same"
        )
        await backend.put_and_delete(make_record("g", 3), [1], [BLOB])
        assert sorted(await backend.blob_names("h")) == [BLOB, OTHER], (
            "put_and_delete of graph 'g' removed a large value of graph 'h' that has the same name"
        )

    async def test_any_name_of_a_large_value_is_only_a_name(self, backend: CheckpointBackend) -> None:
        """Names are read from records, so they are as hostile as whoever may write to the store."""
        await backend.put(make_record("g", 1, blobs={BLOB: b"x"} if backend.keeps_blobs else {}))

        for hostile in HOSTILE_NAMES:
            assert await backend.get_blobs("g", [hostile]) == {}, hostile
            await backend.delete_blobs("g", [hostile])
        assert await backend.blob_names("g") == ([BLOB] if backend.keeps_blobs else []), (
            "Names that are not names of large values were asked for and deleted: the large value that is there must stay."
        )

    async def test_many_small_values_come_with_one_record_and_are_read_at_once(
        self, backend: CheckpointBackend
    ) -> None:
        """A checkpoint names the chunks of all its collections, and is loaded by one call that asks for all of them."""
        if not backend.keeps_blobs:
            return
        blobs = {name: name.encode() for name in _names(1, self.many_blobs)}
        await backend.put(make_record("g", 1, blobs=blobs))

        wanted = [*reversed(blobs), *_names(2, self.many_blobs), *blobs]
        found = await backend.get_blobs("g", wanted)
        # Compared before it is asserted: of thousands, pytest would make a diff for a while.
        came_back = found == blobs
        assert came_back, (
            f"A record came with {len(blobs)} large values, which were asked for in one call, twice each, among as many that are "
            f"not there: get_blobs() gives {len(found)}, {sum(found.get(name) == blobs[name] for name in blobs)} of them right."
        )
        are_named = sorted(await backend.blob_names("g")) == sorted(blobs)
        assert are_named, f"blob_names() must name all {len(blobs)} large values of a graph."

    async def test_large_values_of_many_records_are_read_at_once(self, backend: CheckpointBackend) -> None:
        """Chunks stay while later records refer to them, so the values of one checkpoint were written with many records."""
        if not backend.keeps_blobs:
            return
        blobs: dict[str, bytes] = {}
        for sequence in range(1, 9):
            brought = {name: name.encode() for name in _names(sequence, 3)}
            await backend.put(make_record("g", sequence, blobs=brought))
            blobs |= brought
        await backend.delete_many("g", [1, 2, 3])

        assert await backend.get_blobs("g", [*blobs]) == blobs, (
            "Eight records came with three large values each, and three of the records were deleted: all large values stay."
        )

    async def test_names_of_large_values_are_compared_whole(self, backend: CheckpointBackend) -> None:
        """Those of one record differ in their last digits only, and one may be the beginning of another."""
        if not backend.keeps_blobs:
            return
        names = _names(1, 22)
        await backend.put(make_record("g", 1, blobs={name: name.encode() for name in names}))
        kept = [name for name in names if name not in (names[0], names[1])]

        await backend.delete_blobs("g", names[:2])

        assert sorted(await backend.blob_names("g")) == sorted(kept), (
            f"delete_blobs() was to remove {names[0]!r} and {names[1]!r}, and must leave {names[10]!r}, which begins like them."
        )
        assert await backend.get_blobs("g", names) == {name: name.encode() for name in kept}, (
            "get_blobs() must give what is stored under exactly the names that are asked for."
        )

    async def test_a_merged_value_takes_the_place_of_many_in_one_save(self, backend: CheckpointBackend) -> None:
        """Sixteen chunks become one: a save brings that, and takes along the sixteen with the last record that needs them."""
        if not backend.keeps_blobs:
            return
        old = [name for sequence in range(1, 17) for name in _names(sequence, 1)]
        for sequence, name in enumerate(old, start=1):
            await backend.put(make_record("g", sequence, blobs={name: b"small"}))
        await backend.delete_many("g", range(1, 16))
        (merged,) = _names(17, 1)

        deleted = await backend.put_and_delete(make_record("g", 17, blobs={merged: b"merged"}), [16], old)
        if not deleted:
            assert sorted(await backend.blob_names("g")) == [*old, merged], (
                "put_and_delete() deleted no record, so it must leave the large values to the caller."
            )
            await backend.delete_many("g", [16])
            await backend.delete_blobs("g", old)

        assert await backend.get_blobs("g", [*old, merged]) == {merged: b"merged"}, (
            "A save brought one large value and deleted sixteen others with the only record that needed them: the new one must "
            "be there, and no other."
        )

    async def test_large_values_may_be_large(self, backend: CheckpointBackend) -> None:
        content = bytes(range(256)) * 10_000
        if backend.keeps_blobs:
            await backend.put(make_record("g", 1, blobs={BLOB: content, OTHER: b""}))
            # Compared before it is asserted: of megabytes, pytest would make a diff for minutes.
            came_back = await backend.get_blobs("g", [BLOB, OTHER]) == {BLOB: content, OTHER: b""}
            assert came_back, "Large values of 2.5 MB, and of no bytes at all, must come back as they were put."

    async def test_what_a_record_may_refer_to_is_never_removed_for_want_of_knowledge(
        self, backend: CheckpointBackend
    ) -> None:
        """Whether its payload names its large values is said in its header, which each backend has to keep."""
        if not backend.keeps_blobs:
            return
        await backend.put(make_record("g", 1, blobs={BLOB: b"theirs"}))
        await backend.put(make_record("g", 2))
        manager = CheckpointManager(backend)

        stored = await backend.get("g", 1)
        assert stored is not None, "A record was saved, and get() does not find it."
        assert not stored.header.references_in_payload, "the header's references_in_payload was False"
        assert await manager.remove_orphans("g") == 0, (
            "A record whose payload may name its large values was saved: none of these may count as orphans."
        )
        assert (await manager.verify("g")).orphans == [], (
            "verify() reports large values as orphans whose record is there."
        )
        assert await backend.get_blobs("g", [BLOB]) == {BLOB: b"theirs"}, (
            "A large value of a record that is there was removed."
        )

    async def test_a_refused_record_leaves_the_large_values_of_others_alone(self, backend: CheckpointBackend) -> None:
        if not backend.keeps_blobs:
            return
        await backend.put(make_record("g", 1, blobs={BLOB: b"kept"}))

        with pytest.raises(SequenceTakenError):
            await backend.put(make_record("g", 1, blobs={OTHER: b"lost"}))

        assert await backend.get_blobs("g", [BLOB]) == {BLOB: b"kept"}, (
            "A save was refused with SequenceTakenError: the large values of the record in its way must stay."
        )


def _names(sequence: int, count: int) -> list[str]:
    """Those of the large values that one record brings."""
    return [f"{sequence:012d}-ab-{number}" for number in range(1, count + 1)]
