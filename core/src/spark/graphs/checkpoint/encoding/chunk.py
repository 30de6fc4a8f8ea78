"""A chunk of a mapping or a list, and what is asked of its items and of those who store it.

What is known of each item of a list takes a few bytes, so that a run needs little memory beside its state.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from spark.graphs.checkpoint.encoding.levels import ChunkSize, Thresholds, divided, to_rewrite
from spark.graphs.checkpoint.encoding.places import Place, compact
from spark.graphs.checkpoint.records.composing import Template

Key: TypeAlias = "str | Place"
"""A name; of a list's item, its place."""

_TOMBSTONE: Final = 8
"""About as many bytes are stored for a removed key, beside its name."""
_FEW: Final = 64
"""With so few items,"""
_SPREAD: Final = 16
"""and otherwise where at least one in so many places is taken, a table is smaller than a dict."""
NOT_ENCODED: Final = b""
"""In the place of an item of which only the key is known yet."""


class Apart(Protocol):
    """An item that may refer to blobs, so that it is never inside of one."""

    @property
    def is_pinned(self) -> bool:
        """It does refer to some."""

    def __len__(self) -> int: ...

    def names(self) -> Iterable[str]:
        """Those of the blobs that it refers to."""


class Unkept:
    """An item that was encoded and not kept, since there is much else. It is encoded again for its chunk.

    :param size: in bytes.
    :param print: tells it from others, where that will be asked for.
    """

    __slots__ = ("_size", "print")

    def __init__(self, size: int, print: bytes = b"") -> None:
        self._size = size
        self.print = print

    def __len__(self) -> int:
        return self._size


unkept: Callable[[int], Unkept] = lru_cache(maxsize=4096)(Unkept)
"""One of so many bytes that is not told from others: there may be many."""

Item: TypeAlias = "bytes | Apart | Unkept"


def print_of(item: Item) -> bytes:
    """128 bits that tell encoded values apart."""
    if type(item) is bytes:
        return sha256(item).digest()[:16]
    return item.print if type(item) is Unkept else b"apart"


Data: TypeAlias = "bytes | Apart"
"""An encoded value, or what stands for one that may refer to blobs."""
Nested: TypeAlias = Literal["never", "if large", "always"]


class FollowedCache(Protocol):
    """What all of a run share."""

    thresholds: Thresholds
    retired: list[str]
    """Blobs that the last record referred to, and the next one no longer does."""


class Encoding(Protocol):
    """Encodes values for one checkpoint."""

    def value(self, value: Any, path: str, before: Apart | None, /, *, nested: Nested) -> Data:
        """A value of a mapping or a list.

        :param before: what stood for the value before, where it may refer to blobs.
        :param nested: whether its items may be encoded one by one.
        """

    def item(self, key: Key, data: bytes, /) -> bytes:
        """An item of a mapping, whose key is written as text."""

    def small(self, key: str, value: Any, /) -> bytes | None:
        """The item of a small value of a plain type; None for any other."""

    def keeps(self, size: int, /) -> bool:
        """Whether so many further bytes may be kept encoded. If not, they are encoded again for their chunk."""

    def discard(self, data: Iterable[Item], /) -> None:
        """These were encoded for nothing."""


def held(data: Data, encoding: Encoding, *, is_compared: bool) -> Item:
    """What is kept of an encoded item: all, or what tells it from others if it ``is_compared``, or only its size."""
    if type(data) is not bytes or encoding.keeps(len(data)):
        return data
    return Unkept(len(data), print_of(data)) if is_compared else unkept(len(data))


class ChunkWriter(Protocol):
    """Stores chunks."""

    def expect(self, size: int, *, again: int) -> None:
        """Take the cost of so many bytes from the budget, of which so many have to be encoded again.

        :raises CostExceededError: that is too much for the event loop.
        """

    def item(self, key: Key) -> bytes:
        """An item, encoded again."""

    def store(
        self, items: Mapping[Key, bytes], *, places: Sequence[Place], removed: Sequence[Key]
    ) -> tuple[str, list[Any]]:
        """Store a chunk. Returns its name and what stands for it."""


class TailTemplate(NamedTuple):
    """A mapping with chunks as it is stored, without the items in its tail."""

    head: list[bytes]
    """What stood for its chunks,"""
    rent: int
    """its rent,"""
    keys: dict[Key, None]
    """and the keys in its tail, in the order of their places."""
    payload: Template
    """All the rest, which depends on nothing else."""


