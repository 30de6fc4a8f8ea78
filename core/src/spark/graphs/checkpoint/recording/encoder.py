"""How a run encodes its checkpoints: each costs what changed since the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from spark.errors import SparkError
from spark.graphs.checkpoint.calls import failure
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.checkpoint.recording.continuation import Continuation, Known, LeftByRun
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.records.deferred import DeferredRecord
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.concurrency.blocking import run_blocking


class RunEncoder:
    """Encodes the checkpoints of one run, for one backend.

    Where records stay in this process, they are encoded when somebody reads them. What the run began with is checked before the
    first one, and whatever a step adds when the step sets or returns it.

    :param codec: what encodes them, if it is not the backend's own.
    :param writer: begins the nonce of every record, and so tells this run's records and large values from all others.
    """

    def __init__(
        self, backend: CheckpointBackend, *, graph_id: str, writer: str, codec: RecordCodec | None = None
    ) -> None:
        self._graph_id = graph_id
        self._backend = backend
        self._stores_ahead = True
        """The store can take large values ahead of their record, as far as is known."""
        self._codec = codec or backend.record_codec
        self._defers = backend.keeps_records and self._codec.defers
        self._writer = writer
        self._attempts = 0
        self._is_checked = False
        """Records are encoded when they are read, and whatever the run began with can be saved."""
        keeps_blobs = backend.keeps_blobs and not self._defers
        self._cache = EncodingCache(Thresholds.of_store(backend.blob_cost) if keeps_blobs else None)
        self._blobs = NewBlobs(writer, backend.record_codec.writing) if keeps_blobs else None
        self.retired: list[str] = self._cache.retired
        """The large values that the last record no longer refers to, though records before it do."""
        self._is_stored = False
        """The last record that was encoded is durable."""

    def continue_from(self, continuation: Continuation) -> list[str]:
        """Go on from a record that is stored, before anything is encoded. Returns the large values that are referred to."""
        if self._blobs is None:
            return []
        known = continuation.known(self._codec, Known(self._cache, self._blobs.inflation))
        if known is None:
            return []
        self._cache, self._blobs.inflation = known
        self.retired = self._cache.retired
        return known.cache.names

    def left(self, info: CheckpointInfo) -> LeftByRun | None:
        """What the next run can continue from; None where the last record is not sure to be stored as it is known here.

        :param info: the line of the last record. Nothing is encoded after this.
        """
        if self._blobs is None or not self._is_stored:
            return None
        self._cache.hand_over(self._writer)
        return LeftByRun(info, Known(self._cache, self._blobs.inflation))

    def deferred(self, capture: Capture, *, sequence: int, parent: int | None, timestamp: datetime) -> Record | None:
        """The record of what was captured, to be encoded when somebody reads it; None where ``encode`` has to do it now.

        :param timestamp: when it is made, if the capture does not say.
        """
        made_at = capture.timestamp or timestamp
        if not self._is_checked or made_at.tzinfo is not UTC:
            return None
        self._attempts += 1
        return DeferredRecord(self, capture, self._graph_id, sequence, parent, made_at, self._attempts)

    async def encode(self, capture: Capture, *, sequence: int, parent: int | None, timestamp: datetime) -> Record:
        """The record of what was captured, encoded on the event loop if that takes about a millisecond at most, else in a thread.

        :param timestamp: when it is made, if the capture does not say.
        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        if self._defers and not self._is_checked:
            await self._check(capture.given)
            if record := self.deferred(capture, sequence=sequence, parent=parent, timestamp=timestamp):
                return record
        self._attempts += 1
        self._is_stored = False
        made_at = capture.timestamp or timestamp
        encode = partial(self.encoded, capture.sections, sequence, parent, made_at, self._attempts)
        try:
            return encode(cost_budget=CostBudget(last_cost=self._cache.last_cost))
        except CostExceededError:
            return await self._encode_in_thread(capture.sections, sequence, encode)

    async def _encode_in_thread(
        self, sections: Mapping[str, Any], sequence: int, encode: Callable[[], Record]
    ) -> Record:
        """The record. Where that is much, large values are stored as soon as they are encoded, so that not all are in memory."""
        if self._blobs is None or not self._stores_ahead:
            return await run_blocking(encode)
        ahead = self._codec.encode_ahead(sections, sequence=sequence, cache=self._cache, blobs=self._blobs)
        while (record := await run_blocking(_next_or_record, ahead, encode)) is None:
            if not await self._store_ahead(self._blobs):
                return await run_blocking(encode)
        return record

    async def _store_ahead(self, blobs: NewBlobs) -> bool:
        contents = blobs.ahead()
        try:
            is_stored = await self._backend.put_blobs(self._graph_id, contents)
        except SparkError:
            raise
        except Exception as error:
            raise failure(self._backend, f"saving large values of graph {self._graph_id!r}", error) from error
        if is_stored:
            blobs.stored(contents)
        self._stores_ahead = is_stored
        return is_stored

    async def _check(self, sections: Mapping[str, Any]) -> None:
        """Make sure that whatever the run began with can be saved. What it adds is checked when a step sets or returns it."""
        try:
            self._codec.check_sections(sections, cost_budget=CostBudget(last_cost=0))
        except CostExceededError:
            await run_blocking(self._codec.check_sections, sections)
        self._is_checked = True

    def stored(self) -> None:
        """The last record is durable, and with it the large values that it brought."""
        self._is_stored = True
        self._cache.retired.clear()
        if self._blobs is not None:
            self._blobs.stored([*self._blobs.unstored])

    def encoded(
        self,
        sections: Mapping[str, Any],
        sequence: int,
        parent: int | None,
        timestamp: datetime,
        attempt: int,
        *,
        cost_budget: CostBudget | None = None,
    ) -> Record:
        """The record of what was captured.

        :param attempt: counts what the run has tried to write.
        :raises CostExceededError: there is more to do than the budget allows.
        """
        return self._codec.encode_sections(
            sections,
            checkpoint_id=automatic_id(self._graph_id, sequence),
            graph_id=self._graph_id,
            sequence=sequence,
            parent=parent,
            timestamp=timestamp,
            manual=False,
            nonce=f"{self._writer}-{attempt}",
            cache=None if self._defers else self._cache,
            cost_budget=cost_budget,
            blobs=self._blobs,
        )


def _next_or_record(ahead: Iterator[None], encode: Callable[[], Record]) -> Record | None:
    """The record; None where large values are to be stored before there are more."""
    for _ in ahead:
        return None
    return encode()
