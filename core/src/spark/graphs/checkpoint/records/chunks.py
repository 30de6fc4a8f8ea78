"""A mapping with many small values, divided into chunks, so that of those too only what changed is written again.

Neighbours make a chunk, which is kept as a blob. The payload then holds
``{"$parts": {"0": {"$blob": […]}, "1": {"values": {…}}, …}}``, and what such a blob holds is ``{"values": {…}}`` as well. Large
values are blobs of their own: the references to them are in chunks that stay in the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.records.composing import EncodedItems

CHUNK_SIZE: Final = 16 * 1024
"""Bytes that a chunk has at first, about,"""
_MOST: Final = 100
"""and about how many chunks there are at most, so that a mapping of many megabytes does not begin with a long list of them."""
_MOST_PATIENCE: Final = 1024
"""A mapping that once changed everywhere is divided again after this many checkpoints at most."""
_TAG: Final = "$parts"
_VALUES: Final = "values"

Store = Callable[[bytes], tuple[str, bytes]]
"""Stores the content of a chunk as a blob; returns its name and the encoded reference to it."""
Compose = Callable[[dict[str, EncodedItems | bytes]], bytes]
"""``Composer.compose``."""


class Chunks:
    """The items of one mapping in chunks, each stored as a blob; also decides whether to divide the mapping at all.

    Keys that come or go change the chunks where they do, and leave the others as they are.

    :param blob_cost: bytes of a mapping from which on it is divided; half of it is what a chunk costs beside its bytes.
    :param chunk_size: bytes that a chunk has at first, about.
    :param is_large: whether the item of this key is a reference to a large value.
    :param retired: gets the names of blobs that no longer stand for a chunk.
    """

    def __init__(self, blob_cost: int, *, chunk_size: int, is_large: Callable[[str], bool], retired: list[str]) -> None:
        self._blob_cost = blob_cost
        self._smallest = chunk_size
        self._is_large = is_large
        self._retired = retired
        self._chunks: list[_Chunk] = []
        self._owners: dict[str, _Chunk] = {}
        """Key to the chunk that has its item."""
        self._is_stale = True
        """The chunks have to be arranged before they are used."""
        self._changed: set[str] = set()
        """The keys that changed since the last checkpoint, while the mapping is not divided."""
        self._calm = 0
        """For how many checkpoints in a row so little has changed that chunks would have paid off."""
        self._patience = 1
        """How many such checkpoints it takes until the mapping is divided."""

    def divide(self, items: Mapping[str, bytes], size: int) -> bool:
        """Whether the mapping, as it is now, is divided; asked once for each checkpoint.

        :param size: the total length of all items.
        """
        if not self._chunks:
            if self._is_calm(items, size):
                self._arrange(items, size)
            self._changed.clear()
            return bool(self._chunks)
        if size < self._blob_cost // 2:
            self.forget()
            return False
        if self._is_stale:
            self._arrange(items, size)
        if self._costs_more(sum(chunk.encoded is None for chunk in self._chunks), size):
            self.forget()
            self._patience = min(8 * self._patience, _MOST_PATIENCE)
        return bool(self._chunks)

    def put(self, key: str, item: bytes) -> None:
        """The mapping has another item under this key."""
        if not self._chunks:
            self._changed.add(key)
        if self._is_stale:
            return
        chunk = self._owners.get(key) or self._last_chunk(key, item)
        if chunk.is_of_large is not self._is_large(key):
            self._is_stale = True
            return
        chunk.put(key, item)
        self._is_stale = chunk.size > 2 * self._size

    def remove(self, key: str) -> None:
        """A key was removed from the mapping."""
        if not self._chunks:
            self._changed.add(key)
        if not self._is_stale:
            chunk = self._owners.pop(key)
            chunk.remove(key)
            self._is_stale = chunk.size < self._size // 4  # before it is left with crumbs

    def follow(self, changed: Iterable[str]) -> None:
        """The mapping has other keys, and other items under these."""
        self._is_stale = True
        if not self._chunks:
            self._changed.update(changed)

    def forget(self) -> None:
        """Give up all chunks: the next checkpoint holds the whole mapping."""
        self._retired += [chunk.name for chunk in self._chunks if chunk.name]
        self._chunks.clear()
        self._owners.clear()
        self._is_stale = True
        self._calm = 0

    def compose(self, store: Store, compose: Compose) -> bytes:
        """The mapping's encoded tree. Chunks that changed are stored anew."""
        chunks: dict[str, EncodedItems | bytes] = {}
        for number, chunk in enumerate(self._chunks):
            chunks[str(number)] = self._encode(chunk, store, compose) if chunk.encoded is None else chunk.encoded
        return compose({_TAG: compose(chunks)})

    def _last_chunk(self, key: str, item: bytes) -> _Chunk:
        """The chunk for a new key, which comes last."""
        chunk, is_large = self._chunks[-1], self._is_large(key)
        if chunk.is_of_large is not is_large or chunk.size + len(item) > self._size:
            chunk = _Chunk(is_of_large=is_large)
            self._chunks.append(chunk)
        self._owners[key] = chunk
        return chunk

    def _is_calm(self, items: Mapping[str, bytes], size: int) -> bool:
        if size < self._blob_cost:
            return False
        changed = len(self._changed)
        if self._costs_more(changed, size):  # unless many of them are neighbours
            in_chunk = max(len(items) * self._size_of_chunks(size) // size, 1)
            changed = len({place // in_chunk for place, key in enumerate(items) if key in self._changed})
        self._calm = 0 if self._costs_more(changed, size) else self._calm + 1
        return self._calm >= self._patience

    def _costs_more(self, chunks: int, size: int) -> bool:
        """Whether to write so many chunks costs more than to write all items."""
        return chunks * self._blob_cost > 2 * size

    def _arrange(self, items: Mapping[str, bytes], size: int) -> None:
        self._size = self._size_of_chunks(size)
        before = self._chunks
        self._chunks = list(self._divided(items))
        self._owners = {key: chunk for chunk in self._chunks for key in chunk.items}
        kept = {id(chunk) for chunk in self._chunks}
        self._retired += [chunk.name for chunk in before if chunk.name and id(chunk) not in kept]
        self._is_stale = False

    def _encode(self, chunk: _Chunk, store: Store, compose: Compose) -> bytes:
        content = compose({_VALUES: EncodedItems.of(chunk.items.values())})
        if chunk.is_of_large:
            chunk.encoded = content
            return content
        name, chunk.encoded = store(content)
        if chunk.name:
            self._retired.append(chunk.name)
        chunk.name = name
        return chunk.encoded

    def _divided(self, items: Mapping[str, bytes]) -> Iterator[_Chunk]:
        """The chunks: those of before, where they have the same items."""
        current: _Chunk | None = None
        origin: _Chunk | None = None
        for key, item in items.items():
            owner, is_large = self._owners.get(key), self._is_large(key)
            if current is not None and self._ends(current, origin, owner, item, is_large=is_large):
                yield _same_or(origin, current)
                current = None
            if current is None:
                current, origin = _Chunk(is_of_large=is_large), owner
            current.put(key, item)
        if current is not None:
            yield _same_or(origin, current)

    def _ends(self, chunk: _Chunk, origin: _Chunk | None, owner: _Chunk | None, item: bytes, *, is_large: bool) -> bool:
        """Whether a chunk that was begun, with items of ``origin``, ends before this item of ``owner``."""
        if chunk.is_of_large is not is_large:
            return True
        if chunk.size + len(item) > self._size * (1 if origin is None else 2):
            return True
        return owner is not None and owner is not origin and chunk.size >= self._size // 4

    def _size_of_chunks(self, size: int) -> int:
        return max(self._smallest, size // _MOST)


class _Chunk:
    __slots__ = ("encoded", "is_of_large", "items", "name", "size")

    def __init__(self, *, is_of_large: bool) -> None:
        self.is_of_large = is_of_large
        """Its items are references to large values, or none of them is."""
        self.items: dict[str, bytes] = {}
        self.size = 0
        self.encoded: bytes | None = None
        """What the payload holds for it; None until that is encoded."""
        self.name = ""
        """The name of the blob that holds it, if one does."""

    def put(self, key: str, item: bytes) -> None:
        self.size += len(item) - len(self.items.get(key, b""))
        self.items[key] = item
        self.encoded = None

    def remove(self, key: str) -> None:
        self.size -= len(self.items.pop(key))
        self.encoded = None


def _same_or(origin: _Chunk | None, chunk: _Chunk) -> _Chunk:
    if origin is None or origin.encoded is None or [*origin.items.values()] != [*chunk.items.values()]:
        return chunk
    return origin


def chunk_trees(values: dict[str, Any]) -> dict[str, Any] | None:
    """The trees of a mapping's chunks by their numbers, or None where it is not divided.

    :raises CheckpointDamagedError: it is meant to be, and is not.
    """
    if len(values) != 1 or _TAG not in values:
        return None
    chunks = values[_TAG]
    if type(chunks) is not dict:
        raise CheckpointDamagedError("the chunks of one of its sections are not valid")
    return chunks


def values_of(chunk: Any) -> dict[str, Any]:
    """The values in the tree of a chunk that is not a reference.

    :raises CheckpointDamagedError: it is not a chunk.
    """
    values = chunk.get(_VALUES) if type(chunk) is dict and len(chunk) == 1 else None
    if type(values) is not dict:
        raise CheckpointDamagedError("a chunk of one of its sections is not valid")
    return values


def joined(values: dict[str, Any]) -> dict[str, Any]:
    """A mapping as if it had never been divided.

    :raises CheckpointDamagedError: its chunks are not valid.
    """
    chunks = chunk_trees(values)
    if chunks is None:
        return values
    whole: dict[str, Any] = {}
    for chunk in chunks.values():
        whole |= values_of(chunk)
    return whole
