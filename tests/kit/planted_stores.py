"""As ``planted_backends.py``: several backends on one store, and backends with large values. Two of them are sound."""

from __future__ import annotations

import asyncio

from spark.errors import CheckpointDamagedError, StoreNotFoundError
from spark.graphs.checkpoint import InMemoryCheckpointBackend, Listing
from spark.graphs.checkpoint.storage import CheckpointBackend, LatestHeaders, Records


class Shared(InMemoryCheckpointBackend):
    """Several objects on one store, which is what persistent means within a process."""

    persistent = True

    def __init__(self, first: Shared | None = None) -> None:
        super().__init__()
        if first is not None:
            self._graphs, self._blobs, self._deleted_up_to = first._graphs, first._blobs, first._deleted_up_to


class Absent(CheckpointBackend):
    """A store that is not there, opened by somebody who only looks."""

    name = "absent"

    async def put(self, record):
        raise StoreNotFoundError("There is no store.")

    async def get(self, graph_id, sequence):
        raise StoreNotFoundError("There is no store.")

    delete = get

    async def list(self, graph_id=None):
        raise StoreNotFoundError("There is no store.")

    async def latest(self, graph_id):
        raise StoreNotFoundError("There is no store.")

    next_sequence = latest


class MakesStores(Shared):
    """Makes a store where there is none, though it was told not to."""

    found_by = "test_reading_creates_no_store"

    @staticmethod
    def open_absent():
        return Shared()


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


class CachesRecords(Shared):
    """Answers from its memory for a record that others have deleted."""

    found_by = "test_nothing_that_was_asked_before"

    async def get(self, graph_id, sequence):
        read = vars(self).setdefault("_read", {})
        if (graph_id, sequence) not in read:
            record = await super().get(graph_id, sequence)
            if record is None:
                return None
            read[graph_id, sequence] = record
        return read[graph_id, sequence]


class CachesAbsence(Shared):
    """Remembers that there was no such id."""

    found_by = "test_nothing_that_was_asked_before"

    async def find(self, checkpoint_id):
        missing = vars(self).setdefault("_missing", set())
        found = None if checkpoint_id in missing else await super().find(checkpoint_id)
        if found is None:
            missing.add(checkpoint_id)
        return found


class CountsByItself(Shared):
    """Asks for the next sequence once, and counts on in its memory."""

    found_by = "test_nothing_that_was_asked_before"

    async def next_sequence(self, graph_id):
        if "_next" not in vars(self):
            self._next = await super().next_sequence(graph_id)
        return self._next


class WritesBehind(Shared):
    """Says that it is saved before it is, and reads it from what is still to be written."""

    found_by = "test_nothing_that_was_asked_before"

    async def put(self, record):
        if await super().get(record.graph_id, record.sequence) is None:
            self._writing = asyncio.ensure_future(self._write(record))
        else:
            await super().put(record)

    async def _write(self, record):
        await asyncio.sleep(0)
        await super().put(record)


class LooksAndThenDeletes(Shared):
    """Takes turns within one object, and not with another one on the same store."""

    found_by = "test_of_two_that_delete_one_record"

    async def delete(self, graph_id, sequence):
        async with vars(self).setdefault("_lock", asyncio.Lock()):
            if await self.get(graph_id, sequence) is None:
                return False
            await asyncio.sleep(0)
            await super().delete(graph_id, sequence)
            return True


class LooksAndThenSaves(Shared):
    """Finds the sequence free, waits, and then saves, whatever came between."""

    found_by = "test_of_two_that_save_one_sequence"

    async def put(self, record):
        async with vars(self).setdefault("_lock", asyncio.Lock()):
            if record.sequence < await self.next_sequence(record.graph_id):
                await super().put(record)
                return
            for _ in range(4):
                await asyncio.sleep(0)
            self._graphs.setdefault(record.graph_id, {})[record.sequence] = record


