"""A section with many small values, divided into parts, so that of those too only what changed is written again.

Neighbours make a part, which is kept as a blob. In the payload stands
``{"$parts": {"0": {"$blob": […]}, "1": {"values": {…}}, …}}``, and what such a blob holds is ``{"values": {…}}`` as well. Large
values are blobs of their own: what stands for them is in parts that are not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.records.formats import EncodedItems

_SMALLEST: Final = 16 * 1024
"""Bytes that a part has at first, about,"""
_MOST: Final = 100
"""and about how many parts there are at most, so that a section of many megabytes does not begin with a long list of them."""
_MOST_PATIENCE: Final = 1024
"""After so many checkpoints at most it is tried again whether a section that once changed everywhere does so no more."""
_TAG: Final = "$parts"
_VALUES: Final = "values"

Store = Callable[[bytes], tuple[str, bytes]]
"""Keeps what a part holds as a blob: its name, and the encoded reference that stands for it."""
Compose = Callable[[dict[str, EncodedItems | bytes]], bytes]
"""That of a format."""


class ChunkedSection:
    """How the members of one section are divided, and what stands for each part; also whether it is to be divided at all.

    Keys that come or go change the parts where they do, and leave the others as they are.

    :param chunked_from: bytes of a section from which on it is divided; half of it is what a part costs beside its bytes.
    :param is_large: whether a reference to a large value is the member of this key.
    :param retired: gets the names of blobs that stand for a part no more.
    """

    def __init__(self, chunked_from: int, *, is_large: Callable[[str], bool], retired: list[str]) -> None:
        self._divides_from = chunked_from
        self._is_large = is_large
        self._retired = retired
        self._parts: list[_Chunk] = []
        self._starts: list[int] = []
        """Where in the section each part begins."""
        self._is_stale = True
        """They have to be arranged before they are used."""
        self._changed: set[int] = set()
        """The places that changed since the last checkpoint, while the section is not divided."""
        self._calm = 0
        """For how many checkpoints in a row too little has changed to write all."""
        self._patience = 1
        """How many it takes."""

    def divide(self, keys: Sequence[str], members: EncodedItems) -> bool:
        """Whether the section, as it is now, is divided; asked once for each checkpoint."""
        if not self._parts:
            if self._is_calm(members):
                self._arrange(keys, members)
            self._changed.clear()
            return bool(self._parts)
        if members.size < self._divides_from // 2:
            self.forget()
            return False
        if self._is_stale:
            self._arrange(keys, members)
        changed = sum(part.encoded is None for part in self._parts)
        if self._costs_more(changed, members):
            self.forget()
            self._patience = min(8 * self._patience, _MOST_PATIENCE)
        return bool(self._parts)

    def _is_calm(self, members: EncodedItems) -> bool:
        if members.size < self._divides_from:
            return False
        in_part = max(len(members) * _size_of_parts(members) // members.size, 1)
        changed = len({place // in_part for place in self._changed})
        self._calm = 0 if self._costs_more(changed, members) else self._calm + 1
        return self._calm >= self._patience

    def _costs_more(self, parts: int, members: EncodedItems) -> bool:
        """Whether to write so many parts costs more than to write all members."""
        return parts * self._divides_from > 2 * members.size

    def put(self, place: int, key: str, member: bytes) -> None:
        """A member of the section is another now."""
        if not self._parts:
            self._changed.add(place)
        if self._is_stale:
            return
        number = bisect_right(self._starts, place) - 1
        part = self._parts[number]
        if part.is_of_large is not self._is_large(key):
            self._is_stale = True
            return
        part.put(place - self._starts[number], member)
        self._is_stale = part.size > 2 * self._size

    def follow(self, changed: Iterable[int]) -> None:
        """The section has other keys now, and other members at these places."""
        self._is_stale = True
        if not self._parts:
            self._changed.update(changed)

    def _arrange(self, keys: Sequence[str], members: EncodedItems) -> None:
        self._size = _size_of_parts(members)
        before = self._parts
        self._parts = list(self._divided(keys, members))
        self._starts = []
        place = 0
        for part in self._parts:
            self._starts.append(place)
            place += len(part.keys)
        kept = {id(part) for part in self._parts}
        self._retired += [part.name for part in before if part.name and id(part) not in kept]
        self._is_stale = False

    def forget(self) -> None:
        """Nothing stands for any part any more."""
        self._retired += [part.name for part in self._parts if part.name]
        self._parts.clear()
        self._is_stale = True
        self._calm = 0

    def compose(self, store: Store, compose: Compose) -> bytes:
        """The section's encoded tree. Parts that changed are stored anew."""
        parts: dict[str, EncodedItems | bytes] = {}
        for number, part in enumerate(self._parts):
            parts[str(number)] = self._encode(part, store, compose) if part.encoded is None else part.encoded
        return compose({_TAG: compose(parts)})

    def _encode(self, part: _Chunk, store: Store, compose: Compose) -> bytes:
        content = compose({_VALUES: EncodedItems.of(part.members)})
        if part.is_of_large:
            part.encoded = content
            return content
        name, part.encoded = store(content)
        if part.name:
            self._retired.append(part.name)
        part.name = name
        return part.encoded

    def _divided(self, keys: Sequence[str], members: EncodedItems) -> Iterator[_Chunk]:
        """The parts: those of before, where they have the same members."""
        owners = {key: part for part in self._parts for key in part.keys}
        current: _Chunk | None = None
        origin: _Chunk | None = None
        for key, member in zip(keys, members, strict=True):
            owner, is_large = owners.get(key), self._is_large(key)
            if current is not None and self._ends(current, origin, owner, member, is_large=is_large):
                yield _same_or(origin, current)
                current = None
            if current is None:
                current, origin = _Chunk(is_of_large=is_large), owner
            current.add(key, member)
        if current is not None:
            yield _same_or(origin, current)

    def _ends(
        self, part: _Chunk, origin: _Chunk | None, owner: _Chunk | None, member: bytes, *, is_large: bool
    ) -> bool:
        """Whether a part that was begun, with members of ``origin``, ends before this member of ``owner``."""
        if part.is_of_large is not is_large:
            return True
        if part.size + len(member) > self._size * (1 if origin is None else 2):
            return True
        return owner is not None and owner is not origin and part.size >= self._size // 4


