"""A history beside that of a graph, under a derived id: what was added comes back in order, and exactly once.

It is made of what every backend promises: records, and a ``put`` that takes each sequence once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final

from spark.errors import CheckpointDamagedError, SequenceTakenError
from spark.graphs.checkpoint.calls import ATTEMPTS, never_free, wrapped
from spark.graphs.checkpoint.ids import automatic_id, derived_id
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock, random_hex
from spark.graphs.concurrency.blocking import run_blocking

_BATCH: Final = 64
"""Records that are read at once."""


@dataclass(frozen=True, slots=True)
class Added:
    """One thing that was added to such a history."""

    sequence: int
    timestamp: datetime
    values: Mapping[str, Any]
    """The content, in any types that a checkpoint may hold."""
    metadata: Mapping[str, Any]
    """What of it the record's header has, too, as far as it is short scalars; and under ``graph_id``, the graph."""


class DerivedHistory:
    """One of the histories beside that of a graph.

    :param kind: which of them: one of ``DERIVED_KINDS``.
    """

    def __init__(
        self,
        backend: CheckpointBackend,
        kind: str,
        graph_id: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
        random: Random = SYSTEM_RANDOM,
    ) -> None:
        self.backend: CheckpointBackend = backend
        self.graph_id: str = graph_id
        """The graph beside whose history it is."""
        self.id: str = derived_id(kind, graph_id)
        """What the backend knows it by."""
        self._doing = f"the {kind} of graph {graph_id!r}"
        self._clock = clock
        self._random = random

    async def append(
        self, values: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *, at: int | None = None
    ) -> Added:
        """Add something to the end: when this returns, it is durable.

        :param metadata: what listings and ``latest_headers`` are to show of it.
        :param at: only at this sequence, which is to be the next; None takes the next one, whoever else adds something.
        :raises SequenceTakenError: somebody else was faster, and took it.
        :raises SerializationError: a value can't be saved; nothing was written.
        :raises BackendError: the storage failed; it may have been added.
        """
        checkpoint = self._checkpoint(values, metadata or {})
        nonce = random_hex(self._random, size=12)
        for _ in range(ATTEMPTS):
            sequence = await self.next_sequence() if at is None else at
            checkpoint.checkpoint_id = automatic_id(self.id, sequence)
            encode = self.backend.record_codec.encode
            record = await run_blocking(encode, checkpoint, sequence=sequence, manual=False, nonce=nonce)
            if await self._put(record, is_only_try=at is not None):
                return _added(checkpoint, sequence)
        raise never_free(self.backend, self.id)

    async def next_sequence(self) -> int:
        """The lowest sequence above every one that was used: as long as it is the same, nothing was added."""
        with wrapped(self.backend, f"looking at {self._doing}"):
            return await self.backend.next_sequence(self.id)

    async def read(self, *, after: int = 0, until: int | None = None) -> list[Added]:
        """What was added after a sequence and is still there, in order.

        :param until: before this sequence, if that is known already; None looks for the end.
        :raises CheckpointDamagedError: something there can't be read.
        """
        end = await self.next_sequence() if until is None else until
        batches = (range(start, min(start + _BATCH, end)) for start in range(after + 1, end, _BATCH))
        return [added for batch in batches for added in await self.get(batch)]

    async def get(self, sequences: Collection[int]) -> list[Added]:
        """What has these sequences and is still there, in order.

        :raises CheckpointDamagedError: something there can't be read.
        """
        wanted = sequences if isinstance(sequences, range) else sorted(sequences)
        with wrapped(self.backend, f"reading {self._doing}"):
            found = await self.backend.get_many(self.id, wanted)
        for damaged in found.damaged:
            raise CheckpointDamagedError(damaged.reason)
        return [await self._decoded(record) for record in found.records.values()]

    async def latest(self) -> Added | None:
        """What was added last, if that is still there.

        :raises CheckpointDamagedError: it can't be read.
        """
        with wrapped(self.backend, f"reading {self._doing}"):
            record = await self.backend.get_latest(self.id)
        return None if record is None else await self._decoded(record)

    async def sequences(self) -> list[int]:
        """The sequences of all that is there, even of what is damaged, rising."""
        with wrapped(self.backend, f"listing {self._doing}"):
            return (await self.backend.list(self.id)).sequences()

    async def delete(self, sequences: Collection[int]) -> None:
        """Delete what has these sequences, as far as it is there. They stay used.

        :param sequences: a ``range``, for all up to one: ``range(sequence + 1)``.
        """
        wanted = sequences if isinstance(sequences, range) else {*sequences}
        there = [sequence for sequence in await self.sequences() if sequence in wanted]
        if there:
            with wrapped(self.backend, f"deleting from {self._doing}"):
                await self.backend.delete_many(self.id, there)

    async def forget(self) -> None:
        """Remove every trace of it."""
        with wrapped(self.backend, f"forgetting {self._doing}"):
            await self.backend.forget(self.id)

    def _checkpoint(self, values: Mapping[str, Any], metadata: Mapping[str, Any]) -> GraphCheckpoint:
        return GraphCheckpoint(
            checkpoint_id="new",
            graph_id=self.id,
            timestamp=self._clock.utc_now(),
            graph_state=dict(values),
            execution_metadata={**metadata, "graph_id": self.graph_id},
        )

    async def _put(self, record: Record, *, is_only_try: bool) -> bool:
        """Whether this record is stored, and its sequence was not taken by another one."""
        try:
            with wrapped(self.backend, f"adding to {self._doing}"):
                await self.backend.put(record)
        except SequenceTakenError:
            with wrapped(self.backend, f"reading {self._doing}"):
                there = await self.backend.get(self.id, record.sequence)
            # It may be this very one, whose acknowledgement was lost.
            if there is not None and there.header.nonce == record.header.nonce:
                return True
            if is_only_try:
                raise
            return False
        return True

    async def _decoded(self, record: Record) -> Added:
        return _added(await run_blocking(self.backend.record_codec.decode, record), record.sequence)


def _added(checkpoint: GraphCheckpoint, sequence: int) -> Added:
    return Added(sequence, checkpoint.timestamp, checkpoint.graph_state, checkpoint.execution_metadata)
