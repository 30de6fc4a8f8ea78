"""Saving and reading back: each record as it was, under an address that is used once."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import NOON, make_record, random_record
from spark_testing.suites.backends.store import GivenStore, ReadRaw

PAYLOADS = [
    ("json", "", b'{"a": 1}'),
    ("json", "", b'{\n  "a": 1\n}'),
    ("json", "gzip", b"\x1f\x8b\x08 not really gzip \n}\n"),
    ("pickle", "", b"\x80\x05\x00\n}\n\xff"),
    ("pickle", "gzip", bytes(range(256))),
    ("json", "", b""),
    ("msgpack", "", b""),
    ("json", "", b"no json at all }\n"),
]
"""Format, compression and payload of records. A payload need not be what its format says."""


class Saving(GivenStore):
    """Saving and reading back: each record as it was, under an address that is used once."""

    # put and get

    async def test_gives_back_what_was_put(self, backend: CheckpointBackend) -> None:
        for sequence, (format, compression, payload) in enumerate(PAYLOADS, 1):
            record = make_record("g", sequence, format=format, compression=compression, payload=payload)
            await backend.put(record)

            assert await backend.get("g", sequence) == record, (format, compression, payload[:40])

    async def test_gives_back_megabytes(self, backend: CheckpointBackend) -> None:
        records = [
            make_record("g", 1, format="msgpack", payload=bytes(range(256)) * 12_000),
            make_record("g", 2, payload=b'"' + b"x" * 3_000_000 + b'"'),
        ]
        for record in records:
            await backend.put(record)

        # Compared before it is asserted: of megabytes, pytest would make a diff for minutes.
        came_back = [await backend.get("g", sequence) for sequence in (1, 2)] == records
        assert came_back, "Two records of 3 MB were saved: they must come back as they were, to the last byte."

    async def test_gives_back_any_record(self, backend: CheckpointBackend) -> None:
        """Random ids, metadata and bytes; a failure names the seed that makes the same records again."""
        seed = Random().randrange(2**32)
        random = Random(seed)
        records = [
            random_record(random, sequence=n, blobs=backend.keeps_blobs) for n in range(1, self.random_records + 1)
        ]

        await asyncio.gather(*map(backend.put, records))

        for record in records:
            stored = await backend.get(record.graph_id, record.sequence)
            blobs = await backend.get_blobs(record.graph_id, list(record.blobs))
            assert (stored, blobs) == (record, record.blobs), f"with Random({seed})"
        listed = [(info.graph_id, info.sequence) for info in (await backend.list()).infos]
        assert listed == sorted((record.graph_id, record.sequence) for record in records), f"with Random({seed})"

    async def test_takes_any_sequence_up_to_a_million_million(self, backend: CheckpointBackend) -> None:
        """Which is what file names and keys have room for; columns of 32 bits have not."""
        sequences = [1, 2**31 - 1, 2**31, 2**32 + 1, 10**12 - 2]
        for sequence in sequences:
            record = make_record("g", sequence, timestamp=NOON)
            await backend.put(record)
            assert await backend.get("g", sequence) == record, (
                f"the record that was put at sequence {sequence} came back as another"
            )

        listed = [info.sequence for info in (await backend.list("g")).infos]
        assert listed == sequences, f"sequences {sequences} were saved, and {listed} are listed"
        assert await backend.next_sequence("g") == 10**12 - 1, (
            "the next sequence is one above the highest that was used"
        )

    async def test_gives_back_the_metadata_that_can_be_searched(self, backend: CheckpointBackend) -> None:
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
        assert stored is not None, "A record was saved, and get() does not find it."
        assert stored == record, "A record's metadata must come back with the same names, values and types."
        assert stored.header.canonical() == record.header.canonical(), (
            "A record's metadata must come back in the same order and spelling: its checksum is over them."
        )

    async def test_stores_the_payload_as_it_is(self, backend: CheckpointBackend, read_raw: ReadRaw) -> None:
        """Formats and compression are the core's; a backend that changes bytes would break their checksums."""
        record = make_record(payload=b'{"needle": [1, 2]}')

        await backend.put(record)

        assert record.payload in (read_raw("g", 1) or b""), (
            "The payload must be stored as it is: formats and compression are the core's."
        )

    async def test_gives_nothing_for_an_address_that_was_never_used(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 1))

        assert await backend.get("g", 2) is None, "Only sequence 1 was saved, and get() gives something at sequence 2."
        assert await backend.get("other", 1) is None, (
            "Only graph 'g' has a record, and get() gives one of graph 'other'."
        )

    @pytest.mark.parametrize("format", ["json", "pickle"])
    async def test_refuses_a_sequence_that_is_in_use(
        self, backend: CheckpointBackend, read_raw: ReadRaw, format: str
    ) -> None:
        """The conflict between two writers of one graph must show whatever formats they use."""
        await backend.put(make_record())
        before = read_raw("g", 1)

        with pytest.raises(SequenceTakenError):
            await backend.put(make_record(format=format, payload=b"another"))

        assert read_raw("g", 1) == before, (
            "A save was refused with SequenceTakenError, and what was stored at that sequence has changed."
        )

    async def test_refuses_the_same_record_twice(self, backend: CheckpointBackend) -> None:
        """A writer that lost the answer asks, and finds its nonce; the backend makes no exception."""
        record = make_record()
        await backend.put(record)

        with pytest.raises(SequenceTakenError):
            await backend.put(record)

        assert await backend.get("g", 1) == record, (
            "Saving a record twice was refused, as it must be, and the record is not as it was."
        )

    async def test_refuses_a_sequence_that_was_deleted(self, backend: CheckpointBackend, read_raw: ReadRaw) -> None:
        await backend.put(make_record())
        await backend.delete("g", 1)

        with pytest.raises(SequenceTakenError):
            await backend.put(make_record())

        assert read_raw("g", 1) is None, (
            "A save at a deleted sequence was refused with SequenceTakenError, and something was stored all the same."
        )
        assert (await backend.list("g")).infos == [], (
            "A save at a deleted sequence was refused with SequenceTakenError, and its record is listed."
        )

    async def test_one_of_many_writers_wins(self, backend: CheckpointBackend) -> None:
        records = [make_record(payload=str(number).encode()) for number in range(12)]

        results = await asyncio.gather(*map(backend.put, records), return_exceptions=True)

        winners = [record for record, result in zip(records, results, strict=True) if result is None]
        assert len(winners) == 1, "Twelve writers saved one sequence at once: exactly one must succeed."
        assert all(isinstance(result, SequenceTakenError) for result in results if result is not None), (
            "Of twelve writers of one sequence, all that lose must get SequenceTakenError."
        )
        assert await backend.get("g", 1) == winners[0], (
            "Twelve writers saved one sequence at once, and what is stored is not what the winner put."
        )

    async def test_writers_of_different_graphs_do_not_disturb_each_other(self, backend: CheckpointBackend) -> None:
        records = [make_record(f"g{number % 4}", number // 4 + 1) for number in range(24)]

        await asyncio.gather(*map(backend.put, records))

        assert [await backend.get(record.header.graph_id, record.header.sequence) for record in records] == records, (
            "Writers of four graphs saved at once: each record must come back from its own place."
        )

    # next_sequence

    async def test_the_first_sequence_is_one(self, backend: CheckpointBackend) -> None:
        assert await backend.next_sequence("g") == 1, "The first sequence of a new graph must be 1."

    async def test_the_next_sequence_is_above_the_highest(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 3))
        await backend.put(make_record("other", 9))

        assert await backend.next_sequence("g") == 4, (
            "Sequence 3 was saved in graph 'g', and 9 in another: the next one of 'g' is 4."
        )

    @pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
    async def test_the_next_sequence_counts_deleted_ones(
        self, backend: CheckpointBackend, order: tuple[int, ...]
    ) -> None:
        for sequence in (1, 2, 3):
            await backend.put(make_record("g", sequence))
        for sequence in order:
            await backend.delete("g", sequence)

        assert await backend.next_sequence("g") == 4, (
            "Sequences 1, 2 and 3 were used and deleted: they stay used, so the next one is 4."
        )