def _size_of_parts(members: EncodedItems) -> int:
    return max(_SMALLEST, members.size // _MOST)


class _Chunk:
    __slots__ = ("encoded", "is_of_large", "keys", "members", "name", "size")

    def __init__(self, *, is_of_large: bool) -> None:
        self.is_of_large = is_of_large
        """Its members are references to large values, or none of them is."""
        self.keys: list[str] = []
        self.members: list[bytes] = []
        self.size = 0
        self.encoded: bytes | None = None
        """What stands for it in the payload; None until that is made."""
        self.name = ""
        """Of the blob that holds it, if one does."""

    def add(self, key: str, member: bytes) -> None:
        self.keys.append(key)
        self.members.append(member)
        self.size += len(member)

    def put(self, place: int, member: bytes) -> None:
        self.size += len(member) - len(self.members[place])
        self.members[place] = member
        self.encoded = None


def _same_or(origin: _Chunk | None, part: _Chunk) -> _Chunk:
    is_same = origin is not None and origin.encoded is not None and origin.members == part.members
    return origin if origin is not None and is_same else part


def chunk_trees(values: dict[str, Any]) -> dict[str, Any] | None:
    """The trees of a section's parts by their numbers, or None where it is not divided.

    :raises CheckpointDamagedError: it is meant to be, and is not.
    """
    if len(values) != 1 or _TAG not in values:
        return None
    parts = values[_TAG]
    if type(parts) is not dict:
        raise CheckpointDamagedError("the chunks of one of its sections are not valid")
    return parts


def values_of(part: Any) -> dict[str, Any]:
    """The values in the tree of a part that is no reference.

    :raises CheckpointDamagedError: it is no part.
    """
    values = part.get(_VALUES) if type(part) is dict and len(part) == 1 else None
    if type(values) is not dict:
        raise CheckpointDamagedError("a chunk of one of its sections is not valid")
    return values


def joined(values: dict[str, Any]) -> dict[str, Any]:
    """A section as if it had never been divided.

    :raises CheckpointDamagedError: its parts are none.
    """
    parts = chunk_trees(values)
    if parts is None:
        return values
    whole: dict[str, Any] = {}
    for part in parts.values():
        whole |= values_of(part)
    return whole
