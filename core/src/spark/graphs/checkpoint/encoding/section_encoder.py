"""The sections of one checkpoint, encoded for a format that composes payloads: only what the cache lacks is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from spark.errors import SerializationError
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.chunk import Key
from spark.graphs.checkpoint.encoding.chunked import Apart
from spark.graphs.checkpoint.encoding.followed import TRACKED, Data, Followed, FollowedList, FollowedMapping, Nested
from spark.graphs.checkpoint.encoding.places import Place, runs
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.checkpoint.records.blobs import BlobRef, NewBlobs
from spark.graphs.checkpoint.records.buffers import BUFFERED, CHUNKS, VALUE, Pieces
from spark.graphs.checkpoint.records.chunks import TAG
from spark.graphs.checkpoint.records.composing import Composer, DeferredItem, DeferredPayload, Encoded, EncodedItems
from spark.graphs.checkpoint.sections import Section
from spark.graphs.checkpoint.serialization.cost import CostBudget
from spark.graphs.checkpoint.serialization.writer import TreeWriter, are_names
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_mapping import ItemMapping

Dump: TypeAlias = Callable[[Any, str], bytes]
"""A tree in the format, given what errors call it."""

_MANY: Final = 16
"""From so many tokens on it costs less to encode each that is new than to encode all at once."""
_LIGHT: Final = 32 * 1024
"""So many bytes are put together at once: what is put together later takes longer in all, and less memory."""
_NO_ITEMS: Final = EncodedItems.of(())


class Buffered:
    """An encoded value with large buffers, each of which is a blob."""

    __slots__ = ("_names", "data")
    is_pinned = True

    def __init__(self, data: bytes, names: Sequence[str]) -> None:
        self.data = data
        self._names = names

    def __len__(self) -> int:
        return len(self.data)

    def names(self) -> Iterable[str]:
        return self._names


class SectionEncoder:
    """Encodes the sections of checkpoints, one after the other.

    :param writer: makes trees of values.
    :param dump: makes bytes of trees.
    :param blobs: where blobs go; without it, payloads hold everything.
    """

    def __init__(
        self,
        *,
        writer: TreeWriter,
        dump: Dump,
        composer: Composer,
        cache: EncodingCache,
        blobs: BlobsOfRecord | None,
    ) -> None:
        self._writer = writer
        self._dump = dump
        self._composer = composer
        self._cache = cache
        self._budget: CostBudget | None = None
        """Of the checkpoint that is being encoded."""
        self._blobs = blobs
        self._keeping = cache.writer if blobs is not None else None
        """What keeps large buffers apart, if anything does."""
        self._large_from = cache.thresholds.nested
        self._is_constant = False
        """That is said of the section that is just being encoded."""

    def encode(
        self, sections: Mapping[str, Any], *, sequence: int, budget: CostBudget | None = None
    ) -> dict[str, Encoded]:
        """Each section of the checkpoint with this sequence, encoded, by its name.

        Whenever this fails, the next checkpoint is encoded from where it stopped.

        :raises SerializationError: a value can't be saved.
        :raises CostExceededError: there is more to do than the budget allows.
        """
        self._budget = budget
        if self._blobs is not None:
            self._blobs.sequence = sequence
        encoded: dict[str, Any] = {}
        followed: dict[str, FollowedMapping] = {}
        kept = self._cache.kept
        for name, section in SECTIONS.items():
            values = sections[name]
            if name in kept and kept[name][0] is values:
                encoded[name] = kept[name][1]
                continue
            part = encoded[name] = self._section(name, section, values)
            if type(part) is FollowedMapping:
                followed[name] = part
            elif part is None:
                del encoded[name]
        if self._blobs is not None:
            for each in followed.values():
                self._flush(each)
        for name, each in followed.items():
            encoded[name] = self._composed_section(each)
            self._settle(each)
        return encoded

    # Sections.

    def _section(self, name: str, section: Section, values: Any) -> FollowedMapping | Encoded | None:
        cache = self._cache
        if not section.takes(values):
            raise no_section(name, values)
        if section.is_keyed:
            if values:
                return self._by_item(name, section, values)
            cache.drop(name)
            cache.kept[name] = values, _NO_ITEMS
            return _NO_ITEMS
        if values is None:
            cache.drop(name)
            return None if section.may_be_absent else self._dump(None, name)
        if name in cache.sections or (section.members and self._says_what_changed(section, values)):
            found = self._by_item(name, section, values)
            if not isinstance(found, Followed) or self._is_large(found):
                return found
            cache.drop(name)
        return self._whole(name, section, values)

    def _says_what_changed(self, section: Section, values: Mapping[str, Any]) -> bool:
        """Whether there is a mapping in a section that does, and has so many items that it saves work."""
        for name in section.members:
            each: Any = values.get(name)
            if type(each) in TRACKED and len(each) >= _MANY:
                return not self._writer.has_hook
        return False

    def _whole(self, name: str, section: Section, values: Mapping[str, Any]) -> FollowedMapping | bytes:
        """A section in one piece, if it is small."""
        if type(values) is PlainDict and not self._writer.has_hook:
            return self._dump(dict(values), name)  # the engine's own, and small
        if self._budget is not None:
            self._budget.add_mapping(values)
        cache, keeping = self._cache, self._keeping
        cache.buffers.clear()
        data = self._dump((keeping or self._writer).mapping(values, name), name)
        if keeping is not None and (cache.buffers.size or len(data) >= self._large_from):
            return self._by_item(name, section, values)
        cache.kept[name] = values, data
        return data

    def _by_item(self, name: str, section: Section, values: Mapping[str, Any]) -> FollowedMapping | bytes:
        cache = self._cache
        cache.kept.pop(name, None)
        self._is_constant = section.is_constant
        followed = cache.sections.get(name)
        if followed is None:
            followed = cache.sections[name] = FollowedMapping(
                name, cache, is_constant=section.is_constant, members=section.members
            )
        if followed.follow(values, self):
            return followed
        cache.drop(name)
        return self._dump(self._writer.mapping(values, name), name)

    # Values, as ``Followed`` asks for them.

    def value(self, value: Any, path: str, before: Apart | None, /, *, nested: Nested) -> Data:
        """A value of a mapping or a list: encoded, or what stands for one that may refer to blobs."""
        if nested != "never" and isinstance(before, Followed) and self._goes_on(before, value):
            return before
        if self._budget is not None:
            self._budget.add(value)
        buffers = self._cache.buffers
        if buffers.size:
            buffers.clear()
        data = self._dump((self._keeping or self._writer).tree(value, path), path)
        size = len(data) + buffers.size
        if size >= self._large_from and nested != "never" and self._is_nested(value, size, nested):
            kind: type[Followed] = FollowedMapping if isinstance(value, Mapping) else FollowedList
            followed = kind(path, self._cache, is_constant=self._is_constant)
            if followed.follow(value, self):
                return followed
            return self.value(value, path, None, nested="never")
        return self._buffered(data) if buffers.size else data

    def _goes_on(self, before: Followed, value: Any) -> bool:
        """Encode what changed in a nested value, if it is still one."""
        return before.takes(value) and before.follow(value, self) and self._is_large(before)

    def _is_large(self, followed: Followed) -> bool:
        """Whether it is still worth it to follow a value item by item."""
        return followed.is_pinned or followed.chunked.total >= self._large_from // 2

    def item(self, key: Key, data: bytes, /) -> bytes:
        """An item of a mapping."""
        return self._composer.item(key if type(key) is str else str(key), data)

    def discard(self, data: Iterable[Data], /) -> None:
        """These were encoded for nothing."""
        if self._blobs is not None:
            self._blobs.discard(name for each in data if not isinstance(each, bytes) for name in each.names())

    def again(self, followed: Followed, key: Key) -> bytes:
        """An item, encoded again."""
        path = followed.path_to(key)
        return self.item(key, self._dump(self._writer.tree(followed.value(key), path), path))

    def _is_nested(self, value: Any, size: int, nested: Nested) -> bool:
        """Whether the items of a value are encoded one by one."""
        thresholds, kind = self._cache.thresholds, type(value)
        if self._writer.has_hook:
            return False
        if kind in TRACKED or (nested == "always" and isinstance(value, Mapping)):
            return not isinstance(value, ItemMapping) or are_names(value.whole())
        if self._blobs is None or size < thresholds.compared or size < thresholds.each * len(value):
            return False
        return kind is list or (kind is dict and are_names(value))

    def _buffered(self, data: bytes) -> Buffered:
        """A value with the references to its large buffers; its tree is a blob itself where it is large."""
        assert self._blobs is not None
        refs = [self._blobs.keep(chunk) for chunk in self._cache.buffers.take_chunks()]
        names = [ref.name for ref in refs]
        if len(data) >= self._large_from:
            ref = self._blobs.keep(data)
            data = self._dump(ref.tree(), "")
            names.append(ref.name)
        chunks = self._dump({str(number): ref.tree() for number, ref in enumerate(refs)}, "")
        return Buffered(
            self._composer.compose({BUFFERED: self._composer.compose({VALUE: data, CHUNKS: chunks})}), names
        )

    # Chunks.

    def _flush(self, followed: Followed) -> None:
        if followed.chunked.is_idle:
            return
        for nested in self._active(followed):
            self._flush(nested)
        assert self._blobs is not None
        followed.chunked.flush(_ChunkWriter(self, followed, self._blobs))

    def _settle(self, followed: Followed) -> None:
        for nested in self._active(followed):
            self._settle(nested)
        followed.chunked.settle()

    def _active(self, followed: Followed) -> list[Followed]:
        """What is nested and pays its own rent: it has chunks, or has changed."""
        chunked = followed.chunked
        if not chunked.apart:
            return []
        return [
            each
            for key, each in chunked.apart.items()
            if isinstance(each, Followed) and (each.is_pinned or key in chunked.hot)
        ]

    def expect(self, size: int, *, again: int) -> None:
        """Take the cost of writing chunks from the budget."""
        if self._budget is not None:
            self._budget.add_bytes(size, again=again)

    def chunk(self, items: Mapping[Key, bytes], *, places: Sequence[Place], removed: Sequence[Key]) -> bytes:
        """The content of a chunk."""
        return self._composer.compose(self._fields(EncodedItems.of(items.values()), places, removed))

    # What is stored.

    def _composed_section(self, followed: Followed) -> Encoded:
        chunked = followed.chunked
        if chunked.chunks:
            return self._composed(followed)
        if not chunked.apart:
            return EncodedItems.of(chunked.tail.values(), size=chunked.size)  # type: ignore[arg-type]
        return EncodedItems.of((self._member(key, item) for key, item in chunked.tail.items()), is_mixed=True)

    def _composed(self, followed: Followed) -> DeferredPayload:
        """A mapping in chunks, or one that is nested."""
        chunked = followed.chunked
        if chunked.head is None:
            chunked.head = self._head(followed)
        content: dict[str, Encoded] = dict(chunked.head)
        keys, apart, removed = chunked.in_order(chunked.tail), chunked.apart, chunked.removed_in_tail
        in_tail = [key for key in keys if key not in apart] if apart else keys
        if in_tail or removed:
            content["tail"] = self._part(followed, in_tail, removed)
        if apart:
            content["apart"] = self._part(followed, [key for key in keys if key in apart], ())
        return DeferredPayload(self._composer, {TAG: DeferredPayload(self._composer, content)})

    def _head(self, followed: Followed) -> dict[str, bytes]:
        """What is said of a mapping or a list, and of its chunks."""
        head: dict[str, Any] = {"kind": "list" if followed.is_list else "mapping"}
        if chunks := followed.chunked.chunks:
            assert self._blobs is not None
            head |= self._blobs.shared
            head["refs"] = [chunk.ref for chunk in chunks.values()]
        return {name: self._dump(value, "") for name, value in head.items()}

    def _part(self, followed: Followed, keys: Sequence[Key], removed: Iterable[Key]) -> Encoded:
        """A part of what is in the payload: the tail, or what is apart."""
        chunked, tail = followed.chunked, followed.chunked.tail
        is_mixed = bool(keys) and keys[0] in chunked.apart
        members = [self._member(key, tail[key]) for key in keys] if is_mixed else [*map(tail.__getitem__, keys)]
        items = EncodedItems.of(members, is_mixed=is_mixed)  # type: ignore[arg-type]
        has_places = not followed.is_list and bool(chunked.chunks or chunked.apart)
        part = self._fields(items, chunked.places_of(keys) if has_places else (), [*removed])
        return self._composer.compose(part) if items.size < _LIGHT else DeferredPayload(self._composer, part)

    def _fields(self, items: EncodedItems, places: Sequence[Place], removed: Sequence[Key]) -> dict[str, Encoded]:
        """A part of a mapping as it is stored: a chunk, or the tail."""
        part: dict[str, Encoded] = {"values": items}
        if places:
            part["places"] = self._dump(runs(places), "")
        if removed:
            part["removed"] = self._dump([str(key) for key in removed], "")
        return part

    def _member(self, key: Key, item: bytes | Apart) -> Any:
        if type(item) is bytes:
            return item
        body = self._composed(item) if isinstance(item, Followed) else item.data  # type: ignore[union-attr]
        return DeferredItem(self.item(key, b""), body)


class BlobsOfRecord:
    """The blobs of the record that is being made.

    :param add: ``NewBlobs.add``, with what is the same for all records.
    """

    def __init__(self, blobs: NewBlobs, add: Callable[..., BlobRef], *, codecs: Sequence[str]) -> None:
        self._blobs = blobs
        self._add = add
        self.sequence = 0
        """That of the record."""
        self.shared: dict[str, Any] = {"writer": blobs.writer} | ({"codecs": [*codecs]} if codecs else {})
        """What is the same for all of them, and written once beside compact references."""

    def keep(self, content: bytes | Pieces) -> BlobRef:
        """Store an encoded value, or a chunk of buffers, as a blob. Returns the reference to it."""
        return self._add(content, sequence=self.sequence)

    def discard(self, names: Iterable[str]) -> None:
        """These are not needed: nothing refers to them."""
        self._blobs.discard(names)


class _ChunkWriter:
    """Stores chunks of one mapping."""

    __slots__ = ("_blobs", "_encoder", "_followed")

    def __init__(self, encoder: SectionEncoder, followed: Followed, blobs: BlobsOfRecord) -> None:
        self._encoder = encoder
        self._followed = followed
        self._blobs = blobs

    def expect(self, size: int, *, again: int) -> None:
        self._encoder.expect(size, again=again)

    def item(self, key: Key) -> bytes:
        return self._encoder.again(self._followed, key)

    def store(self, items: Mapping[Key, bytes], *, places: Sequence[Place], removed: Sequence[Key]) -> tuple[str, Any]:
        ref = self._blobs.keep(self._encoder.chunk(items, places=places, removed=removed))
        return ref.name, ref.compact()


def no_section(name: str, values: object) -> SerializationError:
    """What is in the place of a section is none."""
    return SerializationError(f"{name} is a {type(values).__name__}, not a dict. Nothing was written.", path=name)