class Chunk:
    """What is known of a chunk: all but its content."""

    __slots__ = ("dead", "live", "name", "ref", "removed", "sizes")

    def __init__(self, name: str, ref: list[Any], sizes: Mapping[Key, int]) -> None:
        self.name = name
        self.ref = ref
        """What stands for it in the payload."""
        self.sizes = sizes
        """Key to the bytes of the item, of all that it holds."""
        self.removed: dict[Key, None] = {}
        """The removed keys that it remembers and nothing else does."""
        self.live = sum(sizes.values())
        self.dead = 0

    @classmethod
    def of(cls, name: str, ref: list[Any], items: Mapping[Key, bytes], *, is_list: bool) -> Chunk:
        """The chunk of these items. Those of a list are in the order of their places."""
        sizes = map(len, items.values())
        made = ListSizes([*items], sizes) if is_list else dict(zip(items, sizes, strict=True))  # type: ignore[list-item]
        return cls(name, ref, made)


class ListSizes(Mapping[Key, int]):
    """The bytes of the items of a list by their places, which rise."""

    __slots__ = ("_places", "_sizes")

    def __init__(self, places: Sequence[Place], sizes: Iterable[int]) -> None:
        self._places = compact(places)
        self._sizes = array("Q", sizes)

    def __getitem__(self, key: Key) -> int:
        at = bisect_left(self._places, key)
        if at < len(self._places) and self._places[at] == key:
            return self._sizes[at]
        raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def merged_with(thresholds: Thresholds, chunks: Iterable[Chunk], *, written: int, most: int) -> list[Chunk]:
    """The chunks of which what is live is written again along with so many bytes.

    :param most: the size of a full chunk.
    """
    all_chunks = [*chunks]
    sizes = [ChunkSize(chunk.live, chunk.dead, len(chunk.sizes) == 1) for chunk in all_chunks]
    return [all_chunks[number] for number in to_rewrite(thresholds, sizes, written=written, limit=most)]


def groups_of(keys: Sequence[Key], sizes: Mapping[Key, int], *, most: int) -> Iterator[list[Key]]:
    """These keys, in their order, divided into those of one chunk each.

    :param sizes: key to bytes.
    :param most: the size of a full chunk.
    """
    start = 0
    for count in divided((sizes[key] for key in keys), limit=most):
        yield [*keys[start : start + count]]
        start += count


class ListOwners(MutableMapping[Key, Chunk]):
    """Place to the chunk that has the item: for most, the number of the chunk in a table."""

    __slots__ = ("_chunks", "_count", "_counts", "_next", "_numbers", "_others", "_table")

    def __init__(self) -> None:
        self._table = array("I")
        """At each place that is a small whole number, that of the chunk; 0 for none."""
        self._others: dict[Key, int] = {}
        """The same for all other places."""
        self._numbers: dict[str, int] = {}
        self._chunks: dict[int, Chunk] = {}
        self._counts: dict[int, int] = {}
        """Number of a chunk to how many items it owns."""
        self._next = 1
        self._count = 0

    def __getitem__(self, key: Key) -> Chunk:
        number = self._number(key)
        if not number:
            raise KeyError(key)
        return self._chunks[number]

    def __setitem__(self, key: Key, chunk: Chunk) -> None:
        if self._number(key):
            del self[key]
        number = self._numbers.get(chunk.name)
        if number is None:
            number = self._numbers[chunk.name] = self._next
            self._chunks[number], self._counts[number] = chunk, 0
            self._next += 1
        if type(key) is int and 0 <= key < max(len(self._table), _SPREAD * (self._count + _FEW)):
            if key >= len(self._table):
                self._table.frombytes(bytes(self._table.itemsize * (key + 1 - len(self._table))))
            self._table[key] = number
        else:
            self._others[key] = number
        self._counts[number] += 1
        self._count += 1

    def __delitem__(self, key: Key) -> None:
        number = self._number(key)
        if not number:
            raise KeyError(key)
        if key in self._others:
            del self._others[key]
        else:
            self._table[key] = 0  # type: ignore[index]
        self._count -= 1
        self._counts[number] -= 1
        if not self._counts[number]:
            del self._counts[number], self._numbers[self._chunks.pop(number).name]

    def __contains__(self, key: object) -> bool:
        return self._number(key) > 0

    def __iter__(self) -> Iterator[Key]:
        yield from (place for place, number in enumerate(self._table) if number)
        yield from self._others

    def __len__(self) -> int:
        return self._count

    def _number(self, key: Any) -> int:
        if type(key) is int and 0 <= key < len(self._table) and (number := self._table[key]):
            return number
        return self._others.get(key, 0)


def size_of_removed(key: Key) -> int:
    """About how many bytes are stored for a removed key that is remembered."""
    return len(str(key)) + _TOMBSTONE
