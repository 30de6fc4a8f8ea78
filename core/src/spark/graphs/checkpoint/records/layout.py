"""How the mappings and lists of a record are stored: which of their items are in which chunk, and which in the record.

A run that continues a record starts with this, and so has to write only what changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from spark.graphs.checkpoint.records.blobs import BlobRef
from spark.graphs.checkpoint.records.chunks import content_of, older_parts, parts_of

Place: TypeAlias = "int | float"
RefsOf: TypeAlias = Callable[[list[Any]], list[BlobRef]]
"""The references that stood in a list, whose places have been taken by what they refer to."""


class Part(NamedTuple):
    """What one part of a mapping or a list says: a chunk, or what is in the record."""

    keys: dict[Any, Place]
    """Key to place. The keys of a list are places themselves."""
    removed: list[Any]
    """The keys that were removed since the parts before it."""


class Layout(NamedTuple):
    """How one mapping or list is stored."""

    is_list: bool
    chunks: list[tuple[BlobRef, Part]]
    """Oldest first."""
    tail: Part
    """What is in the record, in the order of its places."""
    nested: dict[str, Layout]
    """Those of its items in the tail that are stored item by item themselves."""
    rent: int
    """How many bytes of the tail were written again since it was last emptied."""

    def refs(self) -> list[BlobRef]:
        """All chunks, those of what is nested among them."""
        own = [ref for ref, _ in self.chunks]
        return [*own, *(ref for each in self.nested.values() for ref in each.refs())]


def layout_of_section(values: Mapping[str, Any], refs_of: RefsOf) -> Layout | None:
    """How a section is stored, or None where that is as older releases did.

    :param values: its tree, in which chunks are in the places of the references to them.
    :raises CheckpointDamagedError: chunks are not valid.
    """
    layout = layout_of(values, refs_of)
    if layout is None and older_parts(dict(values)) is None:
        nested = _nested(values, refs_of)
        layout = Layout(False, [], Part({key: place for place, key in enumerate(values)}, []), nested, 0)
    return layout


def layout_of(tree: Any, refs_of: RefsOf) -> Layout | None:
    """How a mapping or a list is stored, if it is stored item by item.

    :raises CheckpointDamagedError: chunks are not valid.
    """
    content = content_of(tree)
    if content is None:
        return None
    is_list = content["kind"] == "list"
    refs = content.get("refs", [])
    parts = [Part(keys, removed) for keys, removed in parts_of(content)]
    in_record: dict[Any, Place] = {}
    removed: list[Any] = []
    for part in parts[len(refs) :]:
        in_record |= part.keys
        removed += part.removed
    tail = Part({key: in_record[key] for key in sorted(in_record, key=in_record.__getitem__)}, removed)
    apart = content["apart"]["values"] if "apart" in content and not is_list else {}
    return Layout(
        is_list,
        list(zip(refs_of(refs), parts, strict=False)),
        tail,
        _nested(apart, refs_of),
        content.get("rent", 0),
    )


def _nested(values: Mapping[str, Any], refs_of: RefsOf) -> dict[str, Layout]:
    found = {key: layout_of(value, refs_of) for key, value in values.items()}
    return {key: layout for key, layout in found.items() if layout is not None}
