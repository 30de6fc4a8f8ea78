"""Cancellation: what was cancelled has happened or never will, wherever it was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeAlias

from spark.graphs.checkpoint.storage import CheckpointBackend, Record
from spark_testing.records import make_record
from spark_testing.suites.backends.store import GivenStore

_MOST_WAITS: Final = 1_000
_TURNS: Final = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""After how many turns of the event loop a save is cancelled: while it waits for a thread or a connection, for instance."""

Seen: TypeAlias = dict[int, Record | None]
"""Sequence to what was stored there when a cancelled save had returned."""


class Cancelling(GivenStore):
    """Cancellation: what was cancelled has happened or never will, wherever it was cancelled."""

    async def test_a_save_cancelled_at_any_await_has_happened_or_never_will(self, backend: CheckpointBackend) -> None:
        """At its first await, at its second…, until one needs fewer; what is there at that instant is what stays."""
        await backend.put(_record(backend, 1))
        seen: Seen = {}
        for number in range(1, _MOST_WAITS):
            record = _record(backend, number + 1)
            saving = CancelledAtAwait(backend.put(record), number=number)
            is_cancelled = await saving.end()

            seen[record.sequence] = await _all_or_nothing(backend, record, must_be_there=not is_cancelled)
            if not saving.is_reached:
                await _check_unchanged(backend, seen)
                return
        raise AssertionError(f"put waits more than {_MOST_WAITS} times")

    async def test_a_save_cancelled_after_any_time_has_happened_or_never_will(self, backend: CheckpointBackend) -> None:
        """In between awaits, while a thread or a server is at work; and cancelled again while it is waited for."""
        seen: Seen = {}
        for number, turns in enumerate(_TURNS):
            record = _record(backend, number + 1)
            saving = asyncio.create_task(backend.put(record))
            for _ in range(turns):
                await asyncio.sleep(0)
            saving.cancel()
            await asyncio.sleep(0)
            saving.cancel()
            await asyncio.wait([saving])

            seen[record.sequence] = await _all_or_nothing(backend, record, must_be_there=not saving.cancelled())
        await _check_unchanged(backend, seen)

    async def test_a_deletion_cancelled_at_any_await_has_happened_or_never_will(
        self, backend: CheckpointBackend
    ) -> None:
        for number in range(1, _MOST_WAITS):
            await backend.put(make_record("g", number))
            deleting = CancelledAtAwait(backend.delete("g", number), number=number)
            is_cancelled = await deleting.end()
            left = await backend.get("g", number)

            assert left is None or is_cancelled, (
                "A deletion that was not cancelled returned, and its record is still there."
            )
            await _outwait(backend)
            assert await backend.get("g", number) == left, (
                "A deletion continued after it was cancelled: the record that was left is not what is there now."
            )
            assert await backend.next_sequence("g") == number + 1, (
                "The sequence of a record that was, or was about to be, deleted stays used: the next one is above it."
            )
            assert await backend.delete("g", number) is (left is not None), (
                "After a cancelled deletion, delete() must say True if the record was still there, and False if not."
            )
            if not deleting.is_reached:
                return
        raise AssertionError(f"delete waits more than {_MOST_WAITS} times")

    async def test_a_save_that_deletes_others_cancelled_at_any_await_removes_nothing_unless_it_is_stored(
        self, backend: CheckpointBackend
    ) -> None:
        await backend.put(make_record("g", 1))
        for number in range(1, _MOST_WAITS):
            record = make_record("g", number + 1)
            saving = CancelledAtAwait(backend.put_and_delete(record, [number]), number=number)
            await saving.end()
            seen = [await backend.get("g", number), await backend.get("g", number + 1)]
            assert any(seen), (
                f"put_and_delete was cancelled at its {number}. await, and neither the record that it saves nor the one that it "
                "removes is there: nothing may be removed unless the record is stored"
            )
            await _outwait(backend)
            now = [await backend.get("g", number), await backend.get("g", number + 1)]
            assert now == seen, f"put_and_delete continued after it was cancelled at its {number}. await"
            if not saving.is_reached:
                return
            if seen[1] is None:
                await backend.put(record)
        raise AssertionError(f"put_and_delete waits more than {_MOST_WAITS} times")

    async def test_deleting_many_cancelled_at_any_await_does_not_go_on(self, backend: CheckpointBackend) -> None:
        for number in range(1, _MOST_WAITS):
            sequences = [number * 3 - 2, number * 3 - 1, number * 3]
            await asyncio.gather(*(backend.put(make_record("g", sequence)) for sequence in sequences))
            deleting = CancelledAtAwait(backend.delete_many("g", sequences), number=number)
            await deleting.end()
            seen = [info.sequence for info in (await backend.list("g")).infos]
            await _outwait(backend)
            now = [info.sequence for info in (await backend.list("g")).infos]
            assert now == seen, (
                f"delete_many was cancelled at its {number}. await but continued nevertheless: {seen} were there, now {now}"
            )
            if not deleting.is_reached:
                assert seen == [], f"delete_many was not cancelled, and left {seen}"
                return
            await backend.delete_many("g", sequences)
        raise AssertionError(f"delete_many waits more than {_MOST_WAITS} times")

    async def test_after_a_cancelled_save_the_next_one_works(self, backend: CheckpointBackend) -> None:
        """A connection that was cut off in the middle of an exchange must not be used for the next."""
        saving = CancelledAtAwait(backend.put(make_record("g", 1)), number=1)
        await saving.end()

        await asyncio.gather(*(backend.put(make_record("h", sequence)) for sequence in range(1, 5)))

        assert [info.sequence for info in (await backend.list("h")).infos] == [1, 2, 3, 4], (
            "A save of graph 'g' was cancelled; four saves of graph 'h' after it have to work."
        )


