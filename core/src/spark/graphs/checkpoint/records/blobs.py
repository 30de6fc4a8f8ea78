"""Large values, stored once for each change: the references to them in payloads, and which of them are no longer needed.

A blob is written before, or together with, the first record that refers to it, and never changed. Its name holds the
sequence of that record, so names alone say what may be collected; see ``docs/decisions/blobs.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.records.buffers import VALUE, Pieces, buffered_parts
from spark.graphs.checkpoint.records.checksum import checksum, checksum_of, is_right
from spark.graphs.checkpoint.records.chunks import chunk_trees, joined, values_of
from spark.graphs.checkpoint.records.codecs import Codec, FindCodecs, codec_names, pack, undo
from spark.graphs.checkpoint.records.compression import shrinks
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, Inflation, ReadLimits, most_members

LARGE_FROM: Final = 8192
"""Encoded values of at least this many bytes are kept as blobs; what is smaller costs less where it is used."""

_TAG: Final = "$blob"
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_DIGITS: Final = 12
_FIELD_TYPES: Final[tuple[list[type], ...]] = ([str, int, int, str, str], [str, int, int, str, str, list])

Place = tuple[dict[str, Any], str]
"""A mapping in a payload's tree in which there may be references and chunks: what holds it, and its name there."""


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A reference in a payload to a value that is stored as a blob."""

    name: str
    """Unique in its graph: the sequence that it was written for, in digits, and what tells it from all others."""
    size: int
    """Length of what is stored, in bytes."""
    raw_size: int
    """Length before compression, in bytes."""
    checksum: str
    """Of what is stored."""
    compression: str = ""
    """``"gzip"``, ``"zstd"``, or ``""`` for none."""
    codecs: tuple[str, ...] = ()
    """The names of the codecs that it passed, in this order."""

    def tree(self) -> dict[str, Any]:
        """It as a plain tree: a tag that no value of a user is ever written as."""
        fields = [self.name, self.size, self.raw_size, self.checksum, self.compression]
        return {_TAG: [*fields, [*self.codecs]] if self.codecs else fields}

    @classmethod
    def of(cls, tree: Any) -> BlobRef | None:
        """The reference that this tree is, or None.

        :raises CheckpointDamagedError: it is meant to be one, and is not.
        """
        if type(tree) is not dict or len(tree) != 1 or _TAG not in tree:
            return None
        fields = tree[_TAG]
        if type(fields) is not list or [type(field) for field in fields] not in _FIELD_TYPES:
            raise CheckpointDamagedError("a reference to a large value is not valid")
        # Names become parts of paths and keys, and anybody who may write to the store can choose them: none may lead elsewhere.
        if not is_blob_name(fields[0]):
            raise CheckpointDamagedError(f"it refers to a large value by {fields[0][:40]!r}, which is not a valid name")
        codecs = tuple(fields[5]) if len(fields) > 5 else ()
        if not {str}.issuperset(map(type, codecs)):
            raise CheckpointDamagedError("the codecs of a large value are not names")
        name, size, raw_size, stored_checksum, compression = fields[:5]
        return cls(name, size, raw_size, stored_checksum, compression, codecs)

    def is_intact(self, stored: bytes) -> bool:
        """Whether these bytes are what was stored under the name."""
        return len(stored) == self.size and is_right(self.checksum, b"", stored)

    def content(self, stored: bytes, find_codecs: FindCodecs) -> bytes:
        """The encoded value, from what is stored under the name.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but its compression or a codec can't be undone here.
        """
        if not self.is_intact(stored):
            raise CheckpointDamagedError(f"its large value {self.name!r} is not what was written")
        codecs, what = find_codecs(self.codecs), f"The large value {self.name!r}"
        try:
            return undo(stored, compression=self.compression, codecs=codecs, raw_size=self.raw_size, what=what)
        except CheckpointDamagedError as error:
            raise CheckpointDamagedError(f"its large value {self.name!r} can't be unpacked: {error}") from error


class NewBlobs:
    """The large values that a run's next record has to bring along."""

    def __init__(self, writer: str, limits: ReadLimits = DEFAULT_LIMITS) -> None:
        self._writer = writer
        """Tells this run's blobs from those of all others."""
        self._count = 0
        self.unstored: dict[str, bytes | Pieces] = {}
        """Name to content, until a record that refers to them is durable."""
        self.inflation = Inflation(limits)

    def add(
        self,
        content: bytes | Pieces,
        *,
        sequence: int,
        compression: str,
        codecs: Sequence[Codec] = (),
        count: Callable[[bytes], int],
    ) -> BlobRef:
        """Keep an encoded value, or a chunk of buffers, as a blob of the record that is made for this sequence.

        :param count: at most how many values are read from an encoded value.
        :raises SerializationError: a codec fails.
        """
        self._count += 1
        name = f"{sequence:0{_DIGITS}d}-{self._writer}-{self._count}"

        def admits(size: int) -> bool:
            members = 0 if isinstance(content, Pieces) else most_members(content, count, stored=size)
            return self.inflation.admits(name, size=size, raw_size=len(content), members=members)

        stored: bytes | Pieces
        if isinstance(content, Pieces) and compression and not shrinks(content.sample(), compression):
            compression = ""
        if isinstance(content, Pieces) and not compression and not codecs:
            stored, packed_by = content, ""
        else:
            stored, packed_by = pack(bytes(content), compression=compression, codecs=codecs, admits=admits)
        ref = BlobRef(
            name=name,
            size=len(stored),
            raw_size=len(content),
            checksum=checksum_of(stored.views) if isinstance(stored, Pieces) else checksum("sha256", b"", stored),
            compression=packed_by,
            codecs=codec_names(codecs),
        )
        self.unstored[ref.name] = stored
        return ref


