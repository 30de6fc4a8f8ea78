"""Finding and loading checkpoints: what a backend stores, read by its codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from spark.errors import BackendError, CheckpointDamagedError, CheckpointNotFoundError, GraphDefinitionError
from spark.graphs.checkpoint.calls import ATTEMPTS, not_found, wrapped
from spark.graphs.checkpoint.encoding.decoder import OpenRecord, StoredLayout
from spark.graphs.checkpoint.ids import automatic_id, is_derived
from spark.graphs.checkpoint.links import link
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.checkpoint.records.record import Record
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

Part: TypeAlias = "tuple[str, Collection[str]]"
"""A section, and which of its members."""
_LIGHT: Final = 32_768
"""A record of at most this many bytes is decoded on the event loop, in less than a millisecond; a thread costs as much."""


async def find(backend: CheckpointBackend, checkpoint_id: str) -> CheckpointInfo | None:
    """Where a checkpoint of a graph is, or None."""
    with wrapped(backend, "looking for checkpoint ", checkpoint_id):
        info = await backend.find(checkpoint_id)
    return None if info is None or is_derived(info.graph_id) else info


async def load(
    backend: CheckpointBackend, info: CheckpointInfo, *, raw: bool = False, sections: Collection[str] | None = None
) -> GraphCheckpoint:
    """The whole checkpoint behind a line of a listing; as ``load_at``."""
    id, sequence = info.checkpoint_id, info.sequence
    return await load_at(backend, info.graph_id, sequence, checkpoint_id=id, raw=raw, sections=sections)


async def load_at(
    backend: CheckpointBackend,
    graph_id: str,
    sequence: int,
    *,
    checkpoint_id: str = "",
    raw: bool = False,
    sections: Collection[str] | None = None,
) -> GraphCheckpoint:
    """The checkpoint at an address.

    :param checkpoint_id: what messages call it; by default the id of an automatic one.
    :param raw: without the classes of the program.
    :param sections: raw, and only these; by default, all.
    :raises CheckpointNotFoundError: there is none, or it was deleted meanwhile.
    :raises CheckpointDamagedError: what is stored is not what was written.
    """
    checkpoint_id = checkpoint_id or automatic_id(graph_id, sequence)
    with wrapped(backend, "loading checkpoint ", checkpoint_id):
        record = None if is_derived(graph_id) else await backend.get(graph_id, sequence)
    if record is None:
        raise not_found(checkpoint_id, backend)
    if raw or sections is not None:
        from spark.graphs.checkpoint.inspection.raw import load_raw  # not needed by those who load what they wrote

        return await load_raw(backend, record, sections)
    return await _decoded(backend, record)


def check_sections(names: Collection[str] | None) -> None:
    """Refuse names that no section of a checkpoint has.

    :raises GraphDefinitionError: with the names that there are.
    """
    for name in names or ():
        if name not in SECTIONS:
            raise GraphDefinitionError(
                f"sections={names!r}: a checkpoint has no {name!r}. It has {', '.join(SECTIONS)}."
            )


class Latest(NamedTuple):
    """The latest checkpoint of a graph."""

    checkpoint: GraphCheckpoint
    layout: StoredLayout | None
    """How it is stored, where that was asked for."""


async def read_batch(
    backend: CheckpointBackend, batch: Sequence[CheckpointInfo]
) -> dict[int, Record | CheckpointDamagedError]:
    """The records behind lines of one graph's listing, by sequence, or what is wrong with them. Without those deleted meanwhile.

    :param batch: a group that ``in_batches`` has made.
    """
    with wrapped(backend, "reading checkpoints of graph ", batch[0].graph_id):
        found = await backend.get_many(batch[0].graph_id, [info.sequence for info in batch])
    damaged = {
        each.sequence: CheckpointDamagedError(each.reason) for each in found.damaged if each.sequence is not None
    }
    return {**found.records, **damaged}


async def _decoded(
    backend: CheckpointBackend, record: Record, layout: StoredLayout | None = None, part: Part | None = None
) -> GraphCheckpoint:
    if record.header.raw_size > _LIGHT:
        opened = await run_blocking(_opened, backend.record_codec, record, layout, part)
    else:
        opened = _opened(backend.record_codec, record, layout, part)
    return link(await completed(backend, opened, layout) if isinstance(opened, OpenRecord) else opened, store=backend)


def _opened(
    codec: RecordCodec, record: Record, layout: StoredLayout | None, part: Part | None
) -> OpenRecord | GraphCheckpoint:
    """The checkpoint itself where the record is all there is to it."""
    opened = codec.open(record)
    if part is not None:
        opened = opened.narrowed(*part)
    return opened if opened.references else codec.read(opened, {}, layout)


async def completed(
    backend: CheckpointBackend, opened: OpenRecord, layout: StoredLayout | None = None
) -> GraphCheckpoint:
    """The checkpoint that a record and the large values that it refers to were made from.

    :param layout: gets how it is stored.
    :raises CheckpointNotFoundError: it was deleted meanwhile.
    :raises CheckpointDamagedError: what is stored is not what was written.
    """
    header, names = opened.header, opened.blob_names()
    with wrapped(backend, "loading checkpoint ", header.checkpoint_id):
        blobs = await backend.get_blobs(header.graph_id, names) if names else {}
        # Retention may have removed the record, and after it what it refers to, since it was read.
        if len(blobs) < len(names) and await backend.get(header.graph_id, header.sequence) is None:
            raise not_found(header.checkpoint_id, backend)
    return await run_blocking(backend.record_codec.read, opened, blobs, layout)


async def load_latest(backend: CheckpointBackend, graph_id: str, part: Part | None = None) -> GraphCheckpoint | None:
    """The latest checkpoint of a graph, or None when it has none.

    :param part: of what to read only some members: a section, and their names. The types in all else need not be known.
    """
    latest = await _latest(backend, graph_id, lambda record: None, part)
    return latest.checkpoint if latest is not None else None


async def load_to_continue(backend: CheckpointBackend, graph_id: str) -> Latest | None:
    """The latest checkpoint of a graph and how it is stored, or None when it has none."""

    def new_layout(record: Record) -> StoredLayout | None:
        return StoredLayout(record) if backend.keeps_blobs else None

    return await _latest(backend, graph_id, new_layout)


async def _latest(
    backend: CheckpointBackend,
    graph_id: str,
    new_layout: Callable[[Record], StoredLayout | None],
    part: Part | None = None,
) -> Latest | None:
    for _ in range(ATTEMPTS):
        with wrapped(backend, "looking for the latest checkpoint of graph ", graph_id):
            record = await backend.get_latest(graph_id)
        if record is None:
            return None
        try:
            layout = new_layout(record)
            return Latest(await _decoded(backend, record, layout, part), layout)
        except CheckpointNotFoundError:
            continue  # deleted before its large values were read, so there is a newer one or none
    raise BackendError(
        f"The {backend.name} backend gives records of graph {graph_id!r} whose large values are missing."
    )
