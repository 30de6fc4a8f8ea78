"""Backends with one bug each, and the test of the suite that finds it. Run by ``test_planted_backends.py``, never collected."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from spark.graphs.checkpoint import InMemoryCheckpointBackend, Listing, Record
from spark_testing import CheckpointBackendConformance


class Overwrites(InMemoryCheckpointBackend):
    """Takes a sequence that is in use for its own."""

    found_by = "test_refuses_a_sequence_that_is_in_use"

    async def put(self, record):
        self._graphs.get(record.graph_id, {}).pop(record.sequence, None)
        await super().put(record)


class ChangesPayloads(InMemoryCheckpointBackend):
    """Gives back other bytes than it was given, for a few payloads."""

    found_by = "test_gives_back_what_was_put"

    async def get(self, graph_id, sequence):
        record = await super().get(graph_id, sequence)
        return record and Record(record.header, record.payload.rstrip())


class ChangesHeaders(InMemoryCheckpointBackend):
    """Keeps moments to the second, as some databases do."""

    found_by = "test_gives_back_what_was_put"

    async def put(self, record):
        moment = record.header.timestamp.replace(microsecond=0)
        await super().put(Record(replace(record.header, timestamp=moment), record.payload))


class ListsUnordered(InMemoryCheckpointBackend):
    """Lists in the order of arrival."""

    found_by = "test_lists_a_graph_by_sequence"

    async def list(self, graph_id=None):
        return Listing(sorted((await super().list(graph_id)).infos, key=lambda info: info.timestamp))


class TrustsTheClock(InMemoryCheckpointBackend):
    """Takes the newest checkpoint for the latest."""

    found_by = "test_the_latest_is_the_highest_sequence"

    async def latest(self, graph_id):
        return max((await self.list(graph_id)).infos, key=lambda info: info.timestamp, default=None)


class Forgets(InMemoryCheckpointBackend):
    """Uses the sequence of a deleted record again."""

    found_by = "test_a_writer_resumed_after_a_pause"

    async def delete(self, graph_id, sequence):
        deleted = await super().delete(graph_id, sequence)
        self._floors.clear()
        return deleted


class TellsTwice(InMemoryCheckpointBackend):
    """Says of what was deleted before that it did it."""

    found_by = "test_deleting_what_is_not_there_says_so"

    async def delete(self, graph_id, sequence):
        return await super().delete(graph_id, sequence) or sequence <= self._floors.get(graph_id, 0)


class GoesOn(InMemoryCheckpointBackend):
    """Saves on when its caller is gone."""

    found_by = "test_a_save_cancelled_at_any_await"

    async def put(self, record):
        saving = asyncio.ensure_future(self._save(record))
        await asyncio.shield(saving)

    async def _save(self, record):
        for _ in range(30):
            await asyncio.sleep(0)
        await super().put(record)


class WritesInPieces(InMemoryCheckpointBackend):
    """Lets others see a record that is not whole."""

    found_by = "test_nobody_sees_half_of_a_record"

    async def put(self, record):
        await super().put(Record(record.header, record.payload[:1_000]))
        await asyncio.sleep(0)
        self._graphs[record.graph_id][record.sequence] = record


class LosesCase(InMemoryCheckpointBackend):
    """Takes two graphs for one, as some filesystems do."""

    found_by = "test_any_id_is_only_a_name"

    async def get(self, graph_id, sequence):
        return await super().get({"A": "a"}.get(graph_id, graph_id), sequence)


class Leaks(InMemoryCheckpointBackend):
    """Starts a thread, and leaves it."""

    found_by = "test_closing_leaves_no_task_thread"

    async def put(self, record):
        threading.Thread(target=threading.Event().wait, args=(60,), daemon=True, name="leaked").start()
        await super().put(record)


class Shared(InMemoryCheckpointBackend):
    """Several objects on one store, which is what persistent means within a process."""

    persistent = True

    def __init__(self, first: Shared | None = None) -> None:
        super().__init__()
        if first is not None:
            self._graphs, self._floors = first._graphs, first._floors


class Remembers(Shared):
    """Answers from its memory what others have changed meanwhile."""

    found_by = "test_what_one_backend_writes_and_deletes_the_other_sees"

    async def list(self, graph_id=None):
        if "_remembered" not in vars(self):
            self._remembered = await super().list(graph_id)
        return self._remembered


class PassesOverDamage(Shared):
    """Goes on from an older checkpoint when the latest is damaged."""

    found_by = "test_a_damaged_checkpoint_is_an_error_and_never_a_guess"

    async def latest(self, graph_id):
        sound = [info for info in (await self.list(graph_id)).infos if info.size > len(b"something else")]
        return sound[-1] if sound else None


class LeavesOutDamage(Shared):
    """Lists what it can read, and says of the rest nothing but a line in its log."""

    found_by = "test_what_is_damaged_is_named_by_every_listing"

    async def list(self, graph_id=None):
        listing = await super().list(graph_id)
        return Listing([info for info in listing.infos if info.size > len(b"something else")])


class Planted(CheckpointBackendConformance):
    capabilities = ()
    hostile_ids = ("A",)

    @pytest.fixture
    def backend(self):
        return self.kind()

    @pytest.fixture
    def read_raw(self, backend):
        def read(graph_id, sequence):
            record = backend._graphs.get(graph_id, {}).get(sequence)
            return None if record is None else record.header.to_json() + record.payload

        return read


class PlantedShared(Planted):
    capabilities = ("persistent",)

    @pytest.fixture
    def open_another(self, backend):
        return lambda: self.kind(backend)

    @pytest.fixture
    def spoil(self, backend):
        def spoil(graph_id, sequence):
            header = backend._graphs[graph_id][sequence].header
            backend._graphs[graph_id][sequence] = Record(replace(header, size=14), b"something else")

        return spoil


def _plant(base: type[Planted], kind: type[InMemoryCheckpointBackend]) -> None:
    name = f"Test{kind.__name__}"
    globals()[name] = type(name, (base,), {"kind": kind, "capabilities": base.capabilities, "__module__": __name__})


for _kind in (kind for kind in InMemoryCheckpointBackend.__subclasses__() if hasattr(kind, "found_by")):
    _plant(Planted, _kind)
for _kind in Shared.__subclasses__():
    _plant(PlantedShared, _kind)


class TestShared(PlantedShared):
    """The control: without a bug, it passes."""

    capabilities = ("persistent",)
    kind = Shared
