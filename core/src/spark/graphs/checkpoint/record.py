"""What a backend stores: a header, and a payload of bytes that it never looks into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.model import CheckpointInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """Everything about a record that is known without decoding its payload."""

    checkpoint_id: str
    """The id that users know it by."""
    graph_id: str
    """The graph it belongs to; with ``sequence``, its address."""
    sequence: int
    """1, 2, 3… in the history of its graph."""
    parent: int | None
    """The sequence that this one continues, if any."""
    timestamp: datetime
    """When it was made, in UTC."""
    manual: bool
    """Made by hand: found by its id, exempt from retention."""
    version: str
    """The checkpoint format version of the payload's content."""
    format: str
    """The name of the format that made the payload, for instance ``"json"``."""
    compression: str
    """``"gzip"``, or ``""`` for none."""
    size: int
    """Length of the payload as stored, in bytes."""
    raw_size: int
    """Length of the payload before compression, in bytes."""
    nonce: str
    """Random and unique to this record, so that a writer recognises its own."""
    checksum: str = ""
    """SHA-256 over the header's other fields and the payload, in hex."""
    signature: str = ""
    """The format's signature over the same bytes, in hex, or ``""``."""


@dataclass(frozen=True, slots=True)
class Record:
    """One checkpoint as a backend sees it."""

    header: RecordHeader
    payload: bytes

    def info(self) -> CheckpointInfo:
        """The line that this record makes in a listing."""
        header = self.header
        return CheckpointInfo(
            checkpoint_id=header.checkpoint_id if header.manual else automatic_id(header.graph_id, header.sequence),
            graph_id=header.graph_id,
            sequence=header.sequence,
            timestamp=header.timestamp,
            size=header.size,
            manual=header.manual,
        )
