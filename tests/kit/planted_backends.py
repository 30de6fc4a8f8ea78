"""Backends with one bug each, and the test of the suite that finds it. Run by ``test_planted_backends.py``, never collected."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from unicodedata import normalize

from spark.graphs.checkpoint import InMemoryCheckpointBackend, Listing
from spark.graphs.checkpoint.storage import Record


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


class DropsDeclarations(InMemoryCheckpointBackend):
    """Keeps those fields of the header that it knows."""

    found_by = "test_gives_back_what_was_put"

    async def get(self, graph_id, sequence):
        record = await super().get(graph_id, sequence)
        return record and Record(replace(record.header, references_in_payload=True), record.payload)


class ForgetsTooMuch(InMemoryCheckpointBackend):
    """Forgets the graphs whose ids begin like the one to be forgotten."""

    found_by = "test_forgets_a_graph_and_no_other"

    async def forget(self, graph_id):
        self._graphs.pop("h", None)
        return await super().forget(graph_id)


class ForgetsWhatIsYoung(InMemoryCheckpointBackend):
    """Asks no graph for how long it has been empty."""

    found_by = "test_forgets_those_that_are_empty_and_no_others"

    async def forget_empty(self, prefix, *, older_than):
        empty = [each for each in self._graphs if each.startswith(prefix) and not self._graphs[each]]
        for graph_id in empty:
            await self.forget(graph_id)
        return len(empty)


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
        self._deleted_up_to.clear()
        return deleted


class TellsTwice(InMemoryCheckpointBackend):
    """Says of what was deleted before that it did it."""

    found_by = "test_deleting_what_is_not_there_says_so"

    async def delete(self, graph_id, sequence):
        return await super().delete(graph_id, sequence) or sequence <= self._deleted_up_to.get(graph_id, 0)


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


class DeletesManyInARace(InMemoryCheckpointBackend):
    """Deletes one at a time with care, and many without."""

    found_by = "test_of_two_that_delete_one_record"

    async def delete_many(self, graph_id, sequences):
        there = [sequence for sequence in sequences if await self.get(graph_id, sequence) is not None]
        for _ in range(3):
            await asyncio.sleep(0)
        await super().delete_many(graph_id, there)
        return there


class CountsWhatIsThere(InMemoryCheckpointBackend):
    """Gives the sequence of a deleted record out again, though it refuses it then."""

    found_by = "test_the_next_sequence_counts_deleted_ones"

    async def next_sequence(self, graph_id):
        return max(self._graphs.get(graph_id, {0: None}), default=0) + 1


class StopsHalfWay(InMemoryCheckpointBackend):
    """Deletes the first two of many, and says nothing of the rest."""

    found_by = "test_deletes_many_records_and_says_which"

    async def delete_many(self, graph_id, sequences):
        return await super().delete_many(graph_id, sorted(sequences)[:1])


class PassesOverWhatIsMadeByHand(InMemoryCheckpointBackend):
    """Loads the latest automatic checkpoint."""

    found_by = "test_the_latest_may_be_one_made_by_hand"

    async def get_latest(self, graph_id):
        records = self._graphs.get(graph_id, {}).values()
        return next((record for record in reversed(records) if not record.header.manual), None)


class ListsInBlocks(InMemoryCheckpointBackend):
    """Says how much a record takes on its disk, in large blocks."""

    found_by = "test_a_line_of_the_listing_says_what_the_record_says"

    async def list(self, graph_id=None):
        return Listing([replace(info, size=65_536) for info in (await super().list(graph_id)).infos])


class FindsByGraph(InMemoryCheckpointBackend):
    """Of two checkpoints with one id, finds that of the last graph."""

    found_by = "test_an_id_given_in_two_graphs_means_the_higher_sequence"

    async def find(self, checkpoint_id):
        found = [info for info in (await self.list()).infos if info.checkpoint_id == checkpoint_id]
        return max(found, key=lambda info: info.graph_id, default=None)


class CutsOff(InMemoryCheckpointBackend):
    """Has room for two megabytes."""

    found_by = "test_gives_back_megabytes"

    async def put(self, record):
        await super().put(Record(record.header, record.payload[:2_000_000], blobs=record.blobs))


class LosesMetadata(InMemoryCheckpointBackend):
    """Has no column for what can be searched."""

    found_by = "test_gives_back_the_metadata_that_can_be_searched"

    async def put(self, record):
        await super().put(Record(replace(record.header, metadata={}), record.payload))


class LosesSignatures(InMemoryCheckpointBackend):
    """Has no column for signatures."""

    found_by = "test_gives_back_any_record"

    async def put(self, record):
        await super().put(Record(replace(record.header, signature=""), record.payload))


class TakesSizesForEqual(InMemoryCheckpointBackend):
    """Has one column for the two sizes."""

    found_by = "test_gives_back_any_record"

    async def put(self, record):
        await super().put(Record(replace(record.header, raw_size=record.header.size), record.payload))


class CountsIn32Bits(InMemoryCheckpointBackend):
    """Has a column of 32 bits for sequences."""

    found_by = "test_takes_any_sequence"

    async def put(self, record):
        await super().put(Record(replace(record.header, sequence=record.sequence % 2**32), record.payload))


class DeletesAlike(InMemoryCheckpointBackend):
    """Deletes without regard to case, as some databases compare."""

    found_by = "test_no_two_ids_share_a_place"

    async def delete(self, graph_id, sequence):
        alike = [each for each in self._graphs if each.casefold() == graph_id.casefold()]
        return any([await super(DeletesAlike, self).delete(each, sequence) for each in alike])


class CountsAlike(InMemoryCheckpointBackend):
    """Counts what is composed and what is decomposed as one, as some filesystems do."""

    found_by = "test_no_two_ids_share_a_place"

    async def next_sequence(self, graph_id):
        alike = [each for each in self._graphs if normalize("NFC", each) == normalize("NFC", graph_id)]
        return sum(len(self._graphs[each]) for each in alike) + 1


class MakesRoomFirst(InMemoryCheckpointBackend):
    """Deletes, and then finds that it can't save."""

    found_by = "test_a_save_that_is_refused_deletes_nothing"

    async def put_and_delete(self, record, to_delete, blobs=()):
        deleted = await self.delete_many(record.graph_id, to_delete)
        await self.put(record)
        return deleted


