"""The flow of one automatic checkpoint, top to bottom: capture → encode → put → handlers → retention → delete → handlers."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from spark.errors import (
    CheckpointConflictError,
    CheckpointDamagedError,
    RuleError,
    SequenceTakenError,
    SparkError,
)
from spark.graphs.checkpoint.calls import ATTEMPTS, failure, never_free, wrapped
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.maintenance.loading import check_not_forgotten, delete
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.retention import KeepAll, Retention, are_rising, surplus
from spark.graphs.checkpoint.policies.triggers import Boundary, Trigger, is_due
from spark.graphs.checkpoint.recording.blob_tracker import BlobTracker
from spark.graphs.checkpoint.recording.superseding import superseded_by
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import Listing
from spark.graphs.clock import utc_now
from spark.graphs.concurrency.blocking import run_blocking

_LOG = logging.getLogger("spark.checkpoint")
_PAUSE: Final = timedelta(seconds=10)
"""A writer that saved nothing for so long may have been stopped, and asks whether its history is still there."""


@dataclass(slots=True)
class Capture:
    """A graph at a boundary, by reference to committed values, which never change."""

    graph_state: dict[str, Any]
    node_states: dict[str, dict[str, Any]]
    frontier: dict[str, Any]
    topology: dict[str, Any]
    config: dict[str, Any]
    metadata: dict[str, Any]
    timestamp: datetime | None = None
    """When it was taken, if it is saved later."""
    is_repeat: bool = False
    """The run ends where it began: a checkpoint that was left here the last time it did is superseded."""


@dataclass(slots=True)
class Commit:
    """A checkpoint that is durable, and what retention gives up for it."""

    info: CheckpointInfo
    to_delete: list[CheckpointInfo]
    """What may go now."""
    unreferenced: list[str]
    """Large values that nobody needs when those are gone."""
    deleted: Collection[int]
    """The sequences of those among them that the store removed in the same act."""


class Recorder:
    """Writes the checkpoints of one run, one after the other, into the history of its graph."""

    def __init__(
        self,
        *,
        graph_id: str,
        backend: CheckpointBackend,
        trigger: Trigger | None,
        retention: Retention,
        observers: Observers,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._graph_id = graph_id
        self._backend = backend
        self._trigger = trigger
        self._retention = retention
        self._keeps_all = isinstance(retention, KeepAll)
        self._broken_rule: RuleError | None = None
        self._observers = observers
        self.now = now
        """The present, in UTC."""
        self._writer = secrets.token_hex(8)
        """Begins the nonce of each record of ours."""
        self._attempts = 0
        self._cache = EncodingCache(chunked_from=backend.chunked_from if backend.keeps_blobs else None)
        self._blobs = NewBlobs(self._writer, backend.codec.writing) if backend.keeps_blobs else None
        self._blob_tracker = BlobTracker(self._writer)
        self._kept: list[CheckpointInfo] = []
        """The automatic checkpoints of the graph that retention may still give up, by sequence, as far as this writer knows."""
        self._latest = 0
        """The sequence of the latest automatic one, as far as this writer knows; 0 for none."""
        self._rising = True
        """Whether their timestamps rise with their sequences."""
        self._opened_at = self._next = 1
        self._looked_at = now()
        self._head = 0
        """The history is known up to this sequence. Whatever has a higher one was made by hand, by this run, or by a rival."""
        self._anchor: int | None = None
        """The sequence of the automatic record that this run goes on from. While it leads the history, that stays in place."""
        self._parent: int | None = None
        self.latest: CheckpointInfo | None = None
        """The last checkpoint that this writer has made."""
        self._pruning: asyncio.Task[None] | None = None
        """The deleting that goes on beside the run."""

    async def open(self, *, parent: int | None, next_sequence: int | None = None) -> None:
        """Look at the history before the run adds to it.

        :param parent: the sequence of the checkpoint that the run continues from, if any.
        :param next_sequence: what the store was to give out next when it was asked what to continue from; None when it was not.
            So whatever is found there now was written by somebody else.
        """
        await self._observers.gather()
        with wrapped(self._backend, "opening the history of graph ", self._graph_id):
            # Asked before looking: what is written after this is in the way of the run's first checkpoint.
            self._next = next_sequence or await self._backend.next_sequence(self._graph_id)
            known = [info for info in (await self._backend.list(self._graph_id)).infos if info.sequence < self._next]
        self._kept = [info for info in known if not info.manual]
        self._opened_at, self._head, self._looked_at = self._next, self._next - 1, self.now()
        self._latest = self._kept[-1].sequence if self._kept else 0
        if next_sequence is not None and any(info.sequence == parent for info in self._kept):
            self._anchor = parent
        self._blob_tracker.begin(after=self._latest)
        if self._keeps_all:
            self._kept.clear()
        self._rising = are_rising(self._kept)
        self._parent = parent

    @property
    def latest_sequence(self) -> int | None:
        """The sequence of the latest checkpoint, as far as this writer knows; None when there is none."""
        return self._latest or None

    @property
    def has_saved(self) -> bool:
        """Whether a checkpoint of this run is stored."""
        return self._head >= self._opened_at

    def is_due(self, boundary: Boundary) -> bool:
        """Whether a trigger asks for a checkpoint here; a ``RuleError`` when one raises."""
        return self._trigger is not None and is_due(self._trigger, boundary)

    async def record(self, capture: Capture) -> CheckpointInfo:
        """Make one checkpoint: when this returns, it is durable, and everybody was told.

        :raises SerializationError: a value can't be saved; nothing was written.
        :raises CheckpointConflictError: somebody else continued this graph.
        :raises BackendError: the storage failed; earlier checkpoints are intact.
        """
        now = self.now()
        checkpoint = self._checkpoint_of(capture, now)
        try:
            if now - self._looked_at > _PAUSE:
                await check_not_forgotten(self._backend, self._graph_id, known=self._head)
            self._looked_at = now
            superseded = None
            if capture.is_repeat and self._kept:
                superseded = await superseded_by(checkpoint, self._kept[-1], self._backend)
            commit = await self._commit(checkpoint, superseded=superseded)
        except Exception as error:
            await self._observers.failed(self._graph_id, error)
            raise
        if not self._observers.is_empty_for("spark_checkpoint_created"):
            await self._observers.created(checkpoint, commit.info)
        await self._prune(commit)
        if self._broken_rule is not None:
            broken, self._broken_rule = self._broken_rule, None
            raise broken
        return commit.info

    def _checkpoint_of(self, capture: Capture, now: datetime) -> GraphCheckpoint:
        return GraphCheckpoint(
            checkpoint_id=automatic_id(self._graph_id, self._next),
            graph_id=self._graph_id,
            timestamp=capture.timestamp or now,
            graph_state=capture.graph_state,
            node_states=capture.node_states,
            execution_metadata=capture.metadata,
            config=capture.config,
            topology=capture.topology,
            frontier=capture.frontier,
            sequence=self._next,
            parent=self._parent,
            source=self._backend,
        )

    async def _commit(self, checkpoint: GraphCheckpoint, *, superseded: CheckpointInfo | None) -> Commit:
        for _ in range(ATTEMPTS):
            try:
                record = self._encode(checkpoint, cost_budget=CostBudget(last_cost=self._cache.last_cost))
            except CostExceededError:
                record = await run_blocking(self._encode, checkpoint)
            info = record.info()
            to_delete = self._surplus(info, superseded)
            unreferenced = self._unneeded(to_delete)
            deleted: Collection[int] = ()
            try:
                deleted = await self._store(record, to_delete, unreferenced)
            except SequenceTakenError as taken:
                if not await self._is_stored(record):
                    await self._go_past(checkpoint, taken)
                    continue
            except SparkError:
                raise
            except Exception as error:
                raise failure(self._backend, f"saving checkpoint {checkpoint.checkpoint_id!r}", error) from error
            self._advance(info)
            return Commit(info, to_delete, unreferenced, deleted)
        raise never_free(self._backend, self._graph_id)

    def _advance(self, info: CheckpointInfo) -> None:
        """The record is durable."""
        self.latest = info
        self._head = self._latest = self._anchor = self._parent = self._next
        self._next += 1
        if not self._keeps_all:
            self._count(info)
            self._blob_tracker.stored(self._cache.retired, until=info.sequence)
        self._cache.retired.clear()
        if self._blobs is not None:
            self._blobs.unstored.clear()

    async def _store(
        self, record: Record, to_delete: Sequence[CheckpointInfo], unreferenced: Sequence[str]
    ) -> Collection[int]:
        if to_delete:
            return await self._backend.put_and_delete(record, [info.sequence for info in to_delete], unreferenced)
        await self._backend.put(record)
        return ()

    def _encode(self, checkpoint: GraphCheckpoint, *, cost_budget: CostBudget | None = None) -> Record:
        """The record under the next sequence.

        :raises CostExceededError: a cost budget was given, and what has to be encoded exceeds it.
        """
        if cost_budget is not None and checkpoint.frontier:
            for content in checkpoint.frontier["contents"].values():
                cost_budget.add(content)
            if "result" in checkpoint.frontier:
                cost_budget.add(checkpoint.frontier["result"])
        self._attempts += 1
        return self._backend.codec.encode(
            checkpoint,
            sequence=self._next,
            manual=False,
            nonce=f"{self._writer}-{self._attempts}",
            cache=self._cache,
            cost_budget=cost_budget,
            blobs=self._blobs,
        )

    async def _is_stored(self, record: Record) -> bool:
        """Whether the record that is in the way is this very one, whose acknowledgement was lost."""
        with wrapped(self._backend, f"reading back sequence {record.header.sequence} of graph {self._graph_id!r}"):
            stored = await self._backend.get(self._graph_id, record.header.sequence)
        return stored is not None and stored.header.nonce == record.header.nonce

    async def _go_past(self, checkpoint: GraphCheckpoint, taken: SequenceTakenError) -> None:
        """Move on to the next free sequence, if this writer still leads the history.

        In the way may be a checkpoint made by hand, or one of ours whose saving was cancelled. The automatic checkpoint of
        another writer means that the history is theirs now.
        """
        with wrapped(self._backend, "reading the history of graph ", self._graph_id):
            # Asked before looking: whatever is written after this will be in the way once more, and be looked at then.
            free = await self._backend.next_sequence(self._graph_id)
            listing = await self._backend.list(self._graph_id)
            for damaged in listing.damaged:
                if damaged.sequence is None or damaged.sequence >= self._next:
                    # Whose it is can't be told, so neither can whether this writer still leads.
                    raise CheckpointDamagedError(damaged.reason)
            self._check_anchor(listing, free, taken)
            for info in [info for info in listing.infos if info.sequence > self._head]:
                await self._check_lead(info, taken)
        self._next = free
        checkpoint.parent = self._parent
        checkpoint.checkpoint_id = automatic_id(self._graph_id, self._next)
        checkpoint.sequence = self._next

    def _check_anchor(self, listing: Listing, free: int, taken: SequenceTakenError) -> None:
        """Whether the record that this run goes on from is still there, unless nobody else can have written since.

        Deleting everything by hand while a run is under way takes nothing from it: its next sequence is still free.
        """
        there = [info.sequence for info in listing.infos if not info.manual]
        there += [damaged.sequence or 0 for damaged in listing.damaged]
        ahead = sum(info.sequence > self._head for info in listing.infos)
        if self._anchor is not None and max(there, default=0) < self._anchor and ahead < free - 1 - self._head:
            raise self._overtaken(f"wrote up to sequence {free - 1}, and all of it was deleted since") from taken

    async def _check_lead(self, info: CheckpointInfo, taken: SequenceTakenError) -> None:
        if info.manual:
            return
        record = await self._backend.get(info.graph_id, info.sequence)
        # One that has vanished was deleted by the retention of a writer who has gone further: ours has not seen it yet.
        if record is None or not record.header.nonce.startswith(self._writer):
            raise self._overtaken(
                f"wrote checkpoint {info.checkpoint_id!r} at {info.timestamp:%Y-%m-%d %H:%M:%S} UTC"
            ) from taken
        self._head = self._latest = self._anchor = self._parent = info.sequence
        self._count(info)

    def _count(self, info: CheckpointInfo) -> None:
        """Retention counts this one from now on."""
        self._rising = self._rising and (not self._kept or self._kept[-1].timestamp <= info.timestamp)
        self._kept.append(info)

    def _overtaken(self, how: str) -> CheckpointConflictError:
        return CheckpointConflictError(
            f"This run stopped before checkpoint {self._next} of graph {self._graph_id!r}: another process continued the same "
            f"graph id in the same store, and {how}. Nothing of theirs was overwritten. Run one process per graph id, or give "
            "this run an id of its own."
        )

    def _surplus(self, newest: CheckpointInfo, superseded: CheckpointInfo | None) -> list[CheckpointInfo]:
        """What retention gives up when this one is durable."""
        if self._keeps_all:
            return []
        counted = [*self._kept, newest]
        if superseded is not None:
            counted.remove(superseded)
        try:
            to_delete = surplus(counted, retention=self._retention, now=newest.timestamp, rising=self._rising)
        except RuleError as error:  # the run hears of it when the checkpoint is durable
            self._broken_rule, self._retention = error, KeepAll()
            to_delete = []
        return to_delete if superseded is None else [*to_delete, superseded]

    def _unneeded(self, to_delete: Sequence[CheckpointInfo]) -> list[str]:
        """The large values of this run that nobody needs any more when those are gone."""
        if not to_delete or self._blobs is None or not (self._cache.retired or self._blob_tracker.has_large_values):
            return []
        deleted = {info.sequence for info in to_delete}
        kept = [info.sequence for info in self._kept if info.sequence not in deleted]
        return self._blob_tracker.unreferenced(kept, retired=self._cache.retired, until=self._next)

    async def _prune(self, commit: Commit) -> None:
        """Delete what retention gives up, as far as the store has not done so, and tell of it.

        Where deleting waits for a disk or a network, the run goes on meanwhile: it waits for it before it prunes again, and
        before it ends.
        """
        if self._pruning is not None:
            await self.settle()
        if not commit.to_delete:
            return
        for info in commit.to_delete:
            self._kept.remove(info)
        self._blob_tracker.pruned(commit.to_delete)
        if commit.deleted:
            await self._tell_deleted([info for info in commit.to_delete if info.sequence in commit.deleted])
        left = [info for info in commit.to_delete if info.sequence not in commit.deleted]
        if not left:
            self._blob_tracker.removed(commit.unreferenced)
            if not self._is_collection_due():
                return
        deleting = self._delete(left, commit.unreferenced)
        if self._backend.persistent:
            self._pruning = asyncio.create_task(deleting, name=f"{self._graph_id}/retention")
        else:
            await deleting

    async def settle(self) -> None:
        """Wait until nothing is being deleted any more.

        :raises Exception: a handler failed, and was to end the run.
        """
        if self._pruning is not None:
            pruning, self._pruning = self._pruning, None
            try:
                await asyncio.shield(pruning)
            except asyncio.CancelledError:
                pruning.cancel()
                await asyncio.gather(pruning, return_exceptions=True)
                raise

    def drop(self) -> None:
        """Stop deleting, without waiting for it."""
        if self._pruning is not None:
            self._pruning.cancel()

    async def _delete(self, to_delete: list[CheckpointInfo], unreferenced: list[str]) -> None:
        deleted, failed = await delete(self._backend, to_delete, unreferenced) if to_delete else ([], None)
        if failed:
            _LOG.warning("%s (The run goes on, and tries again after its next checkpoint.)", failed)
            left = [info for info in to_delete if info not in deleted]
            self._kept = sorted([*self._kept, *left], key=lambda info: info.sequence)
        else:
            self._blob_tracker.removed(unreferenced)
            if self._is_collection_due():
                await self._blob_tracker.collect_garbage(self._backend, self._graph_id)
        await self._tell_deleted(deleted)

    def _is_collection_due(self) -> bool:
        return self._backend.keeps_blobs and self._blob_tracker.is_collection_due(self._kept)

    async def _tell_deleted(self, deleted: Sequence[CheckpointInfo]) -> None:
        if not self._observers.is_empty_for("spark_checkpoint_deleted"):
            await self._observers.all_deleted(deleted)
