"""Large buffers, such as the bytes of an array: kept out of the tree of their value, as blobs of raw bytes.

All of one value stand one after the other, each at a multiple of 64 bytes, and are cut into chunks of 8 MB, so that nobody has to
hold a huge one. The tree refers to each by its offset and size. What is stored for the value is
``{"$buffered": {"value": tree, "chunks": {"0": {"$blob": […]}, …}}}``; a large tree is a blob itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from spark.errors import CheckpointDamagedError

BUFFERED: Final = "$buffered"
"""The tag of a value with large buffers."""
VALUE: Final = "value"
CHUNKS: Final = "chunks"
CHUNK_SIZE: Final = 8 * 2**20
_ALIGNMENT: Final = 64
_SAMPLE: Final = 64 * 1024


class Pieces:
    """Bytes that are put together only when somebody reads them: ``bytes(pieces)``. Of the buffers, nothing may be changed.

    :param views: each of bytes in a row.
    """

    __slots__ = ("size", "views")

    def __init__(self, views: Sequence[memoryview]) -> None:
        self.views: Sequence[memoryview] = views
        self.size: int = sum([view.nbytes for view in views])

    def __len__(self) -> int:
        return self.size

    def sample(self) -> bytes:
        """Some of them, from the middle of the longest piece."""
        longest = max(self.views, key=len)
        start = max(0, len(longest) // 2 - _SAMPLE // 2)
        return bytes(longest[start : start + _SAMPLE])

    def __bytes__(self) -> bytes:
        return bytes(self.views[0]) if len(self.views) == 1 else b"".join(self.views)


class Buffers:
    """The large buffers of the value that is just being encoded."""

    def __init__(self) -> None:
        self.size = 0
        """The length of all together."""
        self._views: list[memoryview] = []

    def keep(self, pieces: Pieces) -> list[int]:
        """Keep the bytes of a buffer out of the tree; returns what stands for them there: offset and size."""
        gap = -self.size % _ALIGNMENT
        if gap:
            self._views.append(memoryview(bytes(gap)))
        self._views += pieces.views
        offset = self.size + gap
        self.size = offset + pieces.size
        return [offset, pieces.size]

    def take_chunks(self) -> list[Pieces]:
        """Everything that was kept, divided into chunks; from now on nothing is kept."""
        chunks = list(_divided(self._views))
        self.clear()
        return chunks

    def take_views(self) -> list[memoryview]:
        """Everything that was kept, one after the other; from now on nothing is kept."""
        views = [*self._views]
        self.clear()
        return views

    def clear(self) -> None:
        """Keep nothing."""
        self.size = 0
        self._views.clear()


class StoredBuffers:
    """The large buffers of the value that is just being read."""

    def __init__(self, chunks: Sequence[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._ends = list(accumulate(map(len, chunks)))
        self._left = self._ends[-1] if chunks else 0
        """So many bytes may still be read: a writer refers to each of them once at most."""

    def read(self, place: Any) -> bytearray:
        """The bytes at this offset and of this size, in memory of their own.

        :raises ValueError: there is no such place, or more was read than there is.
        """
        parts = self._parts(place)
        if len(parts) == 1:
            return bytearray(parts[0])
        buffer = bytearray(place[1])
        start = 0
        for part in parts:
            buffer[start : start + len(part)] = part
            start += len(part)
        return buffer

    def read_bytes(self, place: Any) -> bytes:
        """The same, as bytes; without a copy where they are one chunk.

        :raises ValueError: as above.
        """
        parts = self._parts(place)
        whole = parts[0].obj if len(parts) == 1 else None
        return whole if type(whole) is bytes and len(whole) == place[1] else b"".join(parts)

    def _parts(self, place: Any) -> list[memoryview]:
        offset, size = place
        if type(offset) is not int or type(size) is not int or offset < 0 or not 0 < size <= self._left:
            raise ValueError("it refers to bytes that are not stored with it")
        self._left -= size
        parts = list(self._slices(offset, size))
        if sum(map(len, parts)) != size:
            raise ValueError("it refers to bytes that are not stored with it")
        return parts

    def _slices(self, offset: int, size: int) -> Iterator[memoryview]:
        number = bisect_right(self._ends, offset)
        while size > 0 and number < len(self._chunks):
            start = offset - (self._ends[number] - len(self._chunks[number]))
            part = memoryview(self._chunks[number])[start : start + size]
            yield part
            offset, size, number = offset + len(part), size - len(part), number + 1


def buffered_parts(tree: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What stands in a mapping for a value with large buffers: what holds its tree, and its chunks; or None.

    :raises CheckpointDamagedError: it is meant to be that, and is not.
    """
    if type(tree) is not dict or len(tree) != 1 or BUFFERED not in tree:
        return None
    content = tree[BUFFERED]
    if type(content) is not dict or content.keys() != {VALUE, CHUNKS} or type(content[CHUNKS]) is not dict:
        raise CheckpointDamagedError("the buffers of a value are not valid")
    return content, content[CHUNKS]


class Contents(Mapping[str, bytes]):
    """The large values that a record brings along, by name. Those in pieces are put together one by one, when asked for."""

    def __init__(self, contents: Mapping[str, bytes | Pieces]) -> None:
        self._contents = contents

    def __getitem__(self, name: str) -> bytes:
        return bytes(self._contents[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)

    @property
    def nbytes(self) -> int:
        """The length of all together, without putting any of them together."""
        return sum(map(len, self._contents.values()))


def _divided(views: Sequence[memoryview]) -> Iterator[Pieces]:
    parts: list[memoryview] = []
    room = CHUNK_SIZE
    for view in views:
        while view.nbytes:
            part, view = view[:room], view[room:]
            parts.append(part)
            room -= part.nbytes
            if not room:
                yield Pieces(parts)
                parts, room = [], CHUNK_SIZE
    if parts:
        yield Pieces(parts)
