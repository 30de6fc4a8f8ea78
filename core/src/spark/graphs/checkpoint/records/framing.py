"""Record ↔ the bytes of one file or object, for backends that store such.

The payload is stored as it is. Around it stands what makes the whole readable with ordinary tools:

- JSON: one JSON document, ``{"header": {…},\\n"payload": …\\n}\\n``;
- JSON under gzip: the same document as three gzip members, the second one being the payload, for ``zcat``;
- anything else: one line of JSON, ``{"header": {…}}``, then the payload, for ``head -n 1``.

Reading cuts the payload out by its length. It parses the header and nothing else, and inflates nothing.
"""

from __future__ import annotations

from struct import pack
from typing import Final
from zlib import crc32

from spark.errors import BackendError, CheckpointDamagedError
from spark.graphs.checkpoint.records.record import Record, RecordHeader

LONGEST_HEAD: Final = 60_000
"""What stands before the payload is at most this many bytes, so that reading a header is one small read."""

_OPEN: Final = b'{"header": '
_PAYLOAD: Final = b',\n"payload": '
_CLOSE: Final = b"\n}\n"
_LINE_END: Final = b"}\n"
_GZIP: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01"
_GZIP_LENGTHS: Final = len(_GZIP) + 4


class Head:
    """What the beginning of a framed record says about the rest.

    :param start: where the payload begins.
    :param tail: what follows the payload, to the end.
    """

    __slots__ = ("header", "start", "tail")

    def __init__(self, header: RecordHeader, start: int, tail: bytes) -> None:
        self.header: Final = header
        self.start: Final = start
        self.tail: Final = tail

    @property
    def end(self) -> int:
        """Where the payload ends."""
        return self.start + self.header.size

    @property
    def whole(self) -> int:
        """How long the framed record is, exactly, in bytes."""
        return self.end + len(self.tail)


def frame(record: Record) -> bytes:
    """The bytes that hold this record; ``unframe`` is the inverse.

    :raises BackendError: the header is too long to be read back.
    """
    header = record.header
    before, after = _around(header)
    if len(before) > LONGEST_HEAD:
        raise BackendError(
            f"Checkpoint {header.sequence} of graph {header.graph_id[:80]!r} can't be saved: its header takes "
            f"{len(before):,} bytes, and {LONGEST_HEAD:,} can be read back. Use a shorter signature."
        )
    return b"".join((before, record.payload, after))


def unframe(content: bytes, *, place: str) -> Record:
    """The record that these bytes were made from.

    :param place: the file's path or the object's URL, for messages.
    :raises CheckpointDamagedError: the bytes are not what ``frame`` makes.
    """
    head = read_head(content[:LONGEST_HEAD], place=place)
    check_size(head, len(content), place=place)
    if content[head.end :] != head.tail:
        raise _damaged(place, "what follows the payload is not the end of a record")
    return Record(head.header, content[head.start : head.end])


def read_head(beginning: bytes, *, place: str) -> Head:
    """The header, and where the payload stands.

    :param beginning: the first ``LONGEST_HEAD`` bytes, or fewer where ``holds_head`` says that they are enough.
    :raises CheckpointDamagedError: they do not begin like a record.
    """
    if not beginning:
        raise _damaged(place, "it is empty")
    cut = _cut(beginning)
    if cut is None:
        raise _damaged(place, "it does not begin with the header of a record")
    text, start, tail = cut
    return Head(_parse(text, place=place), start, tail)


def holds_head(beginning: bytes) -> bool:
    """Whether these first bytes are enough for ``read_head``."""
    return _cut(beginning) is not None


def check_size(head: Head, size: int, *, place: str) -> None:
    """Compare a length with what its header says, before anything of that length is read.

    :raises CheckpointDamagedError: they differ.
    """
    if size != head.whole:
        raise _damaged(place, f"it has {size:,} bytes where its header says {head.whole:,}")


def _around(header: RecordHeader) -> tuple[bytes, bytes]:
    text = header.to_json()
    is_json = header.format == "json" and not header.codecs
    if is_json and not header.compression:
        return _OPEN + text + _PAYLOAD, _CLOSE
    if is_json and header.compression == "gzip":
        return _member(_OPEN + text + _PAYLOAD), _member(_CLOSE)
    return _OPEN + text + _LINE_END, b""


def _cut(beginning: bytes) -> tuple[bytes, int, bytes] | None:
    return _cut_members(beginning) if beginning.startswith(_GZIP) else _cut_text(beginning)


def _cut_text(beginning: bytes) -> tuple[bytes, int, bytes] | None:
    line_end = beginning.find(b"\n")
    if line_end < 0 or not beginning.startswith(_OPEN):
        return None
    if beginning.startswith(_PAYLOAD, line_end - 1):
        return beginning[len(_OPEN) : line_end - 1], line_end - 1 + len(_PAYLOAD), _CLOSE
    if beginning.startswith(_LINE_END, line_end - 1):
        return beginning[len(_OPEN) : line_end - 1], line_end + 1, b""
    return None


def _cut_members(beginning: bytes) -> tuple[bytes, int, bytes] | None:
    length = int.from_bytes(beginning[len(_GZIP) : len(_GZIP) + 2], "little")
    text = beginning[_GZIP_LENGTHS : _GZIP_LENGTHS + length]
    member = _member(text)
    # The member is made anew and compared, which checks its lengths and its CRC without inflating anything.
    if not beginning.startswith(member) or not text.startswith(_OPEN) or not text.endswith(_PAYLOAD):
        return None
    return text[len(_OPEN) : -len(_PAYLOAD)], len(member), _member(_CLOSE)


def _member(text: bytes) -> bytes:
    # A gzip member with one stored block (RFC 1952, RFC 1951 section 3.2.4). zlib is not asked to make it, because
    # its output differs between versions, and these bytes are compared.
    return _GZIP + pack("<HH", len(text), len(text) ^ 0xFFFF) + text + pack("<II", crc32(text), len(text))


def _parse(text: bytes, *, place: str) -> RecordHeader:
    try:
        return RecordHeader.from_json(text)
    except CheckpointDamagedError as error:
        raise CheckpointDamagedError(f"The checkpoint in {place} is damaged. {error}") from error


def _damaged(place: str, reason: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"The checkpoint in {place} is damaged: {reason}. Delete what is there, or restore it from a backup; other "
        "checkpoints are not affected."
    )
