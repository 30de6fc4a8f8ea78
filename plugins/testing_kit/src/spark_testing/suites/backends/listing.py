"""Listings, searches and ids given by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import CheckpointBackend, CheckpointQuery
from spark_testing.records import NOON, make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother, Spoil

_LONGEST_HEADER: Final = 8_192
"""Bytes that a small record may take besides its payload."""


class Listing(GivenStore):
    """Listings, searches and ids given by hand."""

    # list and latest

    async def test_lists_a_graph_by_sequence(self, backend: CheckpointBackend) -> None:
        for sequence in (10, 2, 9, 1):
            await backend.put(make_record("g", sequence, timestamp=NOON - timedelta(days=sequence)))

        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2, 9, 10], (
            "list() of a graph must be in the order of sequences, as numbers, whatever the timestamps are."
        )

    async def test_lists_all_graphs_by_id_and_sequence(self, backend: CheckpointBackend) -> None:
        for graph_id, sequence in (("b", 1), ("a/z", 2), ("a", 1), ("a/z", 1), ("é" * 200, 1)):
            await backend.put(make_record(graph_id, sequence))

        listed = [(info.graph_id, info.sequence) for info in (await backend.list()).infos]

        assert listed == [("a", 1), ("a/z", 1), ("a/z", 2), ("b", 1), ("é" * 200, 1)], (
            "list() of all graphs must be in the order of graph ids, by code points, and then of sequences."
        )

    async def test_an_empty_store_lists_nothing(self, backend: CheckpointBackend) -> None:
        assert (await backend.list()).infos == [], "list() of an empty store must be empty."
        assert (await backend.list("unknown")).infos == [], "list() of a graph that is not there must be empty."
        assert await backend.latest("unknown") is None, "latest() of a graph that is not there must be None."
        assert await backend.get_latest("unknown") is None, "get_latest() of a graph that is not there must be None."
        assert await backend.find("unknown") is None, "find() of an id that is not there must be None."

    @pytest.mark.parametrize("checkpoint_id", [None, "by hand"])
    async def test_a_line_of_the_listing_says_what_the_record_says(
        self, backend: CheckpointBackend, checkpoint_id: str | None
    ) -> None:
        record = make_record(checkpoint_id=checkpoint_id)
        await backend.put(record)

        (info,) = (await backend.list("g")).infos

        expected = record.info()
        assert (info.checkpoint_id, info.graph_id, info.sequence) == (expected.checkpoint_id, "g", 1), (
            "A line of the listing must name the checkpoint as its record does."
        )
        assert (info.timestamp, info.manual) == (expected.timestamp, expected.manual), (
            "A line of the listing must have the record's timestamp, to the microsecond, and say whether it was made by hand."
        )
        assert info.timestamp.utcoffset() == timedelta(0), (
            "Timestamps of the listing must be in UTC, with their time zone."
        )
        assert expected.size <= info.size <= expected.size + _LONGEST_HEADER, (
            f"a record with a payload of {expected.size} bytes is listed with a size of {info.size}: it must be the payload's, "
            "or of all that is stored"
        )
        assert await backend.latest("g") == info, "latest() must give the same line as list()."
        assert await backend.get_latest("g") == await backend.get("g", info.sequence), (
            "get_latest() must give the same record as get() of the last sequence."
        )
        assert await backend.find(info.checkpoint_id) == info, "find() must give the same line as list()."

    async def test_the_latest_is_the_highest_sequence_whatever_the_clock_says(self, backend: CheckpointBackend) -> None:
        for sequence in (1, 3, 2):
            await backend.put(make_record("g", sequence, timestamp=NOON - timedelta(days=sequence)))

        latest = await backend.latest("g")

        assert latest is not None, "Three records are there, and latest() finds none."
        assert latest.sequence == 3, (
            "The latest is the record with the highest sequence, 3, though its timestamp is the oldest."
        )
        assert await backend.get_latest("g") == await backend.get("g", 3), (
            "get_latest() must give the record with the highest sequence, though its timestamp is the oldest."
        )

    async def test_what_is_damaged_is_named_by_every_listing(
        self, backend: CheckpointBackend, open_another: OpenAnother | None, spoil: Spoil | None
    ) -> None:
        """By its line, where that is known without reading it, or as damaged; and it hides no other record."""
        if open_another is None or spoil is None:
            return
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))
        await backend.put(make_record("h", 1))
        spoil("g", 2)

        async with open_another() as reader:
            listings = [await reader.list("g"), await reader.list(), await reader.query(CheckpointQuery(graph_id="g"))]
            other = await reader.list("h")
        for listing in listings:
            lines = {info.sequence for info in listing.infos if info.graph_id == "g"}
            damaged = {each.sequence for each in listing.damaged if each.graph_id in ("g", None)}
            assert lines | damaged == {1, 2, 3}, f"of sequences 1 to 3, with 2 damaged, a listing names {listing}"
            assert damaged <= {2}, f"records that are whole are listed as damaged: {listing.damaged}"
            assert all(each.place and each.reason for each in listing.damaged), "no place or reason is given"
        assert ([info.sequence for info in other.infos], other.damaged) == ([1], []), (
            "damage of graph 'g' is reported for 'h'"
        )

    async def test_the_latest_may_be_one_made_by_hand(self, backend: CheckpointBackend) -> None:
        """And when it is deleted, the one before it is the latest."""
        await backend.put(make_record("g", 1))
        await backend.put(make_record("g", 2, checkpoint_id="by hand"))

        for sequence in (2, 1):
            latest, newest = await backend.latest("g"), await backend.get_latest("g")
            assert latest is not None, f"sequence {sequence} is there, and latest() finds nothing"
            assert latest.sequence == sequence, (
                f"the latest is sequence {sequence}, and latest() gives {latest.sequence}"
            )
            assert newest == await backend.get("g", sequence), (
                f"get_latest() gives another record than that of sequence {sequence}"
            )
            await backend.delete("g", sequence)
        assert await backend.latest("g") is None, "all records are deleted, and latest() still finds one"
        assert await backend.get_latest("g") is None, "all records are deleted, and get_latest() still finds one"

    # query

    async def test_answers_questions_as_the_core_would(self, backend: CheckpointBackend) -> None:
        for sequence in range(1, 9):
            await backend.put(make_record("g", sequence, metadata={"half": sequence // 2, "odd": bool(sequence % 2)}))
            await backend.put(make_record("h", sequence, metadata={"half": str(sequence // 2)}))

        for question in (
            CheckpointQuery(),
            CheckpointQuery(newest_first=True, limit=10),
            CheckpointQuery(graph_id="g", newest_first=True, limit=3),
            CheckpointQuery(graph_id="g", after=NOON + timedelta(seconds=2), before=NOON + timedelta(seconds=7)),
            CheckpointQuery(metadata={"half": 2}),
            CheckpointQuery(metadata={"half": 2, "odd": True}, limit=1),
            CheckpointQuery(metadata={"half": "2"}),
            CheckpointQuery(metadata={"half": 2.0}),
            CheckpointQuery(graph_id="unknown"),
            CheckpointQuery(limit=0),
        ):
            assert (await backend.query(question)).infos == (await CheckpointBackend.query(backend, question)).infos, (
                question
            )

    async def test_lines_have_their_metadata_where_it_is_asked_for(self, backend: CheckpointBackend) -> None:
        """Rules that go by a metric are given the lines of a listing, and nothing else."""
        for sequence in range(1, 6):
            await backend.put(make_record("g", sequence, metadata={"loss": 1 / sequence, "odd": bool(sequence % 2)}))
        await backend.put(make_record("g", 6, checkpoint_id="by hand", metadata={"note": "日本語"}))

        for question, expected in (
            (CheckpointQuery(graph_id="g", with_metadata=True), [1, 2, 3, 4, 5, 6]),
            (CheckpointQuery(with_metadata=True, newest_first=True, limit=2), [6, 5]),
            (CheckpointQuery(graph_id="g", with_metadata=True, metadata={"odd": True}), [1, 3, 5]),
        ):
            lines = (await backend.query(question)).infos
            assert [line.sequence for line in lines] == expected, question
            stored = [await backend.get("g", line.sequence) for line in lines]
            assert [dict(line.metadata) for line in lines] == [
                record and record.header.metadata for record in stored
            ], "With with_metadata=True, query() must give each line the metadata of its record's header."
            assert [line.parent for line in lines] == [record and record.header.parent for record in stored], (
                "With with_metadata=True, query() must give each line the parent that its record's header names."
            )

    # find

    async def test_finds_an_automatic_id(self, backend: CheckpointBackend) -> None:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))

        found = await backend.find("ckpt_g_000002")

        assert found is not None, "find() does not find a checkpoint by its automatic id."
        assert (found.graph_id, found.sequence, found.manual) == ("g", 2, False), (
            "find() gives another checkpoint than the one with this automatic id."
        )
        assert await backend.find("ckpt_g_000003") is None, (
            "find() finds an automatic id whose sequence was never used."
        )
        assert await backend.find("ckpt_g_0000002") is None, (
            "An automatic id has one spelling: with one more zero it is another id, which is not there."
        )

    async def test_an_id_given_by_hand_wins_over_an_automatic_one(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 1))
        await backend.put(make_record("other", 5, checkpoint_id="ckpt_g_000001"))

        found = await backend.find("ckpt_g_000001")

        assert found is not None, "find() does not find an id that was given by hand and looks like an automatic one."
        assert (found.graph_id, found.sequence) == ("other", 5), (
            "Of an automatic id and the same one given by hand, the one given by hand must be found."
        )

    async def test_of_two_records_with_one_id_the_later_is_meant(self, backend: CheckpointBackend) -> None:
        """Saving an id again writes the new record before it deletes the old one."""
        for sequence in (2, 10, 3):
            await backend.put(make_record("g", sequence, checkpoint_id="twice"))

        found = await backend.find("twice")

        assert found is not None, "Three records have one id given by hand, and find() finds none."
        assert found.sequence == 10, (
            "Of three records with one id, the one with the highest sequence is meant, whichever was saved last."
        )

    async def test_when_the_later_of_two_is_deleted_the_earlier_is_found(self, backend: CheckpointBackend) -> None:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence, checkpoint_id="twice"))

        await backend.delete("g", 2)

        found = await backend.find("twice")
        assert found is not None, (
            "Of two records with one id the later was deleted, and find() does not find the earlier."
        )
        assert found.sequence == 1, "Of two records with one id the later was deleted: find() must give the earlier."

    async def test_a_refused_record_does_not_lend_its_id_to_the_winner(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 1))
        with pytest.raises(SequenceTakenError):
            await backend.put(make_record("g", 1, checkpoint_id="loser"))

        assert await backend.find("loser") is None, (
            "A save by hand was refused with SequenceTakenError: its id may not lead to the record in its way."
        )
        assert [info.checkpoint_id for info in (await backend.list()).infos] == ["ckpt_g_000001"], (
            "A save by hand was refused with SequenceTakenError, and the record in its way is listed under another id."
        )

    async def test_a_deleted_id_is_not_found(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 1, checkpoint_id="mine"))
        await backend.delete("g", 1)

        assert await backend.find("mine") is None, "A checkpoint made by hand was deleted, and its id is still found."
