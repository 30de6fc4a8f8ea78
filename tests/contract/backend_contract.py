"""What every storage backend must do, whatever it stores in.

Subclass ``BackendContract`` as ``Test…`` in a test file, with two fixtures: ``backend``, a new empty one, closed
afterwards, and ``read_raw``, a function that bypasses the backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.backend import CheckpointBackend
from spark.graphs.checkpoint.query import CheckpointQuery
from tests.contract.records import NOON, make_record

ReadRaw = Callable[[str, int], bytes | None]

BLOB, OTHER, GONE = ("000000000001-ab-1", "000000000002-ab-2", "000000000003-ab-3")
"""Names of large values, as the core makes them."""
HOSTILE_IDS = [
    "../x",
    "..",
    ".",
    ".hidden",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "C:\\x",
    "CON",
    "~",
    "%",
    "%2E%2E%2F",
    "a%2Fb",
    "a~b",
    "a@000000000001",
    "a b",
    " a ",
    "-rf",
    "x'; DROP TABLE checkpoints; --",
    '"quoted"',
    "{braces}",
    "*",
    "ids",
    "floor",
    "000000000001.ckpt",
    "ckpt_g_000001",
    "größe",
    "日本語",
    "🙈🙉🙊",
    "e\u0301",
    "\u00e9",
    "A",
    "a",
    "x" * 200,
    "x" * 199 + "y",
    "é" * 200,
    "🙈" * 200,
]


class BackendContract:
    """The promises of ``CheckpointBackend``, each as tests."""

    @pytest.fixture
    async def backend(self) -> CheckpointBackend:
        """A new, empty backend; close it after the yield."""
        raise NotImplementedError

    @pytest.fixture
    def read_raw(self, backend: CheckpointBackend) -> ReadRaw:
        """A function from (graph id, sequence) to all that is stored there, as bytes, or None."""
        raise NotImplementedError

    # put and get

    @pytest.mark.parametrize(
        ("format", "compression", "payload"),
        [
            ("json", "", b'{"a": 1}'),
            ("json", "", b'{\n  "a": 1\n}'),
            ("json", "gzip", b"\x1f\x8b\x08 not really gzip \n}\n"),
            ("pickle", "", b"\x80\x05\x00\n}\n\xff"),
            ("pickle", "gzip", bytes(range(256))),
            ("json", "", b""),
            ("msgpack", "", b""),
            ("json", "", b"no json at all }\n"),
            ("msgpack", "", bytes(range(256)) * 12_000),
            ("json", "", b'"' + b"x" * 3_000_000 + b'"'),
        ],
    )
    async def test_gives_back_what_was_put(self, backend, format, compression, payload) -> None:
        record = make_record(format=format, compression=compression, payload=payload)

        await backend.put(record)

        assert await backend.get("g", 1) == record

    async def test_gives_back_the_metadata_that_can_be_searched(self, backend) -> None:
        """It is under the checksum: in any other order or spelling, the record would count as damaged."""
        metadata = {
            "z": 1,
            "a": 1.0,
            '"\\\n\0é🙈\ud800': 'x"\n\\',
            "": "",
            "t": True,
            "n": None,
            "f": -1e300,
            "i": -(2**62),
        }
        record = make_record(metadata=metadata)

        await backend.put(record)

        stored = await backend.get("g", 1)
        assert stored == record
        assert stored.header.canonical() == record.header.canonical()

    async def test_stores_the_payload_as_it_is(self, backend, read_raw) -> None:
        """Formats and compression are the core's; a backend that changes bytes would break their checksums."""
        record = make_record(payload=b'{"needle": [1, 2]}')

        await backend.put(record)

        assert record.payload in read_raw("g", 1)

    async def test_gives_nothing_for_an_address_that_was_never_used(self, backend) -> None:
        await backend.put(make_record("g", 1))

        assert await backend.get("g", 2) is None
        assert await backend.get("other", 1) is None

    @pytest.mark.parametrize("format", ["json", "pickle"])
    async def test_refuses_a_sequence_that_is_in_use(self, backend, read_raw, format) -> None:
        """The conflict between two writers of one graph must show whatever formats they use."""
        await backend.put(make_record())
        before = read_raw("g", 1)

        with pytest.raises(SequenceTakenError):
            await backend.put(make_record(format=format, payload=b"another"))

        assert read_raw("g", 1) == before

    async def test_refuses_the_same_record_twice(self, backend) -> None:
        """A writer that lost the answer asks, and finds its nonce; the backend makes no exception."""
        record = make_record()
        await backend.put(record)

        with pytest.raises(SequenceTakenError):
            await backend.put(record)

        assert await backend.get("g", 1) == record

    async def test_refuses_a_sequence_that_was_deleted(self, backend, read_raw) -> None:
        await backend.put(make_record())
        await backend.delete("g", 1)

        with pytest.raises(SequenceTakenError):
            await backend.put(make_record())

        assert read_raw("g", 1) is None
        assert await backend.list("g") == []

    async def test_one_of_many_writers_wins(self, backend) -> None:
        records = [make_record(payload=str(number).encode()) for number in range(12)]

        results = await asyncio.gather(*map(backend.put, records), return_exceptions=True)

        winners = [record for record, result in zip(records, results, strict=True) if result is None]
        assert len(winners) == 1
        assert all(isinstance(result, SequenceTakenError) for result in results if result is not None)
        assert await backend.get("g", 1) == winners[0]

    async def test_writers_of_different_graphs_do_not_disturb_each_other(self, backend) -> None:
        records = [make_record(f"g{number % 4}", number // 4 + 1) for number in range(24)]

        await asyncio.gather(*map(backend.put, records))

        assert [await backend.get(record.header.graph_id, record.header.sequence) for record in records] == records

    # next_sequence

    async def test_the_first_sequence_is_one(self, backend) -> None:
        assert await backend.next_sequence("g") == 1

    async def test_the_next_sequence_is_above_the_highest(self, backend) -> None:
        await backend.put(make_record("g", 3))
        await backend.put(make_record("other", 9))

        assert await backend.next_sequence("g") == 4

    @pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
    async def test_the_next_sequence_counts_deleted_ones(self, backend, order) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))
        for sequence in order:
            await backend.delete("g", sequence)

        assert await backend.next_sequence("g") == 4

    # list and latest

    async def test_lists_a_graph_by_sequence(self, backend) -> None:
        for sequence in (10, 2, 9, 1):
            await backend.put(make_record("g", sequence, timestamp=NOON - timedelta(days=sequence)))

        assert [info.sequence for info in await backend.list("g")] == [1, 2, 9, 10]

    async def test_lists_all_graphs_by_id_and_sequence(self, backend) -> None:
        for graph_id, sequence in (("b", 1), ("a/z", 2), ("a", 1), ("a/z", 1), ("é" * 200, 1)):
            await backend.put(make_record(graph_id, sequence))

        listed = [(info.graph_id, info.sequence) for info in await backend.list()]

        assert listed == [("a", 1), ("a/z", 1), ("a/z", 2), ("b", 1), ("é" * 200, 1)]

    async def test_an_empty_store_lists_nothing(self, backend) -> None:
        assert await backend.list() == []
        assert await backend.list("unknown") == []
        assert await backend.latest("unknown") is None
        assert await backend.get_latest("unknown") is None
        assert await backend.find("unknown") is None

    @pytest.mark.parametrize("checkpoint_id", [None, "by hand"])
    async def test_a_line_of_the_listing_says_what_the_record_says(self, backend, checkpoint_id) -> None:
        record = make_record(checkpoint_id=checkpoint_id)
        await backend.put(record)

        (info,) = await backend.list("g")

        expected = record.info()
        assert (info.checkpoint_id, info.graph_id, info.sequence) == (expected.checkpoint_id, "g", 1)
        assert (info.timestamp, info.manual) == (expected.timestamp, expected.manual)
        assert info.timestamp.utcoffset() == timedelta(0)
        assert info.size >= expected.size
        assert await backend.latest("g") == info
        assert await backend.get_latest("g") == await backend.get("g", info.sequence)
        assert await backend.find(info.checkpoint_id) == info

    async def test_the_latest_is_the_highest_sequence_whatever_the_clock_says(self, backend) -> None:
        for sequence in (1, 3, 2):
            await backend.put(make_record("g", sequence, timestamp=NOON - timedelta(days=sequence)))

        latest = await backend.latest("g")

        assert latest is not None
        assert latest.sequence == 3
        assert await backend.get_latest("g") == await backend.get("g", 3)

    # query

    async def test_answers_questions_as_the_core_would(self, backend) -> None:
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
            assert await backend.query(question) == await CheckpointBackend.query(backend, question), question

    # delete

    async def test_deletes_one_record(self, backend, read_raw) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        assert await backend.delete("g", 2) is True
        assert await backend.get("g", 2) is None
        assert read_raw("g", 2) is None
        assert [info.sequence for info in await backend.list("g")] == [1, 3]

    async def test_deleting_what_is_not_there_says_so(self, backend) -> None:
        await backend.put(make_record())
        await backend.delete("g", 1)

        assert await backend.delete("g", 1) is False
        assert await backend.delete("g", 7) is False
        assert await backend.delete("unknown", 1) is False

    async def test_one_of_many_deleters_is_told_that_it_did_it(self, backend) -> None:
        """Handlers hear of a deletion once."""
        await backend.put(make_record())

        told = await asyncio.gather(*(backend.delete("g", 1) for _ in range(8)))

        assert sorted(told) == [False] * 7 + [True]

    async def test_deletes_many_records_and_says_which(self, backend, read_raw) -> None:
        for sequence in (1, 2, 3, 4):
            await backend.put(make_record("g", sequence, checkpoint_id="mine" if sequence == 1 else None))
        await backend.put(make_record("other", 2))
        await backend.delete("g", 2)

        assert sorted(await backend.delete_many("g", [1, 2, 3, 7])) == [1, 3]
        assert await backend.find("mine") is None
        assert [read_raw("g", sequence) for sequence in (1, 2, 3)] == [None] * 3
        assert [(info.graph_id, info.sequence) for info in await backend.list()] == [("g", 4), ("other", 2)]
        assert await backend.delete_many("unknown", [1, 2]) == []
        assert await backend.delete_many("g", []) == []

    async def test_sequences_of_many_deleted_records_stay_used(self, backend) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        await backend.delete_many("g", [3, 1, 2])

        assert await backend.next_sequence("g") == 4
        for sequence in (1, 2, 3):
            with pytest.raises(SequenceTakenError):
                await backend.put(make_record("g", sequence))

    async def test_of_deleters_of_many_one_is_told_of_each(self, backend) -> None:
        for sequence in range(1, 7):
            await backend.put(make_record("g", sequence))

        told = await asyncio.gather(
            backend.delete_many("g", [1, 2, 3, 4]),
            backend.delete_many("g", [3, 4, 5, 6]),
            backend.delete("g", 4),
        )

        assert sorted([*told[0], *told[1], *([4] if told[2] else [])]) == [1, 2, 3, 4, 5, 6]

    # put_and_delete

    async def test_a_save_may_take_along_what_it_makes_room_for(self, backend) -> None:
        """What it does not remove the caller does; what it says it removed is gone."""
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))

        gone = await backend.put_and_delete(make_record("g", 4), [1, 2, 9])

        assert set(gone) <= {1, 2}
        left = [sequence for sequence in (1, 2) if sequence not in gone]
        assert [info.sequence for info in await backend.list("g")] == [*left, 3, 4]

    async def test_a_save_that_is_refused_takes_nothing_along(self, backend) -> None:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))

        with pytest.raises(SequenceTakenError):
            await backend.put_and_delete(make_record("g", 2), [1])

        assert [info.sequence for info in await backend.list("g")] == [1, 2]

    # large values

    async def test_large_values_come_with_their_record_and_stay_until_they_are_removed(self, backend) -> None:
        """Other records refer to them, so they outlive the one that they came with."""
        if not backend.keeps_blobs:
            assert await backend.get_blobs("g", [BLOB]) == {}
            assert await backend.blob_names("g") == []
            return
        content, other = bytes(range(256)) * 40, b'"large"'
        await backend.put(make_record("g", 1, blobs={BLOB: content, OTHER: other}))
        await backend.put(make_record("g", 2))
        await backend.delete("g", 1)

        assert sorted(await backend.blob_names("g")) == [BLOB, OTHER]
        assert await backend.get_blobs("g", [OTHER, BLOB, GONE]) == {BLOB: content, OTHER: other}
        await backend.delete_blobs("g", [BLOB, GONE])
        assert await backend.blob_names("g") == [OTHER]
        assert await backend.get_blobs("g", [BLOB, OTHER]) == {OTHER: other}

    async def test_large_values_of_one_graph_are_not_those_of_another(self, backend) -> None:
        if not backend.keeps_blobs:
            return
        for graph_id in ("g", "h"):
            await backend.put(make_record(graph_id, 1, blobs={BLOB: graph_id.encode()}))
        await backend.delete_blobs("h", [BLOB])

        assert await backend.get_blobs("g", [BLOB]) == {BLOB: b"g"}
        assert await backend.get_blobs("h", [BLOB]) == {}
        assert await backend.blob_names("unknown") == []
        await backend.delete_blobs("unknown", [BLOB])

    async def test_a_save_may_take_large_values_along(self, backend) -> None:
        if not backend.keeps_blobs:
            return
        for sequence, name in ((1, BLOB), (2, OTHER)):
            await backend.put(make_record("g", sequence, blobs={name: b"x"}))

        gone = await backend.put_and_delete(make_record("g", 3), [1], [BLOB])
        if not gone:
            await backend.delete_many("g", [1])
            await backend.delete_blobs("g", [BLOB])

        assert await backend.blob_names("g") == [OTHER]

    @pytest.mark.parametrize(
        "hostile", ["", "../x", "a/b", "..", "x" * 5_000, "\0", "'; DROP TABLE x; --", "é", "\ud800"]
    )
    async def test_any_name_of_a_large_value_is_only_a_name(self, backend, hostile) -> None:
        """Names are read from records, so they are as hostile as whoever may write to the store."""
        await backend.put(make_record("g", 1, blobs={BLOB: b"x"} if backend.keeps_blobs else {}))

        assert await backend.get_blobs("g", [hostile]) == {}
        await backend.delete_blobs("g", [hostile])
        assert await backend.blob_names("g") == ([BLOB] if backend.keeps_blobs else [])

    # find

    async def test_finds_an_automatic_id(self, backend) -> None:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence))

        found = await backend.find("ckpt_g_000002")

        assert found is not None
        assert (found.graph_id, found.sequence, found.manual) == ("g", 2, False)
        assert await backend.find("ckpt_g_000003") is None
        assert await backend.find("ckpt_g_0000002") is None

    async def test_an_id_given_by_hand_wins_over_an_automatic_one(self, backend) -> None:
        await backend.put(make_record("g", 1))
        await backend.put(make_record("other", 5, checkpoint_id="ckpt_g_000001"))

        found = await backend.find("ckpt_g_000001")

        assert found is not None
        assert (found.graph_id, found.sequence) == ("other", 5)

    async def test_of_two_records_with_one_id_the_later_is_meant(self, backend) -> None:
        """Saving an id again writes the new record before it deletes the old one."""
        for sequence in (2, 10, 3):
            await backend.put(make_record("g", sequence, checkpoint_id="twice"))

        found = await backend.find("twice")

        assert found is not None
        assert found.sequence == 10

    async def test_when_the_later_of_two_is_deleted_the_earlier_is_found(self, backend) -> None:
        for sequence in (1, 2):
            await backend.put(make_record("g", sequence, checkpoint_id="twice"))

        await backend.delete("g", 2)

        found = await backend.find("twice")
        assert found is not None
        assert found.sequence == 1

    async def test_a_refused_record_does_not_lend_its_id_to_the_winner(self, backend) -> None:
        await backend.put(make_record("g", 1))
        with pytest.raises(SequenceTakenError):
            await backend.put(make_record("g", 1, checkpoint_id="loser"))

        assert await backend.find("loser") is None
        assert [info.checkpoint_id for info in await backend.list()] == ["ckpt_g_000001"]

    async def test_a_deleted_id_is_not_found(self, backend) -> None:
        await backend.put(make_record("g", 1, checkpoint_id="mine"))
        await backend.delete("g", 1)

        assert await backend.find("mine") is None

    # ids

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_graph_id_is_only_a_name(self, backend, hostile) -> None:
        record = make_record(hostile, 1)
        await backend.put(record)

        assert await backend.get(hostile, 1) == record
        assert [info.graph_id for info in await backend.list()] == [hostile]
        assert await backend.next_sequence(hostile) == 2
        assert await backend.delete(hostile, 1) is True

    @pytest.mark.parametrize("hostile", HOSTILE_IDS)
    async def test_any_checkpoint_id_is_only_a_name(self, backend, hostile) -> None:
        record = make_record("g", 1, checkpoint_id=hostile)
        await backend.put(record)

        found = await backend.find(hostile)

        assert found is not None
        assert (found.checkpoint_id, found.sequence, found.manual) == (hostile, 1, True)
        assert [info.checkpoint_id for info in await backend.list("g")] == [hostile]
        assert await backend.delete("g", 1) is True
        assert await backend.find(hostile) is None

    async def test_no_two_ids_share_a_place(self, backend) -> None:
        for graph_id in HOSTILE_IDS:
            await backend.put(make_record(graph_id, 1, checkpoint_id=f"of {graph_id}"))

        assert [info.graph_id for info in await backend.list()] == sorted(HOSTILE_IDS)

    # cancellation, event loops, closing

    async def test_a_cancelled_put_has_happened_or_never_will(self, backend) -> None:
        """Cancelled after 0, 1, 2… turns of the event loop; what is there at that instant is what stays."""
        for turns in range(30):
            record = make_record("g", turns + 1)
            saving = asyncio.create_task(backend.put(record))
            for _ in range(turns):
                await asyncio.sleep(0)
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
            stored = await backend.get("g", turns + 1)

            assert stored in (None, record)
            assert stored == record or saving.cancelled()
            assert await backend.get("g", turns + 1) == stored

    async def test_serves_one_event_loop_after_another(self, backend) -> None:
        record = make_record()

        await asyncio.to_thread(asyncio.run, backend.put(record))
        listed = await asyncio.to_thread(asyncio.run, backend.list())

        assert [info.sequence for info in listed] == [1]
        assert await backend.get("g", 1) == record

    async def test_closing_twice_is_fine(self, backend) -> None:
        await backend.put(make_record())
        await backend.close()
        await backend.close()

    async def test_is_an_async_context_manager(self, backend) -> None:
        async with backend as entered:
            await entered.put(make_record())

        assert entered is backend
