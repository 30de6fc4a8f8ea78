"""Record ↔ the bytes of one object.

The payload is stored as it is. Around it stands what makes the object readable with ordinary tools:

- JSON that is not compressed: one JSON document, ``{"header": {…},\\n"payload": …\\n}\\n``;
- anything else: one line of JSON, ``{"header": {…}}``, then the payload.

Reading cuts the payload out by its length. It parses the header and nothing else, and inflates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spark.errors import BackendError, CheckpointDamagedError
from spark.graphs.checkpoint import Record, RecordHeader

LONGEST_HEAD: Final = 60_000
"""What stands before the payload is at most this many bytes."""

_OPEN: Final = b'{"header": '
_PAYLOAD: Final = b',\n"payload": '
_CLOSE: Final = b"\n}\n"
_LINE_END: Final = b"}\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What the beginning of an object says about the rest."""

    header: RecordHeader
    """The record's header."""
    start: int
    """Where the payload begins."""
    tail: bytes
    """What follows the payload, to the end of the object."""

    @property
    def end(self) -> int:
        """Where the payload ends."""
        return self.start + self.header.size


def frame(record: Record) -> bytes:
    """The bytes of the object that holds this record; ``unframe`` is the inverse.

    :raises BackendError: the header is too long to be read back.
    """
    header = record.header
    is_document = header.format == "json" and not header.compression
    before = _OPEN + header.to_json() + (_PAYLOAD if is_document else _LINE_END)
    if len(before) > LONGEST_HEAD:
        raise BackendError(
            f"The s3 backend can't save checkpoint {header.sequence} of graph {header.graph_id[:80]!r}: its header "
            f"takes {len(before):,} bytes, and {LONGEST_HEAD:,} can be read back. Use a shorter signature."
        )
    return b"".join((before, record.payload, _CLOSE if is_document else b""))


def unframe(content: bytes, *, place: str) -> Record:
    """The record that these bytes were made from.

    :param place: the object, for messages.
    :raises CheckpointDamagedError: the bytes are not what ``frame`` makes.
    """
    head = read_head(content[:LONGEST_HEAD], place=place)
    check_size(head, len(content), place=place)
    if content[head.end :] != head.tail:
        raise _damaged(place, "what follows the payload is not the end of a record")
    return Record(head.header, content[head.start : head.end])


def read_head(beginning: bytes, *, place: str) -> Head:
    """The header, and where the payload stands.

    :param beginning: the first bytes of an object, the whole head among them.
    :raises CheckpointDamagedError: the object does not begin like a record.
    """
    line_end = beginning.find(b"\n")
    if line_end > 0 and beginning.startswith(_OPEN):
        if beginning.startswith(_PAYLOAD, line_end - 1):
            header = _parse(beginning[len(_OPEN) : line_end - 1], place=place)
            return Head(header, line_end - 1 + len(_PAYLOAD), _CLOSE)
        if beginning.startswith(_LINE_END, line_end - 1):
            header = _parse(beginning[len(_OPEN) : line_end - 1], place=place)
            return Head(header, line_end + 1, b"")
    raise _damaged(place, "it does not begin with the header of a record")


def holds_head(beginning: bytes) -> bool:
    """Whether these first bytes of an object are enough for ``read_head``."""
    line_end = beginning.find(b"\n")
    return 0 <= line_end <= len(beginning) - len(_PAYLOAD)


def check_size(head: Head, size: int, *, place: str) -> None:
    """Compare an object's length with what its header says.

    :raises CheckpointDamagedError: they differ.
    """
    if size != head.end + len(head.tail):
        raise _damaged(place, f"it has {size:,} bytes where its header says {head.end + len(head.tail):,}")


def _parse(text: bytes, *, place: str) -> RecordHeader:
    try:
        return RecordHeader.from_json(text)
    except CheckpointDamagedError as error:
        raise CheckpointDamagedError(f"The checkpoint {place} is damaged. {error}") from error


def _damaged(place: str, reason: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"The checkpoint {place} is damaged: {reason}. Delete this object, or restore it from a backup; "
        "other checkpoints are not affected."
    )
