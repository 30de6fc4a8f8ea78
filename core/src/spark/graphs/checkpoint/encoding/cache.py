"""What a run keeps of its last checkpoint, so that the next one costs what changed and not what exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, compress
from operator import is_not
from typing import Any, Final

from spark.graphs.checkpoint.records.blobs import LARGE_FROM
from spark.graphs.checkpoint.records.buffers import Buffers
from spark.graphs.checkpoint.records.chunks import CHUNK_SIZE, Chunks
from spark.graphs.checkpoint.records.composing import Encoded, EncodedItems
from spark.graphs.checkpoint.serialization.writer import TreeWriter, are_names
from spark.graphs.values.item_mapping import Captured, Changes, Moment

Encode = Callable[[str, str, Any], bytes]
"""Encodes one item, given the name of its mapping, its key and its value."""
_NEW: Final = object()


class EncodingCache:
    """The encoded items of a run's last checkpoint. Only for values that are never changed after they were encoded.

    An item is used again if its value is the same object as last time. Nothing of deleted keys is kept. A cache serves one codec
    and one call at a time.

    :param large_from: bytes of an encoded value from which on it becomes a blob, where blobs are kept.
    :param blob_cost: bytes of a mapping's items from which on it is divided into chunks; None for never.
    :param chunk_size: bytes that a chunk has at first, about.
    """

    def __init__(
        self, *, large_from: int = LARGE_FROM, blob_cost: int | None = None, chunk_size: int = CHUNK_SIZE
    ) -> None:
        self.large_from = large_from
        self.blob_cost = blob_cost
        self.chunk_size = chunk_size
        self.owner: object = None
        """The format whose bytes these are."""
        self.last_cost = 0
        """What composing the last payload cost, in bytes that could have been hashed in that time; 0 when that was deferred."""
        self.buffers = Buffers()
        """The large ones of the value that is just being encoded."""
        self.writer: TreeWriter | None = None
        """Puts them there; None where they stay in the payload."""
        self.refs: dict[tuple[str, str], tuple[str, ...]] = {}
        """Mapping and key to the names of the blobs that hold the value, where there are any."""
        self.retired: list[str] = []
        """Blobs that the last record referred to, and the next one no longer does."""
        self.mappings: dict[str, CachedMapping] = {}
        """By name: that of a section, or the path to one inside of a section."""
        self.composed: set[str] = set()
        """The sections of which mappings in them are encoded key by key."""
        self.kept: dict[str, tuple[object, Encoded]] = {}
        """Section to the object that it was, and to what it was encoded as."""

    def claim(self, owner: object, writer: TreeWriter | None) -> None:
        """Serve another codec, and forget everything that was encoded for the last one.

        :param writer: that of the codec, if large buffers are kept beside the payload.
        """
        self.owner = owner
        self.writer = writer.keeping(self.buffers.keep) if writer is not None else None
        self.forget()

    def forget(self) -> None:
        """Encode everything again next time."""
        for name in list(self.mappings):
            self.mappings.pop(name).join()
        self.kept.clear()
        self.retired += chain.from_iterable(self.refs.values())
        self.refs.clear()

    def refer(self, place: tuple[str, str], names: tuple[str, ...]) -> None:
        """Note which blobs hold the value of a mapping's key from now on; none: the payload holds it."""
        self.retired += self.refs.pop(place, ())
        if names:
            self.refs[place] = names

    def is_large(self, mapping: str, key: str) -> bool:
        """Whether blobs hold the value of this key."""
        return (mapping, key) in self.refs

    def mapping(self, name: str, values: Mapping[str, Any], encode: Encode) -> CachedMapping | None:
        """The encoded items of a mapping, in order; None when its keys can't be those of a plain object.

        ``encode`` is called for the keys whose value is not the object that it was last time.
        """
        cached = self.mappings.get(name)
        if cached is not None and type(values) is Captured and cached.follow(values, encode):
            return cached
        if cached is not None and list(values) == list(cached.values):
            cached.take_new(values, encode)
            return cached
        self._retire_missing(name, values)
        if not are_names(values):
            self.drop(name)
            return None
        if cached is None:
            cached = self.mappings[name] = CachedMapping(self, name)
        cached.take_all(values, encode)
        return cached

    def drop(self, name: str) -> None:
        """Forget a mapping, which is empty now or encoded in one piece."""
        cached = self.mappings.pop(name, None)
        if cached is not None:
            cached.join()
        if self.refs:
            self._retire_missing(name, {})

    def _retire_missing(self, mapping: str, values: Mapping[str, Any]) -> None:
        for place in [place for place in self.refs if place[0] == mapping and place[1] not in values]:
            self.refer(place, ())


