"""The large values of a record, copied for another history, so that neither needs the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from spark.errors import DeserializationError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.editing.base import Base
from spark.graphs.checkpoint.encoding.decoder import raise_damaged
from spark.graphs.checkpoint.records.blobs import BlobRef

_AT_ONCE: Final = 16 * 2**20
"""So many bytes are in memory at a time, or a single value that is larger."""


async def copy_blobs(base: Base, graph_id: str, *, sequence: int) -> None:
    """Copy what a record refers to, some at a time, and have its tree refer to the copies. They are durable when this returns.

    :param graph_id: of the other history.
    :param sequence: of the record in there that will refer to them.
    :raises CheckpointDamagedError: one of them is missing, or not what was written.
    :raises DeserializationError: it is not known what it refers to.
    """
    backend, header = base.backend, base.header
    if not header.references_in_payload:
        raise DeserializationError(
            f"Checkpoint {header.checkpoint_id!r} does not say which large values it needs, so it can't be forked as it is "
            "stored. Load it where its types are known, and save checkpoint.fork(…)."
        )
    for batch in _batches(base.rewriting.rename_blobs(sequence=sequence)):
        with wrapped(backend, "copying large values of checkpoint ", header.checkpoint_id):
            found = await backend.get_blobs(header.graph_id, [ref.name for ref in batch])
            for ref in batch:
                if ref.name not in found or not ref.is_intact(found[ref.name]):
                    raise_damaged(header, f"its large value {ref.name!r} is missing, or not what was written")
            copies = {name: found[ref.name] for ref, name in batch.items()}
            if not await backend.put_blobs(graph_id, copies):
                base.rewriting.bring_along(copies)


def _batches(names: Mapping[BlobRef, str]) -> Iterator[dict[BlobRef, str]]:
    batch: dict[BlobRef, str] = {}
    size = 0
    for ref, name in names.items():
        if batch and size + ref.size > _AT_ONCE:
            yield batch
            batch, size = {}, 0
        batch[ref] = name
        size += ref.size
    if batch:
        yield batch
