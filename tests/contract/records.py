"""Records made by hand, for tests of what stores them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from spark.graphs.checkpoint.ids import automatic_id
from spark.graphs.checkpoint.record import Record, RecordHeader

NOON = datetime(2024, 2, 29, 12, 0, 0, 123457, tzinfo=UTC)


def make_record(
    graph_id: str = "g",
    sequence: int = 1,
    *,
    payload: bytes = b'{"graph_state":{"n":1}}',
    checkpoint_id: str | None = None,
    format: str = "json",
    compression: str = "",
    timestamp: datetime | None = None,
    metadata: dict[str, Any] | None = None,
    blobs: dict[str, bytes] | None = None,
) -> Record:
    """A record with a header that fits its payload; with a ``checkpoint_id`` one made by hand."""
    searched = {"iteration": sequence, "last_node": 'naïve "node" 🎈', "ratio": 0.1, "done": False, "why": None}
    header = RecordHeader(
        checkpoint_id=checkpoint_id or automatic_id(graph_id, sequence),
        graph_id=graph_id,
        sequence=sequence,
        parent=sequence - 1 or None,
        timestamp=timestamp or NOON + timedelta(seconds=sequence),
        manual=checkpoint_id is not None,
        version="1.0.0",
        format=format,
        compression=compression,
        size=len(payload),
        raw_size=len(payload),
        nonce=uuid4().hex,
        checksum=f"sha256:{sha256(payload).hexdigest()}",
        metadata=searched if metadata is None else metadata,
    )
    return Record(header, payload, blobs=blobs)
