"""What one writer does to a store that fails, and what may be there afterwards.

A writer whose call failed can't know what became of it. So each address may hold one of several things, and everything
that the store says later, and holds in the end, must be one of these.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from spark.errors import BackendError, BudgetExceededError, CheckpointConflictError, DeletionError, SequenceTakenError
from spark.graphs import Budget, Task
from spark.graphs.checkpoint import CheckpointBackend, CheckpointHandler, GraphCheckpoint
from spark.graphs.checkpoint.storage import Record
from spark_testing.records import make_record
from tests.crash.stores import complaint_about_graph
from tests.crash.worker_graph import build

T = TypeVar("T")

PATIENCE = 60
"""Seconds within which a call has to end, whatever fails: far more than the bound that the backend is given."""
KEPT = 3


class Complaint(AssertionError):
    """The store did what it must not."""


@dataclass
class Book:
    """What a writer was told about the records of one graph."""

    stored: dict[int, Record] = field(default_factory=dict)
    """Acknowledged, or seen."""
    doubtful: dict[int, list[Record]] = field(default_factory=dict)
    """Saving them failed: there is one of them, or none, and it may yet arrive."""
    fading: dict[int, Record] = field(default_factory=dict)
    """Deleting them failed: they are there, or no longer."""
    deleted: set[int] = field(default_factory=set)
    """Their deletion was acknowledged."""

    @property
    def used(self) -> set[int]:
        """Sequences that must never be given away again."""
        return {*self.stored, *self.fading, *self.deleted}

    def check(self, sequence: int, found: Record | None) -> None:
        """Compare what is at an address with what may be there.

        :raises Complaint: it is something else.
        """
        may_be: list[Record | None] = [None, *self.doubtful.get(sequence, ()), self.fading.get(sequence)]
        if sequence in self.stored:
            may_be = [self.stored[sequence]]
        if found not in may_be:
            raise Complaint(f"sequence {sequence} holds {_shown(found)}, and may hold {[*map(_shown, may_be)]}")
        if found is not None and sequence in self.doubtful:
            del self.doubtful[sequence]  # what a reader saw stays
            self.stored[sequence] = found

    def check_listed(self, sequences: list[int]) -> None:
        """Compare a listing with what may be there.

        :raises Complaint: something is missing, or listed twice, or should not be there.
        """
        missing = self.stored.keys() - set(sequences)
        if missing:
            raise Complaint(f"sequences {sorted(missing)} were acknowledged, and are not listed: {sequences}")
        unknown = set(sequences) - {*self.stored, *self.doubtful, *self.fading}
        if unknown or len(set(sequences)) < len(sequences):
            raise Complaint(
                f"{sequences} are listed; stored are {sorted(self.stored)}, gone are {sorted(self.deleted)}"
            )


class Writer:
    """The only writer of a graph; it stores, reads and deletes records as chance will have it.

    :param backend: works through faults.
    :param pause: what to do where time passes between two calls.
    """

    def __init__(
        self,
        backend: CheckpointBackend,
        graph_id: str,
        chance: random.Random,
        *,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        self._backend = backend
        self._graph_id = graph_id
        self._chance = chance
        self._pause = pause
        self.book = Book()

    async def work(self, calls: int) -> None:
        """Make so many calls.

        :raises Complaint: one of them did what it must not.
        """
        reading = [self._get, self._latest, self._list]
        verbs = [self._put, *reading, self._delete, self._delete_many, self._reuse, self._pause]
        for verb in self._chance.choices(verbs, weights=[8, 1, 1, 1, 2, 2, 1, 3], k=calls):
            await in_time(verb)

    async def try_used(self) -> None:
        """See that none of the last sequences that were deleted can be used, now that nothing fails.

        :raises Complaint: one of them can.
        """
        for sequence in sorted(self.book.deleted)[-3:]:
            await self._refuses(sequence)

    async def _put(self) -> None:
        try:
            sequence = await self._backend.next_sequence(self._graph_id)
        except BackendError:
            return
        if sequence in self.book.used:
            raise Complaint(f"sequence {sequence} was offered again")
        record = self._new_record(sequence)
        try:
            await self._backend.put(record)
        except BackendError:
            self.book.doubtful.setdefault(sequence, []).append(record)
        except SequenceTakenError as error:
            if sequence not in self.book.doubtful:
                raise Complaint(f"the only writer was told that sequence {sequence} is taken") from error
        else:
            self.book.doubtful.pop(sequence, None)
            self.book.stored[sequence] = record

    async def _reuse(self) -> None:
        if not self.book.deleted:
            return
        with suppress(BackendError):
            await self._refuses(self._chance.choice(sorted(self.book.deleted)))

    async def _refuses(self, sequence: int) -> None:
        try:
            await self._backend.put(self._new_record(sequence))
        except SequenceTakenError:
            return
        raise Complaint(f"sequence {sequence} was deleted, and could be used again")

    async def _get(self) -> None:
        if self.book.used:
            sequence = self._chance.choice(sorted(self.book.used))
            found = await refused_or(self._backend.get(self._graph_id, sequence))
            if not isinstance(found, BackendError):
                self.book.check(sequence, found)

    async def _latest(self) -> None:
        latest = await refused_or(self._backend.latest(self._graph_id))
        if isinstance(latest, BackendError):
            return
        least = max(self.book.stored, default=0)
        if least > (latest.sequence if latest else 0):
            raise Complaint(f"sequence {least} was acknowledged, and the latest is said to be {latest}")
        if latest:
            self.book.check_listed([latest.sequence, *(self.book.stored.keys() - {latest.sequence})])

    async def _list(self) -> None:
        listing = await refused_or(self._backend.list(self._graph_id))
        if not isinstance(listing, BackendError):
            self.book.check_listed([info.sequence for info in listing.infos])

    async def _delete(self) -> None:
        if self.book.stored:
            sequence = min(self.book.stored)
            deleted = await refused_or(self._backend.delete(self._graph_id, sequence))
            if deleted is False:
                raise Complaint(
                    f"sequence {sequence} was deleted by its only deleter, who is told that it was not there"
                )
            self._note_deleted([sequence], [] if isinstance(deleted, BackendError) else [sequence])

    async def _delete_many(self) -> None:
        wanted = sorted(self.book.stored)[: self._chance.randrange(1, 4)]
        failed = False
        try:
            deleted = list(await self._backend.delete_many(self._graph_id, wanted))
        except DeletionError as error:
            deleted, failed = list(error.deleted), True
        except BackendError:
            deleted, failed = [], True
        if not failed and sorted(deleted) != wanted:
            raise Complaint(f"of {wanted}, only {deleted} are said to be deleted")
        self._note_deleted(wanted, deleted)

    def _note_deleted(self, wanted: list[int], deleted: list[int]) -> None:
        for sequence in wanted:
            record = self.book.stored.pop(sequence)
            if sequence in deleted:
                self.book.deleted.add(sequence)
            else:
                self.book.fading[sequence] = record

    def _new_record(self, sequence: int) -> Record:
        by_hand = f"{self._graph_id} by hand {sequence}" if self._chance.random() < 0.2 else None
        size = self._chance.choice([10, 500, 5_000, 70_000])
        return make_record(self._graph_id, sequence, payload=b'"%s"' % (b"x" * size), checkpoint_id=by_hand)


async def check_in_the_end(backend: CheckpointBackend, graph_id: str, book: Book) -> None:
    """Compare the store, now that nothing fails and nothing is under way, with the book.

    :raises Complaint: something was lost, doubled, cut, or came back.
    """
    highest = max((*book.used, *book.doubtful), default=0)
    for sequence in range(1, highest + 2):
        book.check(sequence, await backend.get(graph_id, sequence))
    infos = (await backend.list(graph_id)).infos
    book.check_listed([info.sequence for info in infos])
    if await backend.latest(graph_id) != (infos[-1] if infos else None):
        raise Complaint(f"the latest is not the last of {infos}")
    for info in [*(info for info in infos if info.manual), *infos[-1:]]:
        if await backend.find(info.checkpoint_id) != info:
            raise Complaint(f"{info.checkpoint_id!r} is listed and can't be found")
    free = await backend.next_sequence(graph_id)
    if free <= max(book.used, default=0):
        raise Complaint(f"sequence {free} is offered, after {sorted(book.used)} were used")


async def run_graph(
    backend: CheckpointBackend,
    graph_id: str,
    *,
    runs: int,
    steps: int,
    pause: Callable[[], Awaitable[None]],
    step: Callable[[], None],
    clean: CheckpointBackend,
) -> int:
    """Run a graph that checkpoints each step, again and again from where it came; then check its checkpoints.

    Returns how many of them were acknowledged.

    :param pause: what to do between two runs, so that none meets what an earlier one left on its way.
    :param step: called after each checkpoint.
    :param clean: sees the store without faults.
    :raises Complaint: a run was refused, or what it stored is not right.
    """
    acknowledged = Acknowledged(step)
    for number in range(1, runs + 1):
        graph = build(backend, acknowledged, graph_id=graph_id, kept=KEPT)
        task = Task(budget=Budget(max_iterations=number * steps))
        try:
            await in_time(lambda graph=graph, task=task: graph.run(task, resume=True))
        except CheckpointConflictError as error:
            raise Complaint(f"the only run of {graph_id} was refused: {error}") from error
        except (BudgetExceededError, BackendError):
            pass
        await pause()
    complaint = await complaint_about_graph(clean, graph_id, acknowledged.highest, kept=KEPT)
    if complaint:
        raise Complaint(complaint)
    return acknowledged.count


class Acknowledged(CheckpointHandler):
    """Remembers which sequences were acknowledged."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self.highest = 0
        self.count = 0

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self.highest = max(self.highest, checkpoint.sequence or 0)
        self.count += 1
        self._step()


async def in_time(call: Callable[[], Awaitable[T]]) -> T:
    """What a call returns.

    :raises Complaint: it does not come to an end.
    """
    limit = asyncio.timeout(PATIENCE)
    try:
        async with limit:
            return await call()
    except TimeoutError as error:
        if limit.expired():
            raise Complaint(f"a call did not end within {PATIENCE} s") from error
        raise


async def refused_or(answer: Awaitable[T]) -> T | BackendError:
    """An answer, or the failure of the store."""
    try:
        return await answer
    except BackendError as error:
        return error


def _shown(record: Record | None) -> str:
    return f"{record.header.nonce} ({record.header.size} bytes)" if record else "nothing"
