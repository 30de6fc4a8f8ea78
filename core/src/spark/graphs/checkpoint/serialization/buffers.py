"""``bytes``, ``bytearray`` and ``memoryview`` ↔ plain tree: small ones in it, large ones beside it where that is possible.

In the tree is ``{"$bytes": content}``, and the content is base64, or offset and size of what is kept beside it. A format that
takes bytes gets the bytes instead of base64.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final, Protocol

from spark.graphs.checkpoint.records.blobs import LARGE_FROM
from spark.graphs.checkpoint.records.buffers import CHUNKS, VALUE, Pieces, StoredBuffers
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable

KeepBuffer = Callable[[Pieces], list[int]]
"""Keeps a large buffer beside the tree; returns what stands for it there."""


def leave_out(pieces: Pieces) -> list[int]:
    """Keep nothing of a large buffer: for whoever only wants to know whether a value can be saved."""
    return [0, 0]


def write_buffer(value: Any, *, keep: KeepBuffer | None, takes_bytes: bool) -> Any:
    """The tree of bytes.

    :param keep: takes the large ones, if there is a place for them.
    :param takes_bytes: the format writes bytes as they are.
    """
    kind = type(value)
    if keep is not None and len(value) >= LARGE_FROM:
        return {_TAGS[kind]: keep(value if kind is Pieces else Pieces([_in_a_row(value)]))}
    if kind is memoryview:
        _in_a_row(value)
    if takes_bytes:
        return value if kind is bytes else {_TAGS[kind]: bytes(value)}
    return {_TAGS[kind]: base64.b64encode(bytes(value) if kind is Pieces else value).decode("ascii")}


def _in_a_row(value: Any) -> memoryview:
    view = memoryview(value)
    if view.ndim != 1 or view.format != "B" or not view.c_contiguous:
        raise Unsaveable("it is a memoryview that is not contiguous bytes. Use its cast('B'), or bytes(…) of it.")
    return view


class BufferReader(Protocol):
    """A ``TreeReader``."""

    buffers: StoredBuffers
    """Those of the value that is being read."""

    def read(self, tree: Any) -> Any: ...


def read_buffered(reader: BufferReader, content: Any) -> Any:
    """The value of a tree with its large buffers beside it."""
    before = reader.buffers
    reader.buffers = StoredBuffers([_inline(chunk) for chunk in content[CHUNKS].values()])
    try:
        return reader.read(content[VALUE])
    finally:
        reader.buffers = before


def _read_bytes(reader: BufferReader, content: Any) -> bytes:
    return reader.buffers.read_bytes(content) if type(content) is list else _inline(content)


def _read_bytearray(reader: BufferReader, content: Any) -> bytearray:
    return reader.buffers.read(content) if type(content) is list else bytearray(_inline(content))


def _inline(content: Any) -> bytes:
    return content if type(content) is bytes else base64.b64decode(content, validate=True)


_TAGS: Final[dict[type, str]] = {
    bytes: "$bytes",
    bytearray: "$bytearray",
    memoryview: "$memoryview",
    Pieces: "$memoryview",
}
BUFFER_TYPES: Final = frozenset(_TAGS)
BUFFER_READERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "$bytes": _read_bytes,
    "$bytearray": _read_bytearray,
    "$memoryview": lambda reader, content: memoryview(_read_bytearray(reader, content)),
}
"""Tag → the function that turns its content back. What can be changed has memory of its own."""
