"""The flow of one automatic checkpoint, top to bottom.

the next sequence → encode → what retention gives up → put, and delete that along with it → note what is stored →
notify observers → delete the rest. What is stored of the graph is the business of ``history``, what may be deleted of ``pruner``,
and how a run encodes its checkpoints of ``encoder``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from random import Random
from typing import Any, Protocol

from spark.errors import SequenceTakenError, SparkError
from spark.graphs.checkpoint.calls import ATTEMPTS, failure, never_free
from spark.graphs.checkpoint.derived.notices import lead, stop_leading
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.retention import Retention
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.recording.continuation import Continuation
from spark.graphs.checkpoint.recording.encoder import RunEncoder
from spark.graphs.checkpoint.recording.history import History
from spark.graphs.checkpoint.recording.pruner import Pruner, Surplus
from spark.graphs.checkpoint.recording.superseding import superseded_by
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock, random_hex


class SavingWatch(Protocol):
    """Who watches a run, as its recorder knows them."""

    def save(
        self, capture: Capture, save: Callable[[Capture], Coroutine[Any, Any, CheckpointInfo]]
    ) -> Coroutine[Any, Any, CheckpointInfo]:
        """Save a checkpoint by this function, and do what is to be done around it."""

    def stored(self, capture: Capture, info: CheckpointInfo) -> None:
        """A checkpoint is durable."""


class Recorder:
    """Writes the checkpoints of one run, one after the other, into the history of its graph."""

    def __init__(
        self,
        *,
        graph_id: str,
        backend: CheckpointBackend,
        retention: Retention,
        observers: Observers,
        clock: Clock = SYSTEM_CLOCK,
        random: Random = SYSTEM_RANDOM,
        codec: RecordCodec | None = None,
    ) -> None:
        writer = random_hex(random, size=8)
        self._graph_id = graph_id
        self._backend = backend
        self._observers = observers
        self._encoder = RunEncoder(backend, graph_id=graph_id, writer=writer, codec=codec)
        self.history = History(graph_id, backend, writer=writer, retention=retention)
        """What is stored of the graph, as far as this run knows."""
        self._pruner = Pruner(self.history, backend, retention=retention, observers=observers, writer=writer)
        self.now = clock.utc_now
        """The present, in UTC."""
        self.watch: SavingWatch | None = None
        """Who watches the run; None while nobody does."""

    async def open(self, *, parent: int | None, aside: str = "", next_sequence: int | None = None) -> None:
        """Look at the history before the run adds to it.

        :param parent: the sequence of the checkpoint that the run continues from, if any.
        :param aside: what that one says of other branches.
        :param next_sequence: what the store was to give out next when it was asked what to continue from; None when it was not.
            So whatever is found there now was written by somebody else.
        """
        await self._observers.discover()
        await self.history.open(parent=parent, aside=aside, next_sequence=next_sequence, now=self.now())
        self._pruner.begin()
        lead(self.history)

    def continue_from(self, continuation: Continuation | None) -> None:
        """Refer to what the graph's latest record refers to, and write only what is new, if that is the record to continue.

        :param continuation: of the values that the run begins with.
        """
        if continuation is not None and self.history.continues(continuation.info):
            self._pruner.take_over(self._encoder.continue_from(continuation))

    def left(self) -> Continuation | None:
        """What the next run can continue from, once this one has ended."""
        stop_leading(self.history)
        latest = self.history.latest
        return self._encoder.left(latest) if latest is not None else None

    def record(self, capture: Capture) -> Coroutine[Any, Any, CheckpointInfo]:
        """Make one checkpoint: when this returns, it is durable, and observers have been notified.

        :raises SerializationError: a value can't be saved; nothing was written.
        :raises CheckpointConflictError: somebody else continued this graph.
        :raises BackendError: the storage failed; earlier checkpoints are intact.
        """
        return self._record(capture) if self.watch is None else self.watch.save(capture, self._record)

    async def _record(self, capture: Capture) -> CheckpointInfo:
        try:
            info, parent, surplus = await self._store(capture, self.now())
        except Exception as error:
            await self._observers.failed(self._graph_id, error)
            raise
        heard = self._observers.heard()
        if "spark_checkpoint_created" in heard:
            checkpoint = capture.checkpoint(
                info.checkpoint_id,
                graph_id=info.graph_id,
                timestamp=info.timestamp,
                sequence=info.sequence,
                parent=parent,
            )
            await self._observers.created(checkpoint, info, store=self._backend)
        pruning = self._pruner.prune(surplus, is_heard="spark_checkpoint_deleted" in heard)
        if pruning is not None:
            await pruning
        return info

    async def _store(self, capture: Capture, now: datetime) -> tuple[CheckpointInfo, int | None, Surplus | None]:
        """The line of the checkpoint that is stored, its parent, and what may be deleted.

        :param now: the present.
        """
        backend, history, pruner, encoder = self._backend, self.history, self._pruner, self._encoder
        if history.was_paused(now):
            await history.check_not_forgotten()
        superseded = await superseded_by(capture, history, backend) if capture.is_repeat else None
        for _ in range(ATTEMPTS):
            parent = history.parent
            sequence = history.next_sequence
            record = encoder.deferred(capture, sequence=sequence, parent=parent, timestamp=now)
            if record is None:
                record = await encoder.encode(capture, sequence=sequence, parent=parent, timestamp=now)
            info = record.info()
            surplus = pruner.choose(info, superseded=superseded, retired=encoder.retired)
            try:
                if surplus is not None:
                    surplus.deleted = await backend.put_and_delete(record, surplus.sequences, surplus.blobs)
                else:
                    await backend.put(record)
            except SequenceTakenError as taken:
                if not await history.holds(record):
                    await history.skip_taken(taken)
                    continue
            except SparkError:
                raise
            except Exception as error:
                raise failure(backend, f"saving checkpoint {info.checkpoint_id!r}", error) from error
            history.append(info, at=now)
            if encoder.retired:
                pruner.stored(info, retired=encoder.retired)
            encoder.stored()
            if self.watch is not None:
                self.watch.stored(capture, info)
            return info, parent, surplus
        raise never_free(backend, self._graph_id)

    async def settle(self) -> None:
        """Wait until nothing is being deleted any more.

        :raises Exception: a handler failed, and was to end the run.
        """
        await self._pruner.settle()

    def abort(self) -> None:
        """Stop deleting, without waiting for it."""
        self._pruner.abort()
