"""Several writers of one graph: one wins each sequence, even after a pause, after pruning, and when one is killed."""

from __future__ import annotations

import asyncio

import pytest

from spark.errors import SequenceTakenError
from spark.graphs.checkpoint.storage import CheckpointBackend, Record
from spark_testing.children import Child, Tell, Work
from spark_testing.records import make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother

PRUNED = {"nothing": (), "one": (4,), "most": (1, 2, 3, 4, 5), "all": (1, 2, 3, 4, 5, 6)}
"""Graph id to what the retention of another writer has deleted."""


class Writers(GivenStore):
    """Several writers of one graph: one wins each sequence, even after a pause, after pruning, and when one is killed."""

    async def test_of_two_backends_on_one_store_one_wins_each_sequence(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        async with Second(backend, open_another) as second:
            for sequence in range(1, 6):
                records = [make_record("g", sequence, payload=str(number).encode()) for number in range(2)]
                results = await asyncio.gather(backend.put(records[0]), second.put(records[1]), return_exceptions=True)

                winners = [record for record, result in zip(records, results, strict=True) if result is None]
                assert len(winners) == 1, (
                    "Two backends on one store saved one sequence at once: exactly one must succeed."
                )
                assert sum(isinstance(result, SequenceTakenError) for result in results) == 1, (
                    "Of two backends that saved one sequence at once, the one that lost must get SequenceTakenError."
                )
                assert await backend.get("g", sequence) == winners[0] == await second.get("g", sequence), (
                    "Both backends must read the winner's record."
                )

    async def test_what_one_backend_writes_and_deletes_the_other_sees(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Whatever it remembers of the store, it asks before it answers."""
        async with Second(backend, open_another) as second:
            assert (await second.list()).infos == [], (
                "Nothing was saved yet, and another backend on the store lists something."
            )
            await backend.put(make_record("g", 1, checkpoint_id="mine"))
            assert await second.find("mine") == (await backend.list("g")).infos[0], (
                "One backend saved a checkpoint by hand; another on the store must find it by its id."
            )
            assert await second.next_sequence("g") == 2, (
                "One backend saved sequence 1; for another on the store, the next one is 2."
            )
            await backend.delete("g", 1)

            assert (await second.list()).infos == [], (
                "One backend deleted the only record, and another on the store still lists it."
            )
            assert await second.latest("g") is None, (
                "One backend deleted the only record, and for another on the store it is still the latest."
            )
            assert await second.find("mine") is None, (
                "One backend deleted a checkpoint made by hand, and another on the store still finds its id."
            )
            with pytest.raises(SequenceTakenError):
                await second.put(make_record("g", 1))

    async def test_nobody_sees_half_of_a_record(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Whoever looks while a large one is written sees nothing, or all of it."""

        async def look(saving: asyncio.Task[None], record: Record) -> None:
            while not saving.done():
                assert await reader.get("g", record.sequence) in (None, record), (
                    "Somebody who looked while a record was saved saw a part of it: it must appear whole, or not at all."
                )
                await asyncio.sleep(0)

        async with Second(backend, open_another) as reader:
            for sequence in range(1, 4):
                record = make_record("g", sequence, payload=bytes(1_000_000) * self.megabytes)
                async with asyncio.TaskGroup() as group:
                    group.create_task(look(group.create_task(backend.put(record)), record))

                assert await reader.get("g", sequence) == record, (
                    "A large record was saved, and another backend on the store reads something else."
                )

    async def test_a_writer_resumed_after_a_pause_finds_its_sequence_taken(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """Also when another writer went on meanwhile, and its retention has deleted that sequence again."""
        async with Second(backend, open_another) as second:
            for graph_id, pruned in PRUNED.items():
                for sequence in (1, 2, 3):
                    await backend.put(make_record(graph_id, sequence))
                for sequence in (4, 5, 6):
                    await second.put(make_record(graph_id, sequence))
                await second.delete_many(graph_id, pruned)

        for graph_id, pruned in PRUNED.items():
            with pytest.raises(SequenceTakenError):
                await backend.put(make_record(graph_id, 4))
            assert await backend.next_sequence(graph_id) == 7, (
                "Six sequences were used, some deleted since: the next one is 7."
            )
            left = [info.sequence for info in (await backend.list(graph_id)).infos]
            assert left == sorted({1, 2, 3, 4, 5, 6} - {*pruned}), (
                "A writer that came back after a pause was refused, and the records that are left are not the other writer's."
            )

    async def test_of_several_processes_one_wins_each_sequence(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        if "concurrent_processes" not in self.capabilities:
            return
        assert open_another is not None, "Declaring 'concurrent_processes' takes a fixture 'open_another'."

        children = [Child.start(_racing(open_another, writer)) for writer in range(3)]
        written = [child.wait() for child in children]

        won = sorted(line for lines in written for line in lines)
        assert [line.split()[0] for line in won] == [str(sequence) for sequence in range(1, 10)], (
            "Three processes saved nine sequences at once: exactly one must have won each."
        )
        for line in won:
            record = await backend.get("g", int(line.split()[0]))
            assert record is not None, "put() returned in a process, and its record is not there."
            assert record.payload == line.encode(), "put() returned in a process, and another's record is in its place."

    async def test_what_was_acknowledged_before_a_kill_is_there(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """The writer is killed while it saves; nothing of what it was about to save is half there."""
        if "processes" not in self.capabilities:
            return
        assert open_another is not None, "Declaring 'processes' takes a fixture 'open_another'."
        for number in range(self.kills):
            child = Child.start(_writing(open_another))
            lines = [child.next_line() for _ in range(3 + number)]
            lines += child.kill()

            acknowledged = [int(line) for line in lines]
            listed = [info.sequence for info in (await backend.list("g")).infos]
            assert set(acknowledged) <= set(listed), (
                "A process was killed after put() had returned, and what it saved is not there."
            )
            for sequence in listed:
                record = await backend.get("g", sequence)
                assert record is not None, "A process was killed, and a record that is listed can't be read."
                assert record.payload == _payload(sequence), (
                    "A process was killed while it saved, and left a record that is not whole."
                )
                assert await backend.get_blobs("g", [_blob(sequence)]) == _blobs(backend, sequence), (
                    "A process was killed while it saved, and left a record without its large value."
                )
            latest = await backend.latest("g")
            assert latest is not None, "A process was killed after it had saved, and latest() finds nothing."
            assert await backend.next_sequence("g") == latest.sequence + 1, (
                "After a kill, the next sequence must be one above the latest: no acknowledged one is missing or in doubt."
            )


class Second:
    """Another backend on the same store; where there can't be one, the same."""

    def __init__(self, backend: CheckpointBackend, open_another: OpenAnother | None) -> None:
        self._backend = backend if open_another is None else open_another()
        self._is_ours = open_another is not None

    async def __aenter__(self) -> CheckpointBackend:
        return self._backend

    async def __aexit__(self, *exc_info: object) -> None:
        if self._is_ours:
            await self._backend.close()


def _racing(open_another: OpenAnother, writer: int) -> Work:
    async def work(tell: Tell) -> None:
        async with open_another() as backend:
            for sequence in range(1, 10):
                line = f"{sequence} by {writer}"
                try:
                    await backend.put(make_record("g", sequence, payload=line.encode()))
                except SequenceTakenError:
                    continue
                tell(line)

    return work


def _writing(open_another: OpenAnother) -> Work:
    async def work(tell: Tell) -> None:
        async with open_another() as backend:
            sequence = await backend.next_sequence("g")
            while True:
                record = make_record("g", sequence, payload=_payload(sequence), blobs=_blobs(backend, sequence))
                await backend.put(record)
                tell(str(sequence))
                sequence += 1

    return work


def _payload(sequence: int) -> bytes:
    return f"payload of {sequence} ".encode() * 2_000


def _blob(sequence: int) -> str:
    return f"{sequence:012d}-ab-1"


def _blobs(backend: CheckpointBackend, sequence: int) -> dict[str, bytes]:
    return {_blob(sequence): _payload(sequence) * 2} if backend.keeps_blobs else {}
