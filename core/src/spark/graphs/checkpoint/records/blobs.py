"""Large values, stored once for each change: the references to them in payloads, and which of them are no longer needed.

A blob is written before, or together with, the first record that refers to it, and never changed. Its name holds the
sequence of that record, so names alone say what may be collected; see ``docs/decisions/blobs.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.records.buffers import Pieces
from spark.graphs.checkpoint.records.checksum import SHORT, checksum, checksum_of, is_right, shortened
from spark.graphs.checkpoint.records.codecs import Codec, FindCodecs, codec_names, pack, undo
from spark.graphs.checkpoint.records.compression import shrinks
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, Inflation, ReadLimits, most_members

LARGE_FROM: Final = 8192
"""Buffers of at least this many bytes are kept as blobs; what is smaller costs less where it is used."""

_TAG: Final = "$blob"
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_DIGITS: Final = 12
_FIELD_TYPES: Final[tuple[list[type], ...]] = ([str, int, int, str, str], [str, int, int, str, str, list])
_COMPACT_TYPES: Final[tuple[list[type], ...]] = (
    [int, int, int, int, str],
    [int, int, int, int, str, str],
    [int, int, int, int, str, str, str],
)


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

    def compact(self) -> list[Any]:
        """It in a list of references that have a writer and codecs in common: its numbers, sizes, 128 bits of its checksum, and
        its compression, if any; ``of_writer`` adds another writer.
        """
        sequence, _, count = self.name.split("-")
        fields = [int(sequence), int(count), self.size, self.raw_size, shortened(self.checksum)]
        return [*fields, self.compression] if self.compression else fields

    @classmethod
    def of_compact(cls, tree: Any, *, writer: str, codecs: tuple[str, ...]) -> BlobRef:
        """The reference that was written so.

        :raises CheckpointDamagedError: it is none.
        """
        if type(tree) is not list or [type(field) for field in tree] not in _COMPACT_TYPES:
            raise CheckpointDamagedError("a reference to a chunk is not valid")
        sequence, count, size, raw_size, digest = tree[:5]
        writer = tree[6] if len(tree) > 6 else writer
        name = f"{sequence:0{_DIGITS}d}-{writer}-{count}"
        if sequence < 0 or count < 0 or not is_blob_name(name) or is_of(name, "") or not is_of(name, writer):
            raise CheckpointDamagedError(f"it refers to a chunk by {name[:40]!r}, which is not a valid name")
        return cls(name, size, raw_size, SHORT + digest, tree[5] if len(tree) > 5 else "", codecs)

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


def of_writer(compact: list[Any], writer: str) -> list[Any]:
    """A compact reference as it stands among those of another writer."""
    return compact if len(compact) > 6 else [*compact, *[""] * (6 - len(compact)), writer]


def writer_of(name: str) -> str:
    """Who made the blob; nothing if the name is not one of ours."""
    return name.partition("-")[2].partition("-")[0]


class NewBlobs:
    """The large values that a run's next record has to bring along."""

    def __init__(self, writer: str, limits: ReadLimits = DEFAULT_LIMITS) -> None:
        self.writer = writer
        """Tells this run's blobs from those of all others."""
        self._count = 0
        self.unstored: dict[str, bytes | Pieces] = {}
        """Name to content, until it is durable."""
        self.held = 0
        """How many bytes of that are held in memory for this alone."""
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
        name = self.new_name(sequence)

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
        self.held += _held(stored)
        return ref

    def new_name(self, sequence: int) -> str:
        """A name that no blob has, for one that is made for the record with this sequence."""
        self._count += 1
        return f"{sequence:0{_DIGITS}d}-{self.writer}-{self._count}"

    def ahead(self) -> dict[str, bytes]:
        """What can be stored ahead of the record: what takes memory."""
        return {name: content for name, content in self.unstored.items() if type(content) is bytes}

    def stored(self, names: Iterable[str]) -> None:
        """These are durable."""
        for name in names:
            self.held -= _held(self.unstored.pop(name))

    def discard(self, names: Iterable[str]) -> None:
        """Nothing will refer to these, which were made since the last record."""
        names = list(names)
        self.inflation.forget(names)
        self.stored([name for name in names if name in self.unstored])


def _held(content: bytes | Pieces) -> int:
    return len(content) if type(content) is bytes else 0


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


def garbage(names: Iterable[str], *, latest: int) -> list[str]:
    """Of blobs that no record refers to, those that no record ever will refer to.

    :param latest: the sequence of the latest remaining automatic record; 0 when there is none. A blob made for a later one may
        belong to a record that is just being written. One made for it or an earlier one, to which it does not refer, can't
        come back: whoever wrote it has gone past it, or was overtaken.
    """
    return [name for name in names if 0 < (birth(name) or 0) <= latest]
