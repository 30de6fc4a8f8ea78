"""What retention gives up of a graph's checkpoints, and how it is deleted: along with a new one, or beside the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Sequence

from spark.errors import RuleError
from spark.graphs.checkpoint.maintenance.deleting import delete
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.retention import KeepAll, Retention, oldest_surplus
from spark.graphs.checkpoint.policies.retention import surplus as surplus_of
from spark.graphs.checkpoint.recording.blob_tracker import BlobTracker
from spark.graphs.checkpoint.recording.history import SEQUENCE, History
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.concurrency.uncancellable import wait_uncancellable

_LOG = logging.getLogger("spark.checkpoint")


class Surplus:
    """What may be deleted once a new checkpoint is durable."""

    __slots__ = ("blobs", "checkpoints", "deleted", "sequences")

    def __init__(self, checkpoints: list[CheckpointInfo], blobs: list[str]) -> None:
        self.checkpoints: list[CheckpointInfo] = checkpoints
        self.sequences: list[int] = [*map(SEQUENCE, checkpoints)]
        """Those of the checkpoints."""
        self.blobs: list[str] = blobs
        """Large values that only these refer to."""
        self.deleted: Collection[int] = ()
        """The sequences of those that the store deleted when it stored the new one."""


class Pruner:
    """Deletes for one run what retention gives up, and the large values that nothing refers to then."""

    def __init__(
        self, history: History, backend: CheckpointBackend, *, retention: Retention, observers: Observers, writer: str
    ) -> None:
        self._history = history
        self._backend = backend
        self._retention = retention
        self._observers = observers
        self._blob_tracker = BlobTracker(writer)
        self._broken_rule: RuleError | None = None
        """Raised by the retention, and not by the run yet: first the checkpoint has to be durable."""
        self._deleting: asyncio.Task[None] | None = None
        """What is being deleted beside the run."""

    def begin(self) -> None:
        """The run begins to add to the history."""
        self._blob_tracker.begin(after=self._history.latest_sequence)

    def take_over(self, blobs: Collection[str]) -> None:
        """The run refers to these large values of earlier ones, and keeps track of them from now on."""
        self._blob_tracker.take_over(blobs)

    def choose(
        self, newest: CheckpointInfo, *, superseded: CheckpointInfo | None, retired: Sequence[str]
    ) -> Surplus | None:
        """What may be deleted once a checkpoint is durable; None for nothing.

        :param superseded: the checkpoint whose place it takes, if there is one.
        :param retired: large values that it no longer refers to.
        """
        if not self._history.remembers:
            return None
        try:
            checkpoints = self._given_up(newest, superseded)
        except RuleError as error:
            self._broken_rule, self._retention = error, KeepAll()
            checkpoints = []
        if superseded is not None:
            checkpoints.append(superseded)
        if not checkpoints:
            return None
        if not (retired or self._blob_tracker.spans):
            return Surplus(checkpoints, [])
        return Surplus(checkpoints, self._unreferenced_without(checkpoints, newest, retired))

    def stored(self, newest: CheckpointInfo, *, retired: Sequence[str]) -> None:
        """That checkpoint is durable."""
        if self._history.remembers:
            self._blob_tracker.stored(retired, until=newest.sequence)

    def prune(self, surplus: Surplus | None, *, is_heard: bool) -> Awaitable[None] | None:
        """Note that a new checkpoint is durable, so that this may be deleted.

        Returns what deletes the part that the store has not deleted along with it, and notifies observers; None where nothing
        is left to do.

        :param is_heard: somebody is notified of what is deleted.
        """
        is_gone = True
        if surplus is not None:
            self._history.remove(surplus.checkpoints)
            self._blob_tracker.pruned(surplus.checkpoints)
            is_gone = not (is_heard or surplus.blobs) and len(surplus.deleted) == len(surplus.checkpoints)
            is_gone = is_gone and not self._is_collection_due()
        if is_gone and self._deleting is None and self._broken_rule is None:
            return None
        return self._prune(surplus)

    async def _prune(self, surplus: Surplus | None) -> None:
        """Delete the rest.

        Where deleting waits for a disk or a network, the run continues meanwhile: it waits before it prunes again, and before
        it ends.

        :raises RuleError: the retention rule raised. Nothing was deleted.
        """
        if self._deleting is not None:
            await self.settle()
        if surplus is not None:
            left = await self._tell_deleted(surplus) if surplus.deleted else surplus.checkpoints
            if not (left or self._is_collection_due()):
                self._blob_tracker.deleted(surplus.blobs)
            elif self._backend.persistent:
                deleting = self._delete(left, surplus.blobs)
                self._deleting = asyncio.create_task(deleting, name=f"{self._history.graph_id}/retention")
            else:
                await self._delete(left, surplus.blobs)
        if self._broken_rule is not None:
            broken, self._broken_rule = self._broken_rule, None
            raise broken

    async def settle(self) -> None:
        """Wait until nothing is being deleted any more.

        :raises Exception: a handler failed, and was to end the run.
        """
        if self._deleting is not None:
            deleting, self._deleting = self._deleting, None
            await wait_uncancellable(deleting, on_cancel=deleting.cancel)

    def abort(self) -> None:
        """Stop deleting, without waiting for it."""
        if self._deleting is not None:
            self._deleting.cancel()

    def _given_up(self, newest: CheckpointInfo, superseded: CheckpointInfo | None) -> list[CheckpointInfo]:
        history, retention = self._history, self._retention
        earlier = history.checkpoints
        if superseded is not None:
            earlier = [info for info in earlier if info != superseded]
        if history.is_rising and retention.keeps_younger:
            return oldest_surplus(earlier, retention=retention, now=newest.timestamp)
        return surplus_of([*earlier, newest], retention=retention, now=newest.timestamp)

    def _unreferenced_without(
        self, checkpoints: Sequence[CheckpointInfo], newest: CheckpointInfo, retired: Sequence[str]
    ) -> list[str]:
        to_delete = {info.sequence for info in checkpoints}
        history = self._history
        stored = (
            sorted([*history.checkpoints, *history.others], key=SEQUENCE) if history.others else history.checkpoints
        )
        kept = [info.sequence for info in stored if info.sequence not in to_delete]
        return self._blob_tracker.unreferenced(kept, retired=retired, until=newest.sequence)

    async def _tell_deleted(self, surplus: Surplus) -> list[CheckpointInfo]:
        """Notify observers of what the store has deleted; what it has not is left."""
        deleted, left = surplus.checkpoints, list[CheckpointInfo]()
        if len(surplus.deleted) < len(deleted):
            left = [info for info in deleted if info.sequence not in surplus.deleted]
            deleted = [info for info in deleted if info.sequence in surplus.deleted]
        if "spark_checkpoint_deleted" in self._observers.heard():
            await self._observers.deleted(deleted)
        return left

    async def _delete(self, checkpoints: list[CheckpointInfo], blobs: list[str]) -> None:
        deleted, failed = await delete(self._backend, checkpoints, blobs) if checkpoints else ([], None)
        if failed:
            _LOG.warning("%s (The run continues, and tries again after its next checkpoint.)", failed)
            self._history.restore([info for info in checkpoints if info not in deleted])
        else:
            self._blob_tracker.deleted(blobs)
            if self._is_collection_due():
                await self._blob_tracker.collect_garbage(self._backend, self._history.graph_id)
        if "spark_checkpoint_deleted" in self._observers.heard():
            await self._observers.deleted(deleted)

    def _is_collection_due(self) -> bool:
        return self._backend.keeps_blobs and self._blob_tracker.is_collection_due(self._history.checkpoints)
