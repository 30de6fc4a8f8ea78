"""Where a payload refers to blobs: in its sections, in what is in chunks there, and in values with large buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.records.blobs import BlobRef
from spark.graphs.checkpoint.records.buffers import VALUE, buffered_parts
from spark.graphs.checkpoint.records.chunks import (
    content_of,
    joined,
    older_joined,
    older_parts,
    older_values,
    values_apart,
)
from spark.graphs.checkpoint.records.layout import Layout, layout_of_section

Spot = tuple[dict[str, Any], str]
"""A mapping in a payload's tree in which there may be references and chunks: what holds it, and its name there."""


class Reference(NamedTuple):
    """A reference, and where it stands in a payload's tree."""

    ref: BlobRef
    holder: Any
    """The dict or the list that holds it,"""
    key: str | int
    """under this key, or at this index."""
    is_raw: bool = False
    """It refers to a chunk of buffers, and not to an encoded value."""


def references(spots: Iterable[Spot]) -> list[Reference]:
    """The references in the mappings at these spots of a payload's tree.

    :raises CheckpointDamagedError: one of them is not a reference, or what is meant to be in chunks is not.
    """
    found = [
        reference
        for holder, name in spots
        if type(values := holder.get(name)) is dict
        for reference in _in_section(values)
    ]
    chunks = [reference.ref.name for reference in found if type(reference.key) is int]
    if len(set(chunks)) < len(chunks):
        raise CheckpointDamagedError("it refers to a chunk twice")
    return found


def is_reference(tree: Any) -> bool:
    """Whether this stands for a value that is stored elsewhere, or may refer to such values.

    :raises CheckpointDamagedError: it is meant to be that, and is not.
    """
    return BlobRef.of(tree) is not None or content_of(tree) is not None or buffered_parts(tree) is not None


def layouts(spots: Iterable[Spot], found: Iterable[Reference]) -> dict[str, Layout]:
    """How sections are stored, by their names, before what is in chunks is joined.

    :param found: all references. Each was replaced by what it refers to.
    :raises CheckpointDamagedError: chunks are not valid.
    """
    refs: dict[int, list[BlobRef]] = {}
    for reference in found:
        if type(reference.key) is int:
            refs.setdefault(id(reference.holder), []).append(reference.ref)
    stored = {
        name: layout_of_section(values, lambda holder: refs.get(id(holder), []))
        for holder, name in spots
        if type(values := holder.get(name)) is dict
    }
    return {name: layout for name, layout in stored.items() if layout is not None}


def join_chunks(spots: Iterable[Spot]) -> None:
    """Join whatever is in chunks, once every reference was replaced by what it refers to.

    :raises CheckpointDamagedError: chunks are not valid.
    """
    for holder, name in spots:
        if type(values := holder.get(name)) is not dict:
            continue
        if content_of(values) is not None:
            holder[name] = joined(values)
            continue
        whole = holder[name] = older_joined(values)
        for key, value in whole.items():
            if type(value) is dict and content_of(value) is not None:
                whole[key] = joined(value)


def _in_section(values: dict[str, Any]) -> Iterator[Reference]:
    """The references in a section: in its chunks, or in its values."""
    content = content_of(values)
    if content is not None:
        yield from _in_chunks(content)
        return
    for mapping in _older_mappings(values):
        for key, value in mapping.items():
            if type(value) is dict:
                yield from _at(mapping, key, value)


def _in_chunks(content: dict[str, Any]) -> Iterator[Reference]:
    refs, codecs = content.get("refs", []), content.get("codecs", [])
    if type(codecs) is not list or not {str}.issuperset(map(type, codecs)):
        raise CheckpointDamagedError("the codecs of a chunk are not names")
    for index, each in enumerate(refs):
        yield Reference(BlobRef.of_compact(each, writer=content.get("writer", ""), codecs=tuple(codecs)), refs, index)
    apart = values_apart(content)
    for key, value in apart.items():
        yield from _at(apart, key, value)


def _at(mapping: dict[str, Any], key: str, value: Any) -> Iterator[Reference]:
    """The references in one value of a mapping: itself, those of its chunks, or those to its tree and its buffers."""
    if ref := BlobRef.of(value):
        yield Reference(ref, mapping, key)
    elif (inner := content_of(value)) is not None:
        yield from _in_chunks(inner)
    elif (parts := buffered_parts(value)) is not None:
        content, chunks = parts
        if ref := BlobRef.of(content[VALUE]):
            yield Reference(ref, content, VALUE)
        for number, each in chunks.items():
            if ref := BlobRef.of(each):
                yield Reference(ref, chunks, number, is_raw=True)


def _older_mappings(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What may hold references in a section as older releases stored it: its values, or its parts and those in the payload."""
    parts = older_parts(values)
    if parts is None:
        yield values
        return
    yield parts
    for part in parts.values():
        if BlobRef.of(part) is None:
            yield older_values(part)