class NamesWhatCanBeRead(Shared):
    """Names the graphs of those records that it can read."""

    found_by = "test_a_graph_of_which_everything_is_damaged_is_named"

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        infos = (await self.list()).infos
        named = sorted({info.graph_id for info in infos if info.size > len(b"something else")})
        return [each for each in named if each.startswith(prefix) and (after is None or each > after)][:limit]


class RemembersGraphIds(Shared):
    """Asks once, and pages through its memory."""

    found_by = "test_graphs_that_stay_are_named_once_while_others_come_and_go"

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        if "_named" not in vars(self):
            await asyncio.sleep(0)
            self._named = await super().graph_ids()
        return [each for each in self._named if each.startswith(prefix) and (after is None or each > after)][:limit]


class StopsAtDamage(Shared):
    """Lets one damaged record hide the latest of all other graphs."""

    found_by = "test_a_damaged_latest_record_is_reported"

    async def latest_headers(self, graph_ids):
        latest = await super().latest_headers(graph_ids)
        for header in latest.headers.values():
            if header.size == len(b"something else"):
                raise CheckpointDamagedError(f"graph {header.graph_id!r} is damaged")
        return latest


class GoesBackPastDamage(Shared):
    """Gives an older header where the latest is damaged."""

    found_by = "test_a_damaged_latest_record_is_reported"

    async def latest_headers(self, graph_ids):
        intact = {
            each: [
                one.header for one in self._graphs.get(each, {}).values() if one.header.size != len(b"something else")
            ]
            for each in graph_ids
        }
        return LatestHeaders({each: headers[-1] for each, headers in intact.items() if headers})


class FailsForDamage(Shared):
    """Lets one damaged record hide all others."""

    found_by = "test_a_damaged_record_among_many"

    async def get_many(self, graph_id, sequences):
        found = await super().get_many(graph_id, sequences)
        for record in found.records.values():
            if record.payload == b"something else":
                raise CheckpointDamagedError(f"checkpoint {record.sequence} is damaged")
        return found


class SkipsDamage(Shared):
    """Leaves out what it can't read, and says nothing."""

    found_by = "test_a_damaged_record_among_many"

    async def get_many(self, graph_id, sequences):
        found = await super().get_many(graph_id, sequences)
        return Records(
            {sequence: record for sequence, record in found.records.items() if record.payload != b"something else"}
        )


class LooksAndThenReads(Shared):
    """Takes for damage what was deleted between its look and its reading."""

    found_by = "test_many_records_are_read_while_others_save_and_delete"

    async def get_many(self, graph_id, sequences):
        there = [each for each in self._graphs.get(graph_id, {}) if each in sequences]
        await asyncio.sleep(0)
        return Records({sequence: self._graphs[graph_id][sequence] for sequence in there})


class Inherits(Shared):
    """Sound: everything that is optional is inherited from the contract."""

    graph_ids = CheckpointBackend.graph_ids
    latest_headers = CheckpointBackend.latest_headers
    get_many = CheckpointBackend.get_many


class WithBlobs(InMemoryCheckpointBackend):
    """Sound: large values are stored before the record that needs them, in a call of their own."""

    async def put(self, record):
        is_free = record.sequence not in self._graphs.get(record.graph_id, {})
        if is_free and record.sequence > self._deleted_up_to.get(record.graph_id, 0):
            await self._keep(record)
        await super().put(record.with_blobs({}))

    async def _keep(self, record):
        self._blobs.setdefault(record.graph_id, {}).update(record.blobs)


class KeepsLargeValuesLater(WithBlobs):
    """Stores large values after the record that needs them."""

    found_by = "test_large_values_are_there_before_their_record"

    async def put(self, record):
        blobs = dict(record.blobs)
        await InMemoryCheckpointBackend.put(self, record.with_blobs({}))
        await asyncio.sleep(0)
        await self._keep(record.with_blobs(blobs))


class KeepsLargeValuesLast(WithBlobs):
    """Stores large values after the record, and waits for nothing between."""

    found_by = "test_a_save_that_ends_between_its_large_values"

    async def put(self, record):
        await InMemoryCheckpointBackend.put(self, record.with_blobs({}))
        await self._keep(record)


