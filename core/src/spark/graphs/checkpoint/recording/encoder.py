"""How a run encodes its checkpoints: each costs what changed since the one before."""

from __future__ import annotations

from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.concurrency.blocking import run_blocking


class RunEncoder:
    """Encodes the checkpoints of one run, for one backend.

    :param codec: what encodes them, if it is not the backend's own.
    :param writer: begins the nonce of every record, and so tells this run's records and large values from all others.
    """

    def __init__(self, backend: CheckpointBackend, *, writer: str, codec: RecordCodec | None = None) -> None:
        self._codec = codec or backend.record_codec
        self._writer = writer
        self._attempts = 0
        self._cache = EncodingCache(Thresholds(backend.blob_cost) if backend.keeps_blobs else None)
        self._blobs = NewBlobs(writer, backend.record_codec.writing) if backend.keeps_blobs else None

    async def encode(self, checkpoint: GraphCheckpoint, sequence: int) -> Record:
        """The record of a checkpoint, encoded on the event loop if that takes about a millisecond at most, else in a thread.

        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        try:
            return self._encode(checkpoint, sequence, CostBudget(last_cost=self._cache.last_cost))
        except CostExceededError:
            return await run_blocking(self._encode, checkpoint, sequence)

    @property
    def retired(self) -> list[str]:
        """The large values that the last record no longer refers to, though records before it do."""
        return self._cache.retired

    def stored(self) -> None:
        """The last record is durable, and with it the large values that it brought."""
        self._cache.retired.clear()
        if self._blobs is not None:
            self._blobs.unstored.clear()

    def _encode(self, checkpoint: GraphCheckpoint, sequence: int, cost_budget: CostBudget | None = None) -> Record:
        self._attempts += 1
        return self._codec.encode(
            checkpoint,
            sequence=sequence,
            manual=False,
            nonce=f"{self._writer}-{self._attempts}",
            cache=self._cache,
            cost_budget=cost_budget,
            blobs=self._blobs,
        )
