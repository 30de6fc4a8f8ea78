"""Saving by hand, and loading: a codec and a backend put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spark.errors import (
    BackendError,
    CheckpointNotFoundError,
    DeletionError,
    SparkError,
)
from spark.graphs.checkpoint.calls import ATTEMPTS, failure, not_found, wrapped
from spark.graphs.checkpoint.encoding.codec import OpenRecord
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spark.graphs.checkpoint.encoding.codec import Codec
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.checkpoint.records.record import Record
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

_LIGHT: Final = 32_768
"""A record of at most so many bytes is decoded on the event loop, in less than a millisecond; a thread costs as much."""


async def find(backend: CheckpointBackend, checkpoint_id: str) -> CheckpointInfo | None:
    """Where a checkpoint is, or None."""
    with wrapped(backend, "looking for checkpoint ", checkpoint_id):
        return await backend.find(checkpoint_id)


async def load(backend: CheckpointBackend, info: CheckpointInfo) -> GraphCheckpoint:
    """The whole checkpoint behind a line of a listing.

    :raises CheckpointNotFoundError: it was deleted meanwhile.
    :raises CheckpointDamagedError: what is stored is not what was written.
    """
    with wrapped(backend, "loading checkpoint ", info.checkpoint_id):
        record = await backend.get(info.graph_id, info.sequence)
    if record is None:
        raise not_found(info.checkpoint_id, backend)
    return await _decoded(backend, record)


async def _decoded(backend: CheckpointBackend, record: Record) -> GraphCheckpoint:
    if record.header.raw_size > _LIGHT:
        opened = await run_blocking(_opened, backend.codec, record)
    else:
        opened = _opened(backend.codec, record)
    checkpoint = await completed(backend, opened) if isinstance(opened, OpenRecord) else opened
    return replace(checkpoint, sequence=record.header.sequence, source=backend)


def _opened(codec: Codec, record: Record) -> OpenRecord | GraphCheckpoint:
    """The checkpoint itself where the record is all there is to it."""
    opened = codec.open(record)
    return opened if opened.references else codec.read(opened, {})


async def completed(backend: CheckpointBackend, opened: OpenRecord) -> GraphCheckpoint:
    """The checkpoint that a record and the large values that it refers to were made from.

    :raises CheckpointNotFoundError: it was deleted meanwhile.
    :raises CheckpointDamagedError: what is stored is not what was written.
    """
    header, names = opened.header, opened.blob_names()
    with wrapped(backend, "loading checkpoint ", header.checkpoint_id):
        blobs = await backend.get_blobs(header.graph_id, names) if names else {}
        # Retention may have removed the record, and after it what it refers to, since it was read.
        if len(blobs) < len(names) and await backend.get(header.graph_id, header.sequence) is None:
            raise not_found(header.checkpoint_id, backend)
    return await run_blocking(backend.codec.read, opened, blobs)


async def load_latest(backend: CheckpointBackend, graph_id: str) -> GraphCheckpoint | None:
    """The latest checkpoint of a graph, or None when it has none."""
    for _ in range(ATTEMPTS):
        with wrapped(backend, "looking for the latest checkpoint of graph ", graph_id):
            record = await backend.get_latest(graph_id)
        if record is None:
            return None
        try:
            return await _decoded(backend, record)
        except CheckpointNotFoundError:
            continue  # deleted before its large values were read, so there is a newer one or none
    raise BackendError(
        f"The {backend.name} backend gives records of graph {graph_id!r} whose large values are not there."
    )


async def delete(
    backend: CheckpointBackend, infos: Sequence[CheckpointInfo], blobs: Sequence[str] = ()
) -> tuple[list[CheckpointInfo], SparkError | None]:
    """Delete checkpoints of one graph: those that are gone by this call, and what kept the others from it, if anything did.

    :param infos: lines of one graph's listing, at least one.
    :param blobs: large values that nobody needs when all of those are gone; they go last.
    """
    failed, deleted = None, []
    try:
        deleted = await backend.delete_many(infos[0].graph_id, [info.sequence for info in infos])
        if blobs:
            await backend.delete_blobs(infos[0].graph_id, blobs)
    except Exception as error:
        deleted = error.deleted if isinstance(error, DeletionError) else deleted
        failed = failure(backend, f"deleting {_named(infos)}", error)
        failed.__cause__ = None if failed is error else error
    return [info for info in infos if info.sequence in deleted], failed


async def forget(backend: CheckpointBackend, graph_id: str) -> tuple[list[int], SparkError | None]:
    """Remove every trace of a graph: the sequences of the records that are gone by this, and what stopped it, if anything did."""
    try:
        return await backend.forget(graph_id), None
    except Exception as error:
        failed = failure(backend, f"forgetting graph {graph_id!r}", error)
        failed.__cause__ = failed.__cause__ if failed is error else error
        return [*error.deleted] if isinstance(error, DeletionError) else [], failed


def _named(infos: Sequence[CheckpointInfo]) -> str:
    first = f"checkpoint {infos[0].checkpoint_id!r}"
    return first if len(infos) == 1 else f"{first} and {len(infos) - 1} more"
