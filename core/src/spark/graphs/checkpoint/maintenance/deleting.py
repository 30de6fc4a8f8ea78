"""Deleting checkpoints, and forgetting whole graphs: what was deleted is known even where the storage fails part-way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from sys import maxsize
from typing import TYPE_CHECKING

from spark.errors import DeletionError, SparkError
from spark.graphs.checkpoint.calls import failure
from spark.graphs.checkpoint.ids import DERIVED_KINDS, check_graph_id
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.history import DerivedHistory


async def delete(
    backend: CheckpointBackend, infos: Sequence[CheckpointInfo], blobs: Sequence[str] = ()
) -> tuple[list[CheckpointInfo], SparkError | None]:
    """Delete checkpoints of one graph. Returns those that were deleted, and what kept the others from it, if anything did.

    :param infos: lines of one graph's listing, at least one.
    :param blobs: large values that only these refer to; they are deleted last.
    """
    graph_id, failed = infos[0].graph_id, None
    deleted: Collection[int] = ()
    try:
        deleted = await backend.delete_many(graph_id, [info.sequence for info in infos])
        if blobs:
            await backend.delete_blobs(graph_id, blobs)
    except Exception as error:
        deleted = _deleted_before(error, deleted)
        failed = _failure(backend, f"deleting {_named(infos)}", error)
    return [info for info in infos if info.sequence in deleted], failed


async def forget(backend: CheckpointBackend, graph_id: str) -> tuple[list[int], SparkError | None]:
    """Remove every trace of a graph. Returns the sequences of the deleted records, and what stopped it, if anything did.

    What stands beside it loses its content first, but not the memory of used sequences: as long as there is a checkpoint, no
    new message gets the sequence of one that the checkpoint says was received.
    """
    try:
        check_graph_id(graph_id)
        await clear_derived(backend, graph_id)
        deleted = await backend.forget(graph_id)
    except Exception as error:
        return [*_deleted_before(error)], _failure(backend, f"forgetting graph {graph_id!r}", error)
    try:
        for history in _derived(backend, graph_id):
            await history.forget()
        return deleted, None
    except Exception as error:
        return deleted, _failure(backend, f"forgetting what was stored beside graph {graph_id!r}", error)


async def clear_derived(backend: CheckpointBackend, graph_id: str) -> None:
    """Delete all that stands beside a graph. The sequences stay used."""
    for history in _derived(backend, graph_id):
        await history.delete(range(maxsize))


def _derived(backend: CheckpointBackend, graph_id: str) -> list[DerivedHistory]:
    from spark.graphs.checkpoint.derived.history import DerivedHistory  # not needed by those who delete nothing

    return [DerivedHistory(backend, kind, graph_id) for kind in DERIVED_KINDS]


def _deleted_before(error: Exception, known: Collection[int] = ()) -> Collection[int]:
    return error.deleted if isinstance(error, DeletionError) else known


def _failure(backend: CheckpointBackend, doing: str, error: Exception) -> SparkError:
    failed = failure(backend, doing, error)
    if failed is not error:
        failed.__cause__ = error
    return failed


def _named(infos: Sequence[CheckpointInfo]) -> str:
    first = f"checkpoint {infos[0].checkpoint_id!r}"
    return first if len(infos) == 1 else f"{first} and {len(infos) - 1} more"