class CachedMapping:
    """Values and encoded items of one mapping by their keys, in the same order.

    :param cache: that it belongs to.
    """

    __slots__ = ("_cache", "_chunks", "_name", "_size", "encoded", "moment", "values")

    def __init__(self, cache: EncodingCache, name: str) -> None:
        self._cache = cache
        self._name = name
        self.values: dict[str, Any] = {}
        self.encoded: dict[str, bytes] = {}
        self._size = 0
        """The total length of all items."""
        self.moment: Moment | None = None
        """Which capture the items were made from, if it was one."""
        self._chunks: Chunks | None = None
        if cache.blob_cost is not None:
            is_large = partial(cache.is_large, name)
            self._chunks = Chunks(
                cache.blob_cost, chunk_size=cache.chunk_size, is_large=is_large, retired=cache.retired
            )

    def items(self) -> EncodedItems:
        """The items as they are now."""
        items = EncodedItems(self.encoded.values())
        items.size = self._size
        return items

    def chunks(self) -> Chunks | None:
        """What they are divided into, if they are. Asked once for each checkpoint."""
        is_divided = self._chunks is not None and self._chunks.divide(self.encoded, self._size)
        return self._chunks if is_divided else None

    def follow(self, captured: Captured, encode: Encode) -> bool:
        """Take over what changed since the capture before; False when the items are not of that, or can't have these keys."""
        changes = captured.changes_since(self.moment)
        if changes is None:
            return False
        has_other_keys = changes.removed or len(captured) != len(self.values)
        if has_other_keys and not self._can_have_keys(captured, changes):
            return False
        self.moment = None  # should one of them fail, the items are those of no capture
        for key in changes.removed:
            if key in self.values:
                self._remove(key)
        for key in changes.put:
            value = captured[key]
            if self.values.get(key, _NEW) is not value:
                self._put(key, value, encode(self._name, key, value))
        self.moment = captured.moment
        return True

    def take_new(self, values: Mapping[str, Any], encode: Encode) -> None:
        """Encode again the values that are other objects, where the keys are the same."""
        self.moment = None
        for key in compress(values, map(is_not, values.values(), self.values.values())):
            self._put(key, values[key], encode(self._name, key, values[key]))
        self.moment = values.moment if type(values) is Captured else None

    def take_all(self, values: Mapping[str, Any], encode: Encode) -> None:
        """Go through all values, since there are other keys; those that are the same objects are not encoded again."""
        encoded: dict[str, bytes] = {}
        changed: list[str] = []
        for key, value in values.items():
            if self.values.get(key, _NEW) is value:
                encoded[key] = self.encoded[key]
            else:
                encoded[key] = encode(self._name, key, value)
                changed.append(key)
        self.values, self.encoded, self._size = dict(values), encoded, sum(map(len, encoded.values()))
        if self._chunks is not None:
            self._chunks.follow(changed)
        self.moment = values.moment if type(values) is Captured else None

    def _can_have_keys(self, captured: Captured, changes: Changes) -> bool:
        return len(captured) > 1 and are_names({key: key for key in changes.put if key not in self.values})

    def _put(self, key: str, value: Any, item: bytes) -> None:
        """A value and its item; those of a new key come last."""
        self._size += len(item) - len(self.encoded.get(key, b""))
        self.encoded[key] = item
        self.values[key] = value
        if self._chunks is not None:
            self._chunks.put(key, item)

    def _remove(self, key: str) -> None:
        del self.values[key]
        self._size -= len(self.encoded.pop(key))
        self._cache.refer((self._name, key), ())
        if self._chunks is not None:
            self._chunks.remove(key)

    def join(self) -> None:
        """Give up its chunks."""
        if self._chunks is not None:
            self._chunks.forget()