class MakesRoomTooEarly(InMemoryCheckpointBackend):
    """Looks whether it can save, deletes, and saves only then."""

    found_by = "test_a_save_that_deletes_others_cancelled_at_any_await"

    async def put_and_delete(self, record, to_delete, blobs=()):
        if record.sequence < await self.next_sequence(record.graph_id):
            await self.put(record)
        deleted = await self.delete_many(record.graph_id, to_delete)
        await asyncio.sleep(0)
        await self.put(record)
        return deleted


class MakesRoomEverywhere(InMemoryCheckpointBackend):
    """Forgets to say of which graph."""

    found_by = "test_a_save_deletes_only_records_of_its_graph"

    async def put_and_delete(self, record, to_delete, blobs=()):
        await self.put(record)
        for graph_id in [*self._graphs]:
            await self.delete_many(graph_id, to_delete)
        return [*to_delete]


class ForgetsWhatMadeRoom(InMemoryCheckpointBackend):
    """Notes of what is deleted that it was used, but not of what makes room."""

    found_by = "test_sequences_that_a_save_deleted_stay_used"

    async def put_and_delete(self, record, to_delete, blobs=()):
        await self.put(record)
        records = self._graphs[record.graph_id]
        return [sequence for sequence in to_delete if records.pop(sequence, None)]


class GoesOnDeleting(InMemoryCheckpointBackend):
    """Deletes on when its caller is gone."""

    found_by = "test_deleting_many_cancelled_at_any_await"

    async def delete_many(self, graph_id, sequences):
        return await asyncio.shield(asyncio.ensure_future(self._delete_many(graph_id, sequences)))

    async def _delete_many(self, graph_id, sequences):
        deleted = []
        for sequence in sequences:
            for _ in range(10):
                await asyncio.sleep(0)
            deleted += [sequence] if await self.delete(graph_id, sequence) else []
        return deleted


class BelongsToALoop(InMemoryCheckpointBackend):
    """Takes turns by a lock of the first event loop."""

    found_by = "test_calls_that_wait_for_each_other_serve"

    async def put(self, record):
        async with vars(self).setdefault("_lock", asyncio.Lock()):
            await asyncio.sleep(0)
            await super().put(record)


class StrandsCalls(InMemoryCheckpointBackend):
    """Ends its writer when it is closed, and leaves alone who waits for it."""

    found_by = "test_closing_strands_no_call"

    async def put(self, record):
        saved = asyncio.get_running_loop().create_future()
        self._timer = asyncio.get_running_loop().call_later(0.01, saved.set_result, None)
        vars(self).setdefault("_timers", []).append(self._timer)
        await saved
        await super().put(record)

    async def close(self):
        for timer in vars(self).get("_timers", []):
            timer.cancel()