class LosesLargeValuesOfOthers(WithBlobs):
    """Takes along large values of that name in any graph."""

    found_by = "test_a_save_deletes_large_values_of_its_graph_only"

    async def put_and_delete(self, record, to_delete, blobs=()):
        await self.put(record)
        deleted = await self.delete_many(record.graph_id, to_delete)
        for graph_id in self._blobs:
            await self.delete_blobs(graph_id, blobs)
        return deleted


class LosesLargeValuesWhenRefused(WithBlobs):
    """Takes large values along before it knows whether it saves."""

    found_by = "test_a_save_deletes_large_values_of_its_graph_only"

    async def put_and_delete(self, record, to_delete, blobs=()):
        await self.delete_blobs(record.graph_id, blobs)
        await self.put(record)
        return await self.delete_many(record.graph_id, to_delete)


class CutsLargeValues(WithBlobs):
    """Has room for a megabyte in each large value."""

    found_by = "test_large_values_may_be_large"

    async def get_blobs(self, graph_id, names):
        return {name: content[:1_000_000] for name, content in (await super().get_blobs(graph_id, names)).items()}


class ReadsAFewLargeValues(WithBlobs):
    """Has room for 200 names in a statement, and does not ask again."""

    found_by = "test_many_small_values_come_with_one_record"

    async def get_blobs(self, graph_id, names):
        return await super().get_blobs(graph_id, names[:200])


class KeepsAFewLargeValues(WithBlobs):
    """Stores as many large values with a record as one statement takes."""

    found_by = "test_many_small_values_come_with_one_record"

    async def _keep(self, record):
        few = dict([*record.blobs.items()][:50])
        self._blobs.setdefault(record.graph_id, {}).update(few)


class LosesWhatComesAhead(WithBlobs):
    """Says that large values are stored, and waits for their record."""

    found_by = "test_large_values_may_come_before_their_record"

    async def put_blobs(self, graph_id, blobs):
        return True


class TakesLargeValuesForARecord(WithBlobs):
    """Counts a sequence as used once a large value was written for it."""

    found_by = "test_large_values_may_come_before_their_record"

    async def next_sequence(self, graph_id):
        names = await self.blob_names(graph_id)
        return max([await super().next_sequence(graph_id), *(int(name[:12]) + 1 for name in names)])


class KeepsLargeValuesWithTheirRecord(WithBlobs):
    """Removes the large values that a record brought when it is deleted."""

    found_by = "test_large_values_of_many_records_are_read_at_once"

    async def delete(self, graph_id, sequence):
        names = [name for name in await self.blob_names(graph_id) if int(name[:12]) == sequence]
        await self.delete_blobs(graph_id, names)
        return await super().delete(graph_id, sequence)


class TakesNamesForPrefixes(WithBlobs):
    """Deletes what begins with a name."""

    found_by = "test_names_of_large_values_are_compared_whole"

    async def delete_blobs(self, graph_id, names):
        there = await self.blob_names(graph_id)
        await super().delete_blobs(graph_id, [each for each in there if each.startswith(tuple(names))])


class DeletesWhatItBrings(WithBlobs):
    """Deletes, with old large values, those that come with the record that takes their place."""

    found_by = "test_a_merged_value_takes_the_place_of_many"

    async def put_and_delete(self, record, to_delete, blobs=()):
        await self.put(record)
        deleted = await self.delete_many(record.graph_id, to_delete)
        await self.delete_blobs(record.graph_id, [*blobs, *record.blobs])
        return deleted


class DeletesLargeValuesOnly(WithBlobs):
    """Deletes large values, and leaves the records that need them to the caller."""

    found_by = "test_a_merged_value_takes_the_place_of_many"

    async def put_and_delete(self, record, to_delete, blobs=()):
        await self.put(record)
        await self.delete_blobs(record.graph_id, blobs)
        return []
