"""A sequence is used once in S3 too, wherever a writer is held up, and whatever others do meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest

from spark.errors import SequenceTakenError
from spark_backend_s3 import S3CheckpointBackend, Trust
from spark_backend_s3.names import Keys
from spark_backend_s3.view_cache import Tombstones
from spark_testing import FakeClock
from spark_testing.records import BLOB, make_record
from tests.plugins.support.s3.servers import S3Server
from tests.plugins.support.s3.stores import AT_ONCE, Gate, open_store, trusting, watch

HOUR = 3600.0


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket()


class Store:
    """One store, and backends of it that know nothing of each other, as in several processes."""

    def __init__(self, server: S3Server, bucket: str, prefix: str, stack: AsyncExitStack) -> None:
        self.server, self.bucket, self.prefix = server, bucket, prefix
        self.keys = Keys(f"{prefix}/")
        self._stack = stack

    async def open(
        self, *, grace: float = 60.0, batch: int = 100, clock: FakeClock | None = None, single_writer: bool = False
    ) -> S3CheckpointBackend:
        trust = trusting(grace=grace, batch=batch, clock=clock)
        backend = open_store(self.server, self.bucket, self.prefix, single_writer=single_writer, trust=trust)
        return await self._stack.enter_async_context(backend)

    def names(self, graph_id: str = "g") -> list[str]:
        """What lies in a graph's place, without the beginning that all have."""
        beginning = self.keys.graph(graph_id)
        return [key.removeprefix(beginning) for key in self.server.keys(self.bucket, beginning)]

    def size(self, sequence: int) -> int | None:
        """How long the object in a record's place is; None when there is none."""
        key = self.keys.record("g", sequence)
        return len(self.server.read(self.bucket, key)) if key in self.server.keys(self.bucket) else None


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
async def store(s3_server: S3Server, bucket: str, numbers: Iterator[int]) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        yield Store(s3_server, bucket, f"store {next(numbers)}", stack)


async def put_all(backend: S3CheckpointBackend, *sequences: int) -> None:
    for sequence in sequences:
        await backend.put(make_record("g", sequence))


async def sequences(backend: S3CheckpointBackend) -> list[int]:
    return [info.sequence for info in (await backend.list("g")).infos]


# a writer that is held up


@pytest.mark.thorough
@pytest.mark.parametrize("stop_before", range(5))
@pytest.mark.parametrize("checkpoint_id", [None, "by hand"])
async def test_a_writer_that_slept_does_not_use_what_was_used_and_removed(
    store: Store, stop_before: int, checkpoint_id: str | None
) -> None:
    """Stopped before each of its requests in turn, while others go on and remove what was in its way."""
    clock = FakeClock(1000.0)
    sleeper, rival = await store.open(clock=clock), await store.open(grace=AT_ONCE)
    await put_all(sleeper, 1, 2)
    await sleeper.next_sequence("g")
    gate = watch(sleeper, stop_before=stop_before)
    late = make_record("g", 3, checkpoint_id=checkpoint_id)
    saving = asyncio.create_task(sleeper.put(late))
    await _stopped(gate, saving)
    was_first = store.size(3) is not None
    if not was_first:
        await put_all(rival, 3)
    await put_all(rival, 4, 5, 6)
    assert await rival.delete_many("g", [1, 2, 3, 4]) == [1, 2, 3, 4]
    clock.advance(HOUR)
    gate.may_go_on.set()
    (outcome,) = await asyncio.gather(saving, return_exceptions=True)

    # It either was there before the others, who removed its record like the rest, or was told that it came too late.
    assert isinstance(outcome, SequenceTakenError) or was_first
    assert await sequences(rival) == [5, 6]
    assert await rival.find("by hand") is None
    assert await rival.next_sequence("g") == 7


