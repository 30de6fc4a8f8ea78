"""The blobs of the record that is being made, and what stands for values that refer to some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spark.graphs.checkpoint.records.blobs import BlobRef, NewBlobs
from spark.graphs.checkpoint.records.buffers import Pieces


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

    @property
    def held(self) -> int:
        """How many encoded bytes wait to be stored."""
        return self._blobs.held

    def keep(self, content: bytes | Pieces) -> BlobRef:
        """Store an encoded value, or a chunk of buffers, as a blob. Returns the reference to it."""
        return self._add(content, sequence=self.sequence)

    def discard(self, names: Iterable[str]) -> None:
        """These are not needed: nothing refers to them."""
        self._blobs.discard(names)


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
