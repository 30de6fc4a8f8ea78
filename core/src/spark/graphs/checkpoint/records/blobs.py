"""Large values, kept once for each change: what stands for one in a payload, and which of them nobody needs any more.

A blob is written before, or together with, the first record that refers to it, and never changed. Its name holds the
sequence of that record, so names alone say what may be collected; see ``docs/decisions/blobs.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.records.checksum import checksum, is_right
from spark.graphs.checkpoint.records.chunks import chunk_trees, joined, values_of
from spark.graphs.checkpoint.records.compression import compress, unpack
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, Inflation, ReadLimits

SMALLEST: Final = 8192
"""Encoded values of at least this many bytes are kept as blobs; what is smaller costs less where it is used."""

_TAG: Final = "$blob"
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_SECTIONS: Final = ("graph_state", "node_states", "config")
"""What may hold references: the inputs of a run stand in its config."""
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class BlobRef:
    """What stands in a payload for a value that is kept as a blob."""

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

    def tree(self) -> dict[str, Any]:
        """It as a plain tree: a tag that no value of a user is ever written as."""
        return {_TAG: [self.name, self.size, self.raw_size, self.checksum, self.compression]}

    @classmethod
    def of(cls, tree: Any) -> BlobRef | None:
        """The reference that this tree is, or None.

        :raises CheckpointDamagedError: it is meant to be one, and is not.
        """
        if type(tree) is not dict or len(tree) != 1 or _TAG not in tree:
            return None
        fields = tree[_TAG]
        if type(fields) is not list or [type(field) for field in fields] != [str, int, int, str, str]:
            raise CheckpointDamagedError("a reference to a large value is not valid")
        # Names become parts of paths and keys, and come from whoever may write in a store: none may lead elsewhere.
        if not _NAME.fullmatch(fields[0]):
            raise CheckpointDamagedError(f"it refers to a large value by {fields[0][:40]!r}, which is not a valid name")
        return cls(*fields)

    def is_intact(self, stored: bytes) -> bool:
        """Whether these bytes are what was stored under the name."""
        return len(stored) == self.size and is_right(self.checksum, b"", stored)

    def content(self, stored: bytes) -> bytes:
        """The encoded value, from what is stored under the name.

        :raises CheckpointDamagedError: it is not what was written.
        :raises DeserializationError: it is intact, but its compression can't be undone here.
        """
        if not self.is_intact(stored):
            raise CheckpointDamagedError(f"its large value {self.name!r} is not what was written")
        try:
            return unpack(stored, self.compression, raw_size=self.raw_size, what=f"The large value {self.name!r}")
        except CheckpointDamagedError as error:
            raise CheckpointDamagedError(f"its large value {self.name!r} can't be unpacked: {error}") from error


class NewBlobs:
    """The large values that a run's next record has to bring along."""

    def __init__(self, writer: str, limits: ReadLimits = DEFAULT_LIMITS) -> None:
        self._writer = writer
        """Tells this run's blobs from those of all others."""
        self._count = 0
        self.unstored: dict[str, bytes] = {}
        """Name to content, until a record that refers to them is durable."""
        self.inflation = Inflation(limits)

    def add(self, content: bytes, *, sequence: int, compression: str, count: Callable[[bytes], int]) -> BlobRef:
        """Keep an encoded value as a blob of the record that is made for this sequence.

        :param count: at most how many values are read from it.
        """
        self._count += 1
        name = f"{sequence:0{_DIGITS}d}-{self._writer}-{self._count}"
        packed = compress(content, compression) if compression else None
        if packed is not None and not self.inflation.admits(
            name, size=len(packed), raw_size=len(content), members=count(content)
        ):
            packed = None
        stored = content if packed is None else packed
        ref = BlobRef(
            name=name,
            size=len(stored),
            raw_size=len(content),
            checksum=checksum("sha256", b"", stored),
            compression="" if packed is None else compression,
        )
        self.unstored[ref.name] = stored
        return ref


def birth(name: str) -> int | None:
    """The sequence of the record that a blob was written for, or None where the name is none of ours."""
    digits, _, rest = name.partition("-")
    return int(digits) if rest and len(digits) >= _DIGITS and digits.isascii() and digits.isdecimal() else None


def is_of(name: str, writer: str) -> bool:
    """Whether this writer made the blob."""
    return name.split("-")[1:2] == [writer]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference where it stands in a payload's tree."""

    ref: BlobRef
    mapping: dict[str, Any]
    """What holds it,"""
    key: str
    """under this key."""


def references(tree: Mapping[str, Any]) -> list[Reference]:
    """The references in a payload's tree.

    :raises CheckpointDamagedError: one of them is none, or a section is divided into what are no parts.
    """
    return [
        Reference(ref, mapping, key)
        for section in _SECTIONS
        if type(values := tree.get(section)) is dict
        for mapping in _mappings(values)
        for key, value in mapping.items()
        if type(value) is dict and (ref := BlobRef.of(value))
    ]


def join_parts(tree: dict[str, Any]) -> None:
    """Make whole the sections that are divided, when what was referred to stands in the place of all references.

    :raises CheckpointDamagedError: one of them is divided into what are no parts.
    """
    for section in _SECTIONS:
        if type(values := tree.get(section)) is dict:
            tree[section] = joined(values)


def _mappings(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What may hold references: a section's values, or its parts and the values of those that are in the payload."""
    parts = chunk_trees(values)
    if parts is None:
        yield values
        return
    yield parts
    for part in parts.values():
        if BlobRef.of(part) is None:
            yield values_of(part)


def garbage(names: Iterable[str], *, latest: int) -> list[str]:
    """Of blobs that no record refers to, those that none ever will.

    :param latest: the sequence of the latest remaining automatic record; 0 when there is none. A blob made for a later one may
        belong to a record that is just being written. One made for it or an earlier one, to which it does not refer, can't
        come back: whoever wrote it has gone past it, or was overtaken.
    """
    return [name for name in names if 0 < (birth(name) or 0) <= latest]