async def test_a_look_is_as_old_as_its_beginning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that slept after the store had answered its look has not seen what others did meanwhile."""
    clock = FakeClock(1000.0)
    sleeper, rival = await store.open(clock=clock), await store.open(grace=AT_ONCE)
    await put_all(rival, 1, 2)
    page = sleeper._objects.page

    async def page_then_sleep(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        answer = await page(*args, **kwargs)
        await put_all(rival, 3, 4, 5)
        assert await rival.delete_many("g", [1, 2, 3]) == [1, 2, 3]
        clock.advance(HOUR)
        return answer

    monkeypatch.setattr(sleeper._objects, "page", page_then_sleep)

    with pytest.raises(SequenceTakenError, match="deleted"):
        await sleeper.put(make_record("g", 3))

    assert await sequences(rival) == [4, 5]


def test_the_highest_of_the_emptied_places_is_not_removed() -> None:
    clock = FakeClock(1000.0)
    trust, tombstones = Trust(grace=60.0, batch=2, clock=clock), Tombstones()
    for sequence in (3, 1, 2):
        tombstones.add(sequence, at=clock.monotonic())
    assert tombstones.take_old(trust) == []
    clock.advance(61)

    assert tombstones.take_old(trust) == [1, 2]

    for sequence in (4, 5):
        tombstones.add(sequence, at=clock.monotonic())
    clock.advance(61)
    assert tombstones.take_old(trust) == [3, 4]


@pytest.mark.parametrize("stop_before", range(4))
async def test_a_writer_that_trusts_its_look_finds_the_place_kept(store: Store, stop_before: int) -> None:
    """Within the window after a look, a PUT is not looked after: so what is removed meanwhile leaves its place occupied."""
    quick, rival = await store.open(), await store.open()
    await put_all(quick, 1, 2)
    await quick.next_sequence("g")
    gate = watch(quick, stop_before=stop_before)
    saving = asyncio.create_task(quick.put(make_record("g", 3)))
    await _stopped(gate, saving)
    was_first = store.size(3) is not None
    if not was_first:
        await put_all(rival, 3)
    await put_all(rival, 4)
    await rival.delete_many("g", [2, 3])
    gate.may_go_on.set()
    (outcome,) = await asyncio.gather(saving, return_exceptions=True)

    assert isinstance(outcome, SequenceTakenError) or was_first
    assert await sequences(rival) == [1, 4]


async def _stopped(gate: Gate, saving: asyncio.Task[None]) -> None:
    """Wait until the gate has stopped the task, or it has come through all gates."""
    stopped = asyncio.create_task(gate.is_stopped.wait())
    await asyncio.wait([stopped, saving], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


async def test_a_writer_that_goes_on_and_on_still_looks(store: Store) -> None:
    """That its own PUTs succeed proves nothing of the sequences above: somebody may have used and removed those."""
    clock = FakeClock(1000.0)
    busy, ahead = await store.open(clock=clock), await store.open(grace=AT_ONCE)
    await put_all(busy, 1)
    clock.advance(9)
    await put_all(ahead, 5, 6, 7)
    for sequence in (2, 3, 4):
        await put_all(busy, sequence)
        clock.advance(9)
    await ahead.delete("g", 5)
    assert store.size(5) is None

    with pytest.raises(SequenceTakenError, match="was used before"):
        await put_all(busy, 5)
    assert await sequences(ahead) == [1, 2, 3, 4, 6, 7]


async def test_what_was_given_up_is_refused_before_anything_is_written(store: Store) -> None:
    """What has to be taken back would stay when that fails, or when the writer dies before."""
    late, rival = await store.open(), await store.open(grace=AT_ONCE)
    await put_all(rival, 1, 2, 3)
    await rival.delete_many("g", [1])

    with pytest.raises(SequenceTakenError, match="was used before"):
        await late.put(make_record("g", 1, checkpoint_id="late"))

    assert store.size(1) is None
    assert store.server.keys(store.bucket, store.keys.ids("late")) == []


async def test_a_sequence_below_the_highest_can_be_used_once(store: Store) -> None:
    """Checkpoints are copied between stores in any order."""
    backend = await store.open(grace=AT_ONCE)
    await put_all(backend, 3, 1)

    await put_all(backend, 2)

    assert await sequences(backend) == [1, 2, 3]


# what a save costs


async def test_a_save_within_the_window_is_one_request(store: Store) -> None:
    clock = FakeClock(1000.0)
    backend = await store.open(clock=clock)
    await put_all(backend, 1)
    gate = watch(backend)

    for sequence in range(2, 6):
        clock.advance(2)
        await put_all(backend, sequence)

    assert gate.requests == ["put_object"] * 4


async def test_after_a_pause_one_look_comes_before_a_save(store: Store) -> None:
    clock = FakeClock(1000.0)
    backend = await store.open(clock=clock)
    await put_all(backend, 1)
    gate = watch(backend)

    clock.advance(10.1)
    await put_all(backend, 2)

    assert gate.requests == ["list_objects_v2", "put_object"]


async def test_a_look_is_trusted_from_its_beginning_to_the_end_of_the_save(store: Store) -> None:
    """A PUT that took long is one that others could overtake."""
    clock = FakeClock(1000.0)
    backend = await store.open(clock=clock)
    await put_all(backend, 1)
    gate = watch(backend, stop_before=0)
    saving = asyncio.create_task(backend.put(make_record("g", 2)))
    await gate.is_stopped.wait()

    clock.advance(10.1)
    gate.may_go_on.set()
    await saving

    assert gate.requests == ["put_object", "list_objects_v2"]


# what becomes of deleted records


async def test_a_young_record_leaves_its_place_and_an_old_one_does_not(store: Store) -> None:
    young, old = await store.open(), await store.open(grace=AT_ONCE)
    await put_all(young, 1, 2, 3, 4)

    await old.delete("g", 1)
    await young.delete("g", 2)

    assert [store.size(sequence) for sequence in (1, 2)] == [None, 0]
    assert [await young.get("g", sequence) for sequence in (1, 2)] == [None, None]
    assert await sequences(young) == [3, 4]


async def test_the_highest_keeps_its_place_however_old(store: Store) -> None:
    """By it everybody sees how far the history went."""
    backend = await store.open(grace=AT_ONCE)
    await put_all(backend, 1, 2)

    await backend.delete_many("g", [1, 2])

    assert [store.size(sequence) for sequence in (1, 2)] == [None, 0]
    assert await backend.next_sequence("g") == 3
    assert await backend.latest("g") is None


async def test_many_old_records_go_in_one_request(store: Store) -> None:
    backend = await store.open(grace=AT_ONCE)
    await put_all(backend, *range(1, 9))
    gate = watch(backend)

    assert await backend.delete_many("g", [2, 1, 3, 4]) == [1, 2, 3, 4]

    assert gate.requests == ["list_objects_v2", "put_object", "delete_objects"]
    assert await backend.delete("g", 5) is True
    gate.requests.clear()
    assert await backend.delete_many("g", [5, 6, 4]) == [6]
    assert gate.requests == ["list_objects_v2", "delete_objects"], "a marker above it was written before"


async def test_emptied_places_are_removed_with_the_next_deletion(store: Store) -> None:
    young, old = await store.open(), await store.open(grace=AT_ONCE)
    await put_all(young, *range(1, 7))
    await young.delete_many("g", [1, 2, 3])
    assert [store.size(sequence) for sequence in (1, 2, 3)] == [0, 0, 0]
    gate = watch(old)

    await old.delete("g", 4)

    assert [store.size(sequence) for sequence in (1, 2, 3, 4)] == [None] * 4
    assert gate.requests.count("delete_objects") == 1


async def test_many_emptied_places_that_others_left_are_removed_without_one(store: Store) -> None:
    backend = await store.open()
    await put_all(backend, *range(1, 7))
    await backend.delete_many("g", [1, 2, 3])

    await (await store.open(grace=AT_ONCE, batch=3)).delete("g", 6)

    assert [store.size(sequence) for sequence in (1, 2, 3)] == [None] * 3
    assert store.size(6) == 0


async def test_a_busy_graph_deletes_with_one_request_and_leaves_no_trail(store: Store) -> None:
    """All that it deletes is young, and leaves an empty place: these are removed together when they are old."""
    clock = FakeClock(1000.0)
    backend = await store.open(clock=clock, batch=5)
    await put_all(backend, 1, 2)
    await backend.delete("g", 1)
    gate = watch(backend)
    for sequence in range(3, 41):
        await put_all(backend, sequence)
        assert await backend.delete("g", sequence - 1) is True
        clock.advance(5)

    # A minute's worth of places, a handful that waits for company, the record, and a marker or two.
    assert len(store.names()) <= 60 / 5 + 5 + 4
    assert gate.requests.count("delete_objects") <= 38 / 5
    assert gate.requests.count("put_object") - gate.requests.count("delete_objects") <= 2 * 38
    assert await sequences(backend) == [40]
    with pytest.raises(SequenceTakenError):
        await put_all(backend, 2)


async def test_a_record_that_others_deleted_is_not_deleted_again(store: Store) -> None:
    """Handlers hear of a deletion once, also where two processes delete."""
    one, other = await store.open(), await store.open()
    await put_all(one, 1, 2, 3)
    assert await one.delete("g", 1) is True
    assert await other.delete_many("g", [1, 2]) == [2]

    assert await one.delete("g", 2) is False


async def test_the_marker_that_counts_stays_however_old(store: Store) -> None:
    writer = await store.open(grace=AT_ONCE)
    await put_all(writer, 1, 2, 3, 4, 5, 6)
    await writer.delete_many("g", [1, 2])
    await writer.delete_many("g", [3, 4, 5])

    with pytest.raises(SequenceTakenError, match="deleted"):
        await (await store.open()).put(make_record("g", 3))


async def test_only_the_highest_markers_stay(store: Store) -> None:
    backend = await store.open(grace=AT_ONCE)
    for sequence in range(1, 8):
        await put_all(backend, sequence)
        await backend.delete_many("g", [sequence - 2])

    markers = [name for name in store.names() if name.startswith(".floor/")]

    assert 1 <= len(markers) <= 2
    assert await sequences(backend) == [6, 7]


async def test_a_marker_is_not_removed_while_a_listing_may_have_passed_its_successor(store: Store) -> None:
    """A listing need not be one instant: it may pass the new marker's place too early, and the old one's too late."""
    backend = await store.open(grace=AT_ONCE)
    await put_all(backend, 1, 2, 3)
    await backend.delete("g", 1)
    await put_all(backend, 4, 5, 6, 7)
    careful = await store.open()

    scan = await careful._views.look("g", action="look")

    assert scan.deleted_up_to == 3
    assert scan.stale_markers(careful._views.trust) == []


async def test_an_old_record_stays_in_its_place_while_all_above_it_are_young(store: Store) -> None:
    """For the same reason: a listing has to see one of the two."""
    backend = await store.open(grace=0.0)
    await put_all(backend, 1, 2)
    scan = await backend._views.look("g", action="look")
    young, old = scan.places[2].written, scan.places[1].written

    moment = Trust(grace=10.0)
    scan.now = old
    assert scan.removable(moment) == set()
    scan.now = max(young, old).replace(year=2100)
    assert scan.removable(moment) == {1}


async def test_without_the_time_of_the_store_every_place_is_kept(store: Store) -> None:
    backend = await store.open(grace=AT_ONCE)
    await put_all(backend, 1, 2, 3)
    scan = await backend._views.look("g", action="look")
    scan.now = None

    assert scan.removable(backend._views.trust) == set()


async def test_the_id_of_a_deleted_record_leaves_nothing_behind(store: Store) -> None:
    """Also where the deleter has never read the record."""
    backend = await store.open()
    await backend.put(make_record("g", 1, checkpoint_id="mine"))
    other = await store.open()

    await other.delete("g", 1)

    assert store.server.keys(store.bucket, store.keys.ids("mine")) == []


# lost answers, and what is in the way


async def test_its_own_record_in_the_way_is_success(store: Store) -> None:
    """What stands between us and the store may send a request twice, and hand on the second answer."""
    backend, twin = await store.open(), await store.open()
    record = make_record("g", 1)
    await twin.put(record)

    await backend.put(record)

    assert await backend.get("g", 1) == record


async def test_a_damaged_object_in_the_way_is_not_overwritten(store: Store) -> None:
    backend = await store.open()
    store.server.write(store.bucket, store.keys.record("g", 1), b"something else")

    with pytest.raises(SequenceTakenError, match="damaged"):
        await put_all(backend, 1)


# one writer, and a store without conditions


async def test_a_single_writer_looks_before_it_writes(store: Store) -> None:
    clock = FakeClock(1000.0)
    backend = await store.open(grace=AT_ONCE, clock=clock, single_writer=True)
    gate = watch(backend)
    await put_all(backend, 1, 2, 3)
    assert gate.requests == ["list_objects_v2", *["put_object"] * 3]
    await backend.delete("g", 1)

    for sequence in (1, 2):
        with pytest.raises(SequenceTakenError):
            await put_all(backend, sequence)
    clock.advance(HOUR)
    for sequence in (1, 2):
        with pytest.raises(SequenceTakenError):
            await put_all(backend, sequence)
    await put_all(backend, 4)

    assert await sequences(backend) == [2, 3, 4]


# forgetting


async def fill_and_delete(backend: S3CheckpointBackend) -> None:
    await backend.put(make_record("g", 1, blobs={BLOB: b"large"}))
    await backend.put(make_record("g", 2, checkpoint_id="by hand"))
    await put_all(backend, 3, 4)
    await backend.delete_many("g", [1])


async def test_no_key_is_left_of_small_graphs_that_are_forgotten(store: Store) -> None:
    backend = await store.open()
    for graph_id in ("g", "é" * 200):
        await backend.put(make_record(graph_id, 1, blobs={BLOB: b"large"}))
        await backend.put(make_record(graph_id, 2, checkpoint_id="by hand"))
        await backend.put(make_record(graph_id, 3))
        await backend.delete(graph_id, 1)
    await backend.put(make_record("h", 1, checkpoint_id="h by hand"))

    assert await backend.forget("g") == [2, 3]
    assert await backend.forget("é" * 200) == [2, 3]
    kept = {store.keys.record("h", 1), store.keys.alias("h by hand", "h", 1)}
    assert set(store.server.keys(store.bucket, store.keys.root)) == kept


@pytest.mark.thorough
async def test_forgetting_stopped_before_any_request_is_done_by_calling_again(store: Store) -> None:
    """Until it is done, whatever is listed is whole, and no sequence is used again."""
    for stop_before in count():
        backend, rival = await store.open(), await store.open()
        await fill_and_delete(backend)
        gate = watch(backend, stop_before=stop_before)
        forgetting = asyncio.create_task(backend.forget("g"))
        await _stopped(gate, forgetting)

        left = await sequences(rival)
        assert left in ([2, 3, 4], [])
        assert await rival.next_sequence("g") == 5 or not store.names()
        forgetting.cancel()
        gate.may_go_on.set()
        await asyncio.gather(forgetting, return_exceptions=True)
        await rival.forget("g")
        assert store.server.keys(store.bucket, store.keys.root) == []
        if len(gate.requests) <= stop_before:
            break
    assert stop_before > 5


async def test_a_process_that_knew_a_forgotten_graph_begins_it_anew_and_removes_nothing_of_it(store: Store) -> None:
    """It remembers places that it has emptied, to remove them later; they are no longer empty."""
    clock = FakeClock(1000.0)
    backend, rival = await store.open(clock=clock), await store.open()
    await put_all(backend, *range(1, 110))
    await backend.delete_many("g", range(1, 105))
    await rival.forget("g")
    clock.advance(HOUR)

    assert await backend.next_sequence("g") == 1
    await put_all(backend, *range(1, 8))
    assert await backend.delete_many("g", [7]) == [7]
    assert await sequences(rival) == [1, 2, 3, 4, 5, 6]
