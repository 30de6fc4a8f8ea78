"""A value whose buffers are stored beside the record stays readable, byte for byte as it was written first.

To write the file where there is none: ``python -m tests.core.checkpoint.serialization.test_buffers_golden``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.storage import Record, RecordCodec, RecordHeader

FILE = Path(__file__).parents[2] / "golden" / "record_1.0.0_buffers.txt"
"""The header, the payload, and a line for each blob: its name, and its content in hex."""
TEXT = b"all work and no play " * 400


def make_state() -> dict[str, Any]:
    return {
        "bytes": TEXT,
        "several": [bytearray(TEXT[:-5]), TEXT + b".", memoryview(TEXT)],
        "small": [memoryview(b"ab"), b"cd", bytearray(b"ef")],
    }


def write_current() -> Record:
    checkpoint = GraphCheckpoint(
        "ckpt_golden_000001", "golden", datetime(2024, 1, 1, tzinfo=UTC), graph_state=make_state()
    )
    return RecordCodec().encode(
        checkpoint, sequence=1, manual=False, nonce="w-1", cache=EncodingCache(), blobs=NewBlobs("w")
    )


def lines_of(record: Record) -> list[bytes]:
    blobs = [name.encode() + b" " + content.hex().encode() for name, content in record.blobs.items()]
    return [record.header.to_json(), record.payload, *blobs]


def test_what_was_written_first_is_read_as_it_was() -> None:
    header, payload, *blobs = FILE.read_bytes().splitlines()
    contents = {name.decode(): bytes.fromhex(content.decode()) for name, content in (line.split() for line in blobs)}
    codec = RecordCodec()

    back = codec.read(codec.open(Record(RecordHeader.from_json(header), payload)), contents).graph_state
    assert back == make_state()
    assert [type(value) for value in back["small"]] == [memoryview, bytes, bytearray]


def test_the_same_is_written_today() -> None:
    assert lines_of(write_current()) == FILE.read_bytes().splitlines()


if __name__ == "__main__":
    with FILE.open("xb") as file:
        file.write(b"".join(line + b"\n" for line in lines_of(write_current())))
