"""Two calls at once, the second begun at any moment of the first; and saves that end part-way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend, CheckpointQuery, Record
from spark_testing.records import BLOB, make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother
from spark_testing.suites.backends.writers import Second

Answer = TypeVar("Answer")

TURNS: Final = (0, 1, 2, 3, 8, 21)
"""After how many turns of the event loop the second call begins."""
_MOST_LOOKS: Final = 1_000


class Interleaving(GivenStore):
    """Two calls at once, the second begun at any moment of the first; and saves that end part-way."""

    async def test_of_two_that_delete_one_record_one_is_told_whenever_the_second_begins(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Whichever of the methods that delete they use, on one backend or on two."""
        sequence = 1
        await backend.put(make_record("g", sequence))
        async with Second(backend, open_another) as second:
            for turns in TURNS:
                for first, other in (
                    (_delete(backend), _delete(second)),
                    (_delete(backend), _delete(backend)),
                    (_delete_many(backend), _delete(second)),
                    (_put_and_delete(backend), _delete_many(second)),
                ):
                    to_delete, sequence = sequence, sequence + 2
                    await backend.put(make_record("g", to_delete + 1))
                    answers = await asyncio.gather(first(to_delete), _later(turns, other(to_delete)))
                    assert sum(answers) == 1, (
                        f"{first.__name__} and, {turns} turns of the event loop later, {other.__name__} deleted one record: "
                        f"they report {answers} deletions, and exactly one must be reported"
                    )
                    if await backend.get("g", sequence) is None:
                        await backend.put(make_record("g", sequence))

    async def test_of_two_that_save_one_sequence_one_wins_whenever_the_second_begins(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Also of a save that deletes others, and where another writer's record was deleted meanwhile."""
        async with Second(backend, open_another) as second:
            for sequence, turns in enumerate(TURNS, 1):
                records = [make_record("g", sequence, payload=str(number).encode()) for number in range(2)]
                results = await asyncio.gather(
                    backend.put(records[0]),
                    _later(turns, second.put_and_delete(records[1], [sequence - 1])),
                    return_exceptions=True,
                )
                winners = [
                    record
                    for record, result in zip(records, results, strict=True)
                    if not isinstance(result, BaseException)
                ]
                assert len(winners) == 1, (
                    f"put and, {turns} turns of the event loop later, put_and_delete saved sequence {sequence}: exactly one must "
                    f"succeed, but they came to {results}"
                )
                assert any(isinstance(result, SequenceTakenError) for result in results), (
                    f"who comes second to a sequence must get SequenceTakenError, but the two came to {results}"
                )
                assert await backend.get("g", sequence) == winners[0], (
                    f"sequence {sequence} holds another record than that of the writer whose save succeeded"
                )

    async def test_large_values_are_there_before_their_record_can_be_seen(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Whoever looks while a record is saved sees all its large values, or no record."""
        if not backend.keeps_blobs:
            return

        async def look(saving: asyncio.Task[None], record: Record) -> None:
            while not saving.done():
                await _check_whole(reader, record)
                await asyncio.sleep(0)

        async with Second(backend, open_another) as reader:
            for sequence in range(1, 4):
                content = bytes(200_000) * self.megabytes
                blobs = {f"{sequence:012d}-ab-{number}": content for number in range(3)}
                record = make_record("g", sequence, blobs=blobs)
                async with asyncio.TaskGroup() as group:
                    group.create_task(look(group.create_task(backend.put(record)), record))
                await _check_whole(reader, record)

    async def test_a_save_that_ends_between_its_large_values_leaves_no_record_without_them(
        self, backend: CheckpointBackend
    ) -> None:
        """They are taken away while they are stored: the first, then the second, and so on, until the save does not notice."""
        if not backend.keeps_blobs:
            return
        for number in range(1, _MOST_LOOKS):
            blobs = VanishingBlobs({f"{number:012d}-ab-{each}": b"x" * 10_000 for each in range(3)}, at=number)
            record = make_record("g", number, blobs=blobs)
            (result,) = await asyncio.gather(backend.put(record), return_exceptions=True)

            whole = make_record("g", number, blobs=blobs.all)
            stored = await backend.get("g", number)
            found = await backend.get_blobs("g", list(blobs.all))
            assert stored is None or found == blobs.all, (
                f"a save ended when it asked for a large value for the {number}. time, and left a record that needs "
                f"{sorted(blobs.all)}, of which only {sorted(found)} are there: large values must be durable before their record "
                "can be seen"
            )
            assert stored is not None or result is not None, (
                f"a save of sequence {number} that stored nothing reported success"
            )
            if stored is None:
                await backend.put(whole)
            if not blobs.have_vanished:
                return
        raise AssertionError(f"put asks for its large values more than {_MOST_LOOKS} times")

    async def test_nothing_that_was_asked_before_is_answered_from_memory(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Each question is asked before and after each change that another backend makes."""
        blobs = {BLOB: b"x"} if backend.keeps_blobs else {}
        first, second, third = make_record("g", 1), make_record("g", 2, checkpoint_id="mine"), make_record("g", 3)
        changes: Sequence[tuple[str, Callable[[CheckpointBackend], Awaitable[Any]]]] = (
            ("nothing was saved", lambda store: asyncio.sleep(0)),
            ("sequence 1 was saved", lambda store: store.put(Record(first.header, first.payload, blobs=blobs))),
            ("sequence 2 was saved by hand", lambda store: store.put(second)),
            ("sequence 2 was deleted", lambda store: store.delete("g", 2)),
            ("sequence 3 was saved", lambda store: store.put(third)),
            ("sequences 1 and 3 were deleted", lambda store: store.delete_many("g", [1, 3])),
        )
        model = InMemoryCheckpointBackend()
        async with Second(backend, open_another) as reader:
            for done, change in changes:
                await change(backend)
                await change(model)
                there = await _ask(model) | {"blob_names": [*blobs] if await model.next_sequence("g") > 1 else []}
                answers = await _ask(reader)
                assert answers == there, (
                    f"after {done} by one backend, another on the same store answers wrongly: "
                    + "; ".join(
                        f"{question} is {answers[question]} instead of {there[question]}"
                        for question in answers
                        if answers[question] != there[question]
                    )
                )


class VanishingBlobs(Mapping[str, bytes]):
    """Large values that vanish when the nth content is asked for."""

    def __init__(self, blobs: Mapping[str, bytes], *, at: int) -> None:
        self.all = dict(blobs)
        self._left = at

    @property
    def have_vanished(self) -> bool:
        return self._left <= 0

    def __getitem__(self, name: str) -> bytes:
        content = self.all[name]
        self._left -= 1
        if self.have_vanished:
            raise OSError(f"the large value {name} has vanished: the testing kit took it away")
        return content

    def __iter__(self) -> Iterator[str]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)


async def _later(turns: int, call: Awaitable[Answer]) -> Answer:
    for _ in range(turns):
        await asyncio.sleep(0)
    return await call


Deletes = Callable[[int], Awaitable[int]]
"""From a sequence to the number of records that it says it deleted."""


def _delete(backend: CheckpointBackend) -> Deletes:
    async def delete(sequence: int) -> int:
        return int(await backend.delete("g", sequence))

    return delete


def _delete_many(backend: CheckpointBackend) -> Deletes:
    async def delete_many(sequence: int) -> int:
        return len(await backend.delete_many("g", [sequence]))

    return delete_many


def _put_and_delete(backend: CheckpointBackend) -> Deletes:
    async def put_and_delete(sequence: int) -> int:
        return len(await backend.put_and_delete(make_record("g", sequence + 2), [sequence]))

    return put_and_delete


async def _check_whole(reader: CheckpointBackend, record: Record) -> None:
    if await reader.get("g", record.sequence) is None:
        return
    found = await reader.get_blobs("g", list(record.blobs))
    assert found == record.blobs, (
        f"while sequence {record.sequence} was saved, its record could be read and {len(record.blobs) - len(found)} of its "
        f"{len(record.blobs)} large values could not: they must be durable before the record can be seen"
    )


async def _ask(backend: CheckpointBackend) -> dict[str, Any]:
    """Every question that there is about a graph, and the answer."""
    latest, newest = await backend.latest("g"), await backend.get_latest("g")
    answers: dict[str, Any] = {
        "latest": latest and latest.sequence,
        "get_latest": newest and newest.sequence,
        "next_sequence": await backend.next_sequence("g"),
        "list('g')": [info.sequence for info in (await backend.list("g")).infos],
        "list()": [info.sequence for info in (await backend.list()).infos],
        "query": [info.sequence for info in (await backend.query(CheckpointQuery(newest_first=True, limit=2))).infos],
        "blob_names": sorted(await backend.blob_names("g")),
    }
    many, latest_headers = await backend.get_many("g", range(10)), await backend.latest_headers(["g"])
    answers |= {
        "graph_ids": await backend.graph_ids(),
        "get_many": {sequence: record.header.nonce for sequence, record in many.records.items()},
        "latest_headers": {graph_id: header.nonce for graph_id, header in latest_headers.headers.items()},
    }
    for checkpoint_id in ("mine", "ckpt_g_000001", "ckpt_g_000003"):
        found = await backend.find(checkpoint_id)
        answers[f"find({checkpoint_id!r})"] = found and found.sequence
    for sequence in (1, 2, 3):
        record = await backend.get("g", sequence)
        answers[f"get('g', {sequence})"] = record and record.header.nonce
    return answers