class CancelledAtAwait:
    """A coroutine whose task is cancelled when it waits for the nth time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, number: int) -> None:
        self.is_reached = False
        """It did wait so often."""
        self._coroutine = coroutine
        self._number = number
        self._task: asyncio.Task[Any] | None = None

    async def end(self) -> bool:
        """Run it to its end; whether it was cancelled.

        :raises Exception: whatever it raised.
        """
        self._task = asyncio.create_task(self._run())
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()
        return self._task.cancelled()

    async def _run(self) -> Any:
        return await self

    def __await__(self) -> Generator[Any, Any, Any]:
        waiting = 0
        awaited = self._coroutine.__await__()
        resume: BaseException | None = None
        while True:
            try:
                waits_for = awaited.send(None) if resume is None else awaited.throw(resume)
            except StopIteration as end:
                return end.value
            waiting += 1
            if waiting == self._number:
                self.is_reached = True
                # Not before the task waits for something: that is what is cancelled then.
                asyncio.get_running_loop().call_soon(self._cancel)
            resume = None
            try:
                yield waits_for
            except BaseException as error:
                resume = error

    def _cancel(self) -> None:
        assert self._task is not None, "The testing kit cancels a task that it has not made."
        self._task.cancel()


def _record(backend: CheckpointBackend, sequence: int) -> Record:
    return make_record("g", sequence, blobs={f"{sequence:012d}-ab-1": b"x" * 10_000} if backend.keeps_blobs else None)


async def _all_or_nothing(backend: CheckpointBackend, record: Record, *, must_be_there: bool) -> Record | None:
    stored = await backend.get("g", record.sequence)
    assert stored in (None, record), "A save was cancelled, and what is stored is neither nothing nor the whole record."
    assert stored == record or not must_be_there, "A save that was not cancelled returned, and its record is not there."
    if stored is not None:
        assert await backend.get_blobs("g", list(record.blobs)) == record.blobs, (
            "A cancelled save left a record without all its large values: they must be durable before the record."
        )
    return stored


async def _check_unchanged(backend: CheckpointBackend, seen: Seen) -> None:
    await _outwait(backend)
    for sequence, stored in seen.items():
        assert await backend.get("g", sequence) == stored, "a save continued behind the back of its cancelled caller"


async def _outwait(backend: CheckpointBackend) -> None:
    """Let a save or a deletion that continues behind its caller's back come to its end: others, begun later, take as long."""
    for _ in range(2):
        await backend.put(make_record("other", await backend.next_sequence("other")))
    for _ in range(_TURNS[-1]):
        await asyncio.sleep(0)