def is_blob_name(name: str) -> bool:
    """Whether a large value can have this name: it can be a part of any path or key, and leads nowhere else."""
    return _NAME.fullmatch(name) is not None


def birth(name: str) -> int | None:
    """The sequence of the record that a blob was written for, or None if the name is not one of ours."""
    digits, _, rest = name.partition("-")
    return int(digits) if rest and len(digits) >= _DIGITS and digits.isascii() and digits.isdecimal() else None


def is_of(name: str, writer: str) -> bool:
    """Whether this writer made the blob."""
    return name.split("-")[1:2] == [writer]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference, and its place in a payload's tree."""

    ref: BlobRef
    mapping: dict[str, Any]
    """What holds it,"""
    key: str
    """under this key."""
    is_raw: bool = False
    """It refers to a chunk of buffers, and not to an encoded value."""


def references(places: Iterable[Place]) -> list[Reference]:
    """The references in the mappings at these places of a payload's tree.

    :raises CheckpointDamagedError: one of them is not a reference, or a mapping is divided into what are not chunks.
    """
    return [
        reference
        for holder, name in places
        if type(values := holder.get(name)) is dict
        for mapping in _mappings(values)
        for key, value in mapping.items()
        if type(value) is dict
        for reference in _references_at(mapping, key, value)
    ]


def join_chunks(places: Iterable[Place]) -> None:
    """Join the chunks of the mappings that are divided, once every reference was replaced by what it refers to.

    :raises CheckpointDamagedError: one of them is divided into what are not chunks.
    """
    for holder, name in places:
        if type(values := holder.get(name)) is dict:
            holder[name] = joined(values)


def _references_at(mapping: dict[str, Any], key: str, value: dict[str, Any]) -> Iterable[Reference]:
    """The references in one value of a mapping: itself, or where it has large buffers, those to its tree and to these."""
    if ref := BlobRef.of(value):
        return (Reference(ref, mapping, key),)
    parts = buffered_parts(value)
    if parts is None:
        return ()
    content, chunks = parts
    found = [
        Reference(ref, chunks, number, is_raw=True) for number, each in chunks.items() if (ref := BlobRef.of(each))
    ]
    return [Reference(ref, content, VALUE), *found] if (ref := BlobRef.of(content[VALUE])) else found


def _mappings(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What may hold references: a mapping's values, or its chunks and the values of those that are in the payload."""
    chunks = chunk_trees(values)
    if chunks is None:
        yield values
        return
    yield chunks
    for chunk in chunks.values():
        if BlobRef.of(chunk) is None:
            yield values_of(chunk)


def garbage(names: Iterable[str], *, latest: int) -> list[str]:
    """Of blobs that no record refers to, those that no record ever will refer to.

    :param latest: the sequence of the latest remaining automatic record; 0 when there is none. A blob made for a later one may
        belong to a record that is just being written. One made for it or an earlier one, to which it does not refer, can't
        come back: whoever wrote it has gone past it, or was overtaken.
    """
    return [name for name in names if 0 < (birth(name) or 0) <= latest]
