"""The tree of a record's payload, in which large values are put one by one, and large buffers not at all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from spark.errors import CheckpointDamagedError, DeserializationError
from spark.graphs.checkpoint.encoding.decoder import OpenRecord, checked_tree, sections_in
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.checkpoint.records.chunks import content_of, joined, older_parts, values_apart
from spark.graphs.checkpoint.records.references import Reference, join_chunks, references
from spark.graphs.checkpoint.serialization.raw_reader import DAMAGED, UnreadBuffers
from spark.graphs.values.paths import key_step

_READ: Final = 64 * 1024
"""Buffers of at most this many bytes are read with the value that they belong to."""
_KEPT: Final = 64 * 2**20
"""So many bytes of large values are kept parsed for the records that are looked at next."""


class LargeValues:
    """Large values of one graph, read and parsed once for all records that refer to them."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        """Name to content of what was read, until it is parsed."""
        self._parsed: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._size = 0

    def __contains__(self, name: str) -> bool:
        return name in self.blobs or name in self._parsed

    def value(self, reference: Reference, opened: OpenRecord) -> Any:
        """What is referred to.

        :raises CheckpointDamagedError: it is missing, or not what was written.
        :raises DeserializationError: it is more than the limits of the record that refers to it allow.
        """
        name = reference.ref.name
        if name in self._parsed:
            self._parsed.move_to_end(name)
            return self._parsed[name][0]
        value = opened.large_value(reference, self.blobs, {})
        if not reference.is_raw:
            del self.blobs[name]
            self._parsed[name] = value, reference.ref.raw_size
            self._size += reference.ref.raw_size
        return value

    def forget_some(self) -> None:
        """Keep those that were used last. Whoever looks at two records needs all of theirs until then."""
        self.blobs.clear()
        while self._size > _KEPT:
            _, (_, size) = self._parsed.popitem(last=False)
            self._size -= size


class StoredTree:
    """What a record holds, as plain trees. Nothing is read of buffers with more than 64 KB.

    :param large: the large values of its graph.
    :raises CheckpointDamagedError: the payload is no checkpoint.
    """

    def __init__(self, opened: OpenRecord, large: LargeValues | None = None) -> None:
        self.opened: Final = opened
        self.tree: Final[dict[str, Any]] = checked_tree(opened)
        self.large: Final = LargeValues() if large is None else large
        self.damaged: dict[str, str] = {}
        """What can't be read, by its path, and why."""
        self._references = [*_without_large_buffers(opened.references)]

    def missing(self, values: Any = None) -> list[str]:
        """The names of the large values that a value needs, and that have not been read; by default, of all."""
        found = self._references if values is None else references_in(values)
        return [name for name in dict.fromkeys(each.ref.name for each in found) if name not in self.large]

    def missing_in(self, section: str) -> list[str]:
        """The names of those that a section needs."""
        found = references(sections_in(self.tree, [section]))
        return [name for name in dict.fromkeys(each.ref.name for each in found) if name not in self.large]

    def section(self, name: str) -> Any:
        """The tree of a section with its large values; in the place of those that are damaged stands a tag that says so."""
        values = self.tree.get(name)
        if self.opened.is_plain or type(values) is not dict:
            return values
        try:
            whole = self._mapping(values, name)
        except (CheckpointDamagedError, DeserializationError) as error:
            self.damaged[name] = str(error)
            return {}
        for member in SECTIONS[name].members:
            if type(inner := whole.get(member)) is dict:
                place = name + key_step(member)
                whole[member] = {key: self.value(each, place + key_step(key)) for key, each in inner.items()}
        return whole

    def value(self, value: Any, path: str) -> Any:
        """A value of a section with all its large values; or a tag that says what is damaged, which is noted with its path."""
        try:
            return self._whole(value)
        except (CheckpointDamagedError, DeserializationError) as error:
            self.damaged[path] = str(error)
            return {DAMAGED: str(error)}

    def _whole(self, value: Any) -> Any:
        if type(value) is not dict or len(value) != 1:  # so it is no tag
            return value
        holder = {"values": {"value": value}}
        self._put_in(holder)
        return holder["values"]["value"]

    def _mapping(self, values: dict[str, Any], path: str) -> dict[str, Any]:
        content = content_of(values)
        if content is None and older_parts(values) is None:
            return {key: self.value(value, path + key_step(key)) for key, value in values.items()}
        if content is not None:
            apart = values_apart(content)
            for key, value in apart.items():
                apart[key] = self.value(value, path + key_step(key))
            self._put_chunks_in(values, path)
            return joined(values)  # type: ignore[no-any-return]  # of a mapping
        holder = {"values": values}
        self._put_in(holder)
        return holder["values"]

    def _put_chunks_in(self, values: dict[str, Any], path: str) -> None:
        """Put the chunks of a mapping in; nothing in the place of those that are damaged."""
        for reference in references_in(values):
            try:
                reference.holder[reference.key] = self.large.value(reference, self.opened)
            except (CheckpointDamagedError, DeserializationError) as error:
                self.damaged[path] = f"{error} Its content is missing here, or shown as it was before."
                reference.holder[reference.key] = {"values": {}}

    def _put_in(self, holder: dict[str, Any]) -> None:
        for reference in references([(holder, "values")]):
            reference.holder[reference.key] = self.large.value(reference, self.opened)
        join_chunks([(holder, "values")])


def references_in(value: Any) -> list[Reference]:
    """The references in one value, or in a mapping that is in chunks.

    :raises CheckpointDamagedError: one of them is not valid.
    """
    return references([({"values": {"value": value}}, "values")]) if type(value) is dict else []


def _without_large_buffers(found: Iterable[Reference]) -> Iterable[Reference]:
    """The references but those to large buffers, in whose place stands what is known of them."""
    sizes: dict[int, int] = {}
    for reference in found:
        if reference.is_raw:
            sizes[id(reference.holder)] = sizes.get(id(reference.holder), 0) + reference.ref.raw_size
    for reference in found:
        if reference.is_raw and sizes[id(reference.holder)] > _READ:
            reference.holder[reference.key] = UnreadBuffers(reference.ref.raw_size, (reference.ref.checksum,))
        else:
            yield reference
