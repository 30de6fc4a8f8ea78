"""Headers and references with codecs and a serializer stay readable, byte for byte as they were written then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.records.blobs import BlobRef
from spark.graphs.checkpoint.storage import Codec, RecordCodec, RecordHeader
from spark_format_msgpack import MsgpackFormat

GOLDEN = Path(__file__).parents[2] / "golden" / "record_1.0.0_codecs.txt"


class Shift(Codec):
    """Adds one to each byte."""

    name = "shift"

    def encode(self, data: bytes) -> bytes:
        return bytes((byte + 1) % 256 for byte in data)

    def decode(self, data: bytes, *, limit: int) -> bytes:
        return bytes((byte - 1) % 256 for byte in data)


STATE = {"plain": [None, True, -1, 2**63 - 1, 1.5, "é"], "bytes": [b"\0$\xff", bytearray(b"a")], "tag": (1, {"$": 2})}
CHECKPOINT = GraphCheckpoint("c", "golden", datetime(2024, 10, 27, tzinfo=UTC), STATE, {}, {"iteration": 1}, sequence=7)


def codec() -> RecordCodec:
    return RecordCodec(MsgpackFormat(), codec=Shift())


def test_a_record_in_messagepack_behind_a_codec_is_read_and_written_as_it_was() -> None:
    head, payload, reference = GOLDEN.read_text().splitlines()
    record = codec().encode(CHECKPOINT, sequence=7, manual=False, nonce="0123456789abcdef")

    assert record.header.to_json().decode() == head
    assert record.payload.hex() == payload
    assert codec().decode(record) == replace(CHECKPOINT, sequence=7)
    assert RecordHeader.from_json(head.encode()).codecs == ("shift",)
    assert repr(BlobRef("000000000001-w-1", 3, 3, "sha256:00", "", ("a", "b")).tree()) == reference
