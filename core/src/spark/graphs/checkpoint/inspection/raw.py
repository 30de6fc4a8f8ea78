"""Loading a checkpoint without the classes of the program, and in spite of damage to parts of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from spark.errors import CheckpointDamagedError, DeserializationError, InvalidIdError
from spark.graphs.checkpoint.calls import not_found, wrapped
from spark.graphs.checkpoint.encoding.decoder import HEADER_FACTS, facts_in, raise_damaged
from spark.graphs.checkpoint.inspection.stored_tree import LargeValues, StoredTree
from spark.graphs.checkpoint.links import link
from spark.graphs.checkpoint.model import SECTIONS, GraphCheckpoint
from spark.graphs.checkpoint.serialization.raw_object import RawObject
from spark.graphs.checkpoint.serialization.raw_reader import RawReader
from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.values.paths import key_step

if TYPE_CHECKING:
    from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
    from spark.graphs.checkpoint.records.limits import ReadLimits
    from spark.graphs.checkpoint.records.record import Record
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend


async def load_raw(
    backend: CheckpointBackend, record: Record, sections: Collection[str] | None = None
) -> GraphCheckpoint:
    """The checkpoint that a record was made from, raw. What of it can't be read is in its ``damaged``.

    :param sections: those that are read, by default all; the others are empty. Where large values of one of these are missing,
        ``damaged`` says so.
    :raises CheckpointDamagedError: the record itself is not what was written.
    :raises DeserializationError: its format, or a codec, can't be used here.
    """
    if sections is None:
        _, checkpoint = await open_whole(backend, record)
        return link(checkpoint, store=backend)
    stored = await open_tree(backend, record)
    names = [name for section in sections for name in stored.missing_in(section)]
    await read_blobs(backend, stored, [*dict.fromkeys(names)])
    await _look_for_others(backend, stored, sections)
    checkpoint = await run_blocking(_checkpoint, stored, backend.record_codec.limits, sections)
    return link(checkpoint, store=backend)


async def _look_for_others(backend: CheckpointBackend, stored: StoredTree, sections: Collection[str]) -> None:
    """Note which of the other sections lack a large value. They are not read, so other damage is not noticed."""
    needed = {
        section: names for section in SECTIONS if section not in sections and (names := stored.missing_in(section))
    }
    if not needed:
        return
    header = stored.opened.header
    with wrapped(backend, "looking for the large values of checkpoint ", header.checkpoint_id):
        there = {*await backend.blob_names(header.graph_id)}
    for section, names in needed.items():
        absent = [name for name in names if name not in there]
        if absent:
            stored.damaged[section] = (
                f"Of its large values {len(absent):,} of {len(names):,} are missing, such as {absent[0]!r}."
            )


async def open_whole(backend: CheckpointBackend, record: Record) -> tuple[StoredTree, GraphCheckpoint]:
    """A record's tree with all its large values, and the checkpoint as ``load_raw`` returns it."""
    stored = await open_tree(backend, record)
    await read_blobs(backend, stored, stored.missing())
    return stored, await run_blocking(_checkpoint, stored, backend.record_codec.limits)


async def open_tree(backend: CheckpointBackend, record: Record, large: LargeValues | None = None) -> StoredTree:
    """A record's tree, of which no large value has been read."""
    return await run_blocking(opened_tree, backend.record_codec, record, large)


def opened_tree(codec: RecordCodec, record: Record, large: LargeValues | None) -> StoredTree:
    """The same, in this thread."""
    opened = codec.open_to_look(record)
    try:
        return StoredTree(opened, large)
    except CheckpointDamagedError as error:
        raise_damaged(record.header, str(error), cause=error)


async def read_blobs(backend: CheckpointBackend, stored: StoredTree, names: list[str]) -> None:
    """Read large values of a record, as far as they are there.

    :raises CheckpointNotFoundError: they are not, and the record was deleted meanwhile.
    """
    header = stored.opened.header
    if not names:
        return
    with wrapped(backend, "loading checkpoint ", header.checkpoint_id):
        found = await backend.get_blobs(header.graph_id, names)
        if len(found) < len(names) and await backend.get(header.graph_id, header.sequence) is None:
            raise not_found(header.checkpoint_id, backend)
    stored.large.blobs |= found


def _checkpoint(stored: StoredTree, limits: ReadLimits, sections: Collection[str] = SECTIONS) -> GraphCheckpoint:
    reader, header = RawReader(limits=limits), stored.opened.header
    content = {name: read_section(stored, name, reader) if name in sections else _empty(name) for name in SECTIONS}
    try:
        facts = facts_in(stored.opened, reader)
        known = {name: getattr(header, name) for name in HEADER_FACTS}
        return GraphCheckpoint(**known | content | facts, is_raw=True, damaged=stored.damaged)
    except (CheckpointDamagedError, InvalidIdError) as error:
        raise_damaged(header, str(error), cause=error)


def read_section(stored: StoredTree, name: str, reader: RawReader) -> Any:
    """A section, raw; of one that can't be read, what can be."""
    tree, section = stored.section(name), SECTIONS[name]
    if tree is None and section.takes(None):
        return None
    if stored.opened.is_plain and type(tree) is dict:
        return tree
    try:
        return reader.mapping(tree, name)
    except (CheckpointDamagedError, DeserializationError) as error:
        if type(tree) is not dict or len(tree) == 1:
            stored.damaged[name] = str(error)
            return {}
    return {key: _read_value(stored, value, name + key_step(key), reader) for key, value in tree.items()}


def _empty(name: str) -> Any:
    return None if SECTIONS[name].takes(None) else {}


def _read_value(stored: StoredTree, tree: Any, path: str, reader: RawReader) -> Any:
    try:
        return reader.value(tree, path)
    except (CheckpointDamagedError, DeserializationError) as error:
        stored.damaged[path] = str(error)
        return RawObject("damaged", str(error))
