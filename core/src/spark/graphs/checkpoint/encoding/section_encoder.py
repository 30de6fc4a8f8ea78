"""The sections of one checkpoint, encoded for a format that composes payloads: only what the cache lacks is encoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.chunk import Apart, Data, Item, Key, Nested, Unkept
from spark.graphs.checkpoint.encoding.followed import (
    TRACKED,
    TRACKED_MAPPINGS,
    Followed,
    FollowedList,
    FollowedMapping,
)
from spark.graphs.checkpoint.encoding.levels import constant_from
from spark.graphs.checkpoint.encoding.places import Place
from spark.graphs.checkpoint.encoding.record_blobs import BlobsOfRecord, Buffered
from spark.graphs.checkpoint.encoding.stored_mappings import StoredMappings
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.checkpoint.records.buffers import BUFFERED, CHUNKS, VALUE
from spark.graphs.checkpoint.records.composing import (
    Composer,
    DeferredPayload,
    Encoded,
    EncodedItems,
)
from spark.graphs.checkpoint.sections import Section, no_section
from spark.graphs.checkpoint.serialization.cost import CostBudget, exceeds
from spark.graphs.checkpoint.serialization.writer import TreeWriter, are_names, small_tree
from spark.graphs.values.containers import PlainDict

Dump: TypeAlias = Callable[[Any, str], bytes]
"""A tree in the format, given what errors call it."""

_MANY: Final = 16
"""From so many items on, it costs less to encode those that are new, if that is known, than to encode all at once;"""
_STILL_MANY: Final = _MANY // 2
"""and once that was begun, as long as there are so many."""
_SHORT: Final = 256
"""A text of so many characters is small, too."""
_SMALL: Final = frozenset({int, float, bool, type(None)})
"""What needs no look at its size."""
_FEW_BYTES: Final = 4096
"""Less is put together at once, which costs less than to keep the pieces."""
_DIVIDED: Final = TRACKED | {list, dict}
"""Values whose items may be encoded one by one."""


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
        self._stored = StoredMappings(composer, dump, shared=blobs.shared if blobs is not None else {})
        self._cache = cache
        self._budget: CostBudget | None = None
        """Of the checkpoint that is being encoded."""
        self._blobs = blobs
        self._held = cache.thresholds.held
        self._room = math.inf
        """So many further bytes may be kept encoded."""
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
        self._begin(sequence, budget)
        kept = self._cache.kept
        encoded: dict[str, Any] = {}
        followed: list[tuple[str, Followed]] = []
        active: list[Followed] = []
        for name, section in SECTIONS.items():
            values, before = sections[name], kept.get(name)
            if before is not None and before[0] is values:
                encoded[name] = before[1]
                continue
            part = self._section(name, section, values)
            if part is not None:
                encoded[name] = part
                if not isinstance(part, bytes):
                    followed.append((name, part))
                    if not part.chunked.is_idle:
                        active.append(part)
        for each in active:
            for _ in self._flush(each):
                pass
        # Nothing below can fail.
        for each in active:
            self._settle(each)
        for name, each in followed:
            each.chunked.hot.clear()  # of what is idle, too
            composed = encoded[name] = self._stored.section(each)
            if SECTIONS[name].is_constant:
                kept[name] = each.values, bytes(composed) if type(composed) is DeferredPayload else composed
        return encoded

    def encode_ahead(self, sections: Mapping[str, Any], *, sequence: int) -> Iterator[None]:
        """Encode what is new, and stop wherever blobs are to be stored before there are more. ``encode`` does what is left.

        :raises SerializationError: a value can't be saved.
        """
        if self._blobs is None:
            return
        self._begin(sequence, None)
        for name, section in SECTIONS.items():
            self._room = self._held
            part = self._section(name, section, sections[name])
            if isinstance(part, Followed) and not part.chunked.is_idle:
                for _ in self._flush(part):
                    if self._blobs.held >= self._held:
                        yield

    def _begin(self, sequence: int, budget: CostBudget | None) -> None:
        self._budget, self._room = budget, math.inf
        if self._blobs is not None:
            self._blobs.sequence = sequence
        while self._cache.incomplete:
            self._cache.incomplete[-1].complete(self)
            self._cache.incomplete.pop()

    # Sections.

    def _section(self, name: str, section: Section, values: Any) -> Followed | bytes | None:
        cache = self._cache
        if type(values) is PlainDict and not (section.is_keyed or name in cache.sections or self._writer.has_hook):
            return self._dump(dict(values), name)  # the engine's own, and small
        if not section.takes(values):
            raise no_section(name, values)
        if values is None:
            cache.drop(name)
            return None if section.may_be_absent else self._dump(None, name)
        if section.is_keyed:
            if values:
                return self._by_item(name, section, values)
            cache.drop(name)
            cache.kept[name] = values, self._stored.none
            return self._stored.none
        if name in cache.sections or self._says_what_changed(values):
            found = self._by_item(name, section, values)
            if not isinstance(found, Followed) or self._is_large(found):
                return found
            if self._says_what_changed(values, many=_STILL_MANY):
                return found
            cache.drop(name)
        return self._whole(name, section, values)

    def _says_what_changed(self, values: Mapping[str, Any], *, many: int = _MANY) -> bool:
        """Whether there is a mapping in a section that does, and has so many items that it saves work."""
        if self._writer.has_hook or type(values) is PlainDict:
            return False
        if TRACKED_MAPPINGS.isdisjoint(map(type, values.values())):
            return False
        return any(len(each) >= many for each in values.values() if type(each) in TRACKED_MAPPINGS)

    def _whole(self, name: str, section: Section, values: Mapping[str, Any]) -> Followed | bytes:
        """A section in one piece, if it is small."""
        cache, keeping = self._cache, self._keeping()
        tree: Any = None if self._writer.has_hook else small_tree(values)
        if tree is None:
            if self._budget is not None:
                self._budget.add_mapping(values)
            tree = (keeping or self._writer).mapping(values, name)
        data = self._dump(tree, name)
        if keeping is not None and (cache.buffers.size or len(data) >= self._in_chunks_from(section)):
            return self._by_item(name, section, values)
        cache.kept[name] = values, data
        return data

    def _in_chunks_from(self, section: Section) -> float:
        """From how many bytes on a section is worth to be encoded item by item."""
        return constant_from(self._cache.thresholds) if section.is_constant else self._large_from

    def _by_item(self, name: str, section: Section, values: Mapping[str, Any]) -> Followed | bytes:
        cache = self._cache
        self._is_constant = section.is_constant
        followed = cache.sections.get(name)
        if followed is None:
            cache.kept.pop(name, None)
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
        if type(value) in _SMALL:
            if self._budget is not None:
                self._budget.add(value)
            return self._dump(self._writer.tree(value, path), path)
        if nested != "never" and isinstance(before, Followed) and self._goes_on(before, value):
            return before
        if nested != "never" and type(value) in TRACKED_MAPPINGS and len(value) >= _MANY and not self._writer.has_hook:
            if (followed := self._nested(value, path)) is not None:
                return followed
            nested = "never"
        if self._budget is not None:
            self._budget.add(value)
        if nested != "never" and self._is_surely_nested(value, nested):
            followed = self._nested(value, path)
            if followed is not None:
                return followed
            nested = "never"
        keeping = self._keeping()
        data = self._dump((keeping or self._writer).tree(value, path), path)
        buffers = self._cache.buffers
        has_buffers = keeping is not None and buffers.size > 0
        if nested != "never" and self._is_nested(value, len(data) + buffers.size * has_buffers, nested):
            return self._nested(value, path) or self.value(value, path, None, nested="never")
        return self._buffered(data) if has_buffers else data

    def _nested(self, value: Any, path: str) -> Followed | None:
        """A value whose items are encoded one by one; None where its keys can't be those of a plain object."""
        kind: type[Followed] = FollowedMapping if isinstance(value, Mapping) else FollowedList
        followed = kind(path, self._cache, is_constant=self._is_constant)
        return followed if followed.follow(value, self) else None

    def _goes_on(self, before: Followed, value: Any) -> bool:
        """Encode what changed in a nested value, if it is still one."""
        return before.takes(value) and before.follow(value, self) and self._is_large(before)

    def _is_large(self, followed: Followed) -> bool:
        """Whether it is still worth it to follow a value item by item."""
        chunked, values = followed.chunked, followed.values
        if chunked.chunks or (type(values) in TRACKED_MAPPINGS and len(values) >= _STILL_MANY):
            return True
        return chunked.total >= self._large_from // 2 or followed.is_pinned

    def item(self, key: Key, data: bytes, /) -> bytes:
        """An item of a mapping."""
        return self._composer.item(key if type(key) is str else str(key), data)

    def keeps(self, size: int, /) -> bool:
        """Whether so many further bytes may be kept encoded."""
        self._room -= size
        return self._room >= 0

    def small(self, key: str, value: Any, /) -> bytes | None:
        """The item of a small value of a plain type; None for any other."""
        if not (type(value) in _SMALL or (type(value) is str and len(value) <= _SHORT)) or self._writer.has_hook:
            return None
        if self._budget is not None:
            self._budget.add(value)
        return self._composer.item(key, self._dump(self._writer.tree(value, key), key))

    def discard(self, data: Iterable[Item], /) -> None:
        """These were encoded for nothing."""
        if self._blobs is not None:
            self._blobs.discard(name for each in data if not isinstance(each, bytes | Unkept) for name in each.names())

    def again(self, followed: Followed, key: Key) -> bytes:
        """An item, encoded again."""
        path = followed.path_to(key)
        return self.item(key, self._dump(self._writer.tree(followed.value(key), path), path))

    def _keeping(self) -> TreeWriter | None:
        """What keeps large buffers apart, if anything does."""
        if self._blobs is None or self._cache.writer is None:
            return None
        self._cache.buffers.clear()
        return self._cache.writer

    def _is_nested(self, value: Any, size: int, nested: Nested) -> bool:
        """Whether the items of a value are encoded one by one."""
        thresholds, kind = self._cache.thresholds, type(value)
        if size < thresholds.nested or self._writer.has_hook:
            return False
        if kind in TRACKED or (nested == "always" and isinstance(value, Mapping)):
            return True
        if self._blobs is None or (kind is not list and kind is not dict) or size < thresholds.compared:
            return False
        return size >= thresholds.each * len(value) and (kind is list or are_names(value))

    def _is_surely_nested(self, value: Any, nested: Nested) -> bool:
        """The same, known without encoding the value as a whole, which would be in memory beside it."""
        if self._room == math.inf or type(value) not in _DIVIDED:
            return False
        size = max(self._held, self._cache.thresholds.each * len(value))
        return exceeds(value, size) and self._is_nested(value, size, nested)

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

    def _flush(self, followed: Followed) -> Iterator[None]:
        """Put into chunks what belongs there; each iteration stores one."""
        if self._blobs is None:
            return
        for nested in self._active(followed):
            if not nested.chunked.is_idle:
                yield from self._flush(nested)
        yield from followed.chunked.flush(_ChunkWriter(self, followed, self._blobs))

    def _settle(self, followed: Followed) -> None:
        for nested in self._active(followed):
            self._settle(nested)
        followed.chunked.settle()

    def _active(self, followed: Followed) -> Sequence[Followed]:
        """What is nested and pays its own rent: it has chunks, or has changed."""
        chunked = followed.chunked
        if not chunked.apart:
            return ()
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
        return self._composer.compose(self._stored.part(EncodedItems.of(items.values()), places, removed))


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
