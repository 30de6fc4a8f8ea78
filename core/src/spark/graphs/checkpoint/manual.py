"""The flow of one checkpoint that is saved by hand: find → encode → put → delete the earlier one → notify."""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

from spark.errors import CheckpointConflictError, SequenceTakenError
from spark.graphs.checkpoint.calls import ATTEMPTS, never_free, wrapped
from spark.graphs.checkpoint.ids import check_graph_id, parse_automatic_id
from spark.graphs.checkpoint.links import link, links_of
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.clock import SYSTEM_RANDOM, random_hex
from spark.graphs.concurrency.blocking import run_blocking


class Notified(Protocol):
    """``Observers``, as far as saving needs them."""

    async def created(self, checkpoint: Any, info: CheckpointInfo, *, store: object) -> None: ...


class Saveable(Protocol):
    """A ``GraphCheckpoint``, as it is saved."""

    checkpoint_id: str
    graph_id: str
    sequence: int | None


class Encoder(Protocol):
    """A ``RecordCodec``, as far as saving needs it."""

    def encode(self, checkpoint: Any, *, sequence: int, manual: bool, nonce: str) -> Record: ...


class RecordStore(Protocol):
    """A ``CheckpointBackend``, as far as saving needs it."""

    @property
    def name(self) -> str: ...

    @property
    def record_codec(self) -> Encoder: ...

    async def find(self, checkpoint_id: str) -> CheckpointInfo | None: ...

    async def next_sequence(self, graph_id: str) -> int: ...

    async def put(self, record: Record) -> None: ...

    async def delete(self, graph_id: str, sequence: int) -> bool: ...


async def save_checkpoint(
    checkpoint: Saveable, backend: RecordStore, *, random: Random = SYSTEM_RANDOM
) -> CheckpointInfo:
    """Store a checkpoint made by hand under its own id; ``GraphCheckpoint.save`` says the rest."""
    check_graph_id(checkpoint.graph_id)
    with wrapped(backend, "looking for checkpoint ", checkpoint.checkpoint_id):
        earlier = await backend.find(checkpoint.checkpoint_id)
    if earlier is not None and earlier.graph_id != checkpoint.graph_id:
        raise CheckpointConflictError(
            f"The checkpoint id {checkpoint.checkpoint_id!r} belongs to graph {earlier.graph_id!r} in this store; saving it for "
            f"graph {checkpoint.graph_id!r} would replace that one. Choose another id, or delete that checkpoint first."
        )
    record = await _put_next(checkpoint, backend, nonce=random_hex(random, size=12))
    if earlier is not None:
        with wrapped(backend, "replacing checkpoint ", checkpoint.checkpoint_id):
            await backend.delete(earlier.graph_id, earlier.sequence)
    checkpoint.sequence = record.header.sequence
    info = record.info()
    observers: Notified | None = links_of(link(checkpoint, store=backend)).observers
    if observers is not None:
        await observers.created(checkpoint, info, store=backend)
    return info


async def _put_next(checkpoint: Saveable, backend: RecordStore, *, nonce: str) -> Record:
    for _ in range(ATTEMPTS):
        with wrapped(backend, "saving checkpoint ", checkpoint.checkpoint_id):
            sequence = max(await backend.next_sequence(checkpoint.graph_id), _own_sequence(checkpoint))
        record = await run_blocking(
            _encoder(checkpoint, backend).encode, checkpoint, sequence=sequence, manual=True, nonce=nonce
        )
        try:
            with wrapped(backend, "saving checkpoint ", checkpoint.checkpoint_id):
                await backend.put(record)
        except SequenceTakenError:
            continue  # somebody else was faster; a checkpoint made by hand has no place to defend
        return record
    raise never_free(backend, checkpoint.graph_id)


def _encoder(checkpoint: Saveable, backend: RecordStore) -> Encoder:
    """What writes the checkpoint: in the store of its graph, what writes the checkpoints of its runs."""
    own: tuple[RecordStore, Encoder] | None = links_of(checkpoint).codec
    return own[1] if own is not None and own[0] is backend else backend.record_codec


def _own_sequence(checkpoint: Saveable) -> int:
    """A checkpoint that a run made keeps its place when it is copied into a store where that place is free."""
    address = parse_automatic_id(checkpoint.checkpoint_id)
    return address[1] if address is not None and address[0] == checkpoint.graph_id else 0
