"""What holds a record is readable with ordinary tools, and anything that is not exactly what was written is found out."""

from __future__ import annotations

import gzip
import json
import pickle
import zlib

import pytest

from spark.errors import BackendError, CheckpointDamagedError
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage import LONGEST_HEAD, frame, holds_head, read_head, unframe
from spark_testing.records import make_record

PAYLOAD = b'{"graph_state": {"n": [1, 2, 3]}}'
RECORDS = {
    "json": make_record(payload=PAYLOAD),
    "json gzip": make_record(payload=gzip.compress(PAYLOAD), compression="gzip"),
    "binary": make_record(payload=b"\x80\x05\n}\n", format="pickle"),
    "binary gzip": make_record(payload=gzip.compress(b"\x80"), format="msgpack", compression="gzip"),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_framed_record_comes_back(kind: str) -> None:
    assert unframe(frame(RECORDS[kind]), place="x") == RECORDS[kind]


def test_json_is_one_json_document() -> None:
    document = json.loads(frame(RECORDS["json"]))

    assert document["payload"] == json.loads(PAYLOAD)
    assert document["header"]["graph_id"] == "g"


def test_compressed_json_is_one_json_document_for_zcat() -> None:
    document = json.loads(gzip.decompress(frame(RECORDS["json gzip"])))

    assert document["payload"] == json.loads(PAYLOAD)
    assert document["header"]["compression"] == "gzip"


@pytest.mark.parametrize("kind", ["binary", "binary gzip"])
def test_the_first_line_of_a_binary_file_is_json(kind: str) -> None:
    line, _, rest = frame(RECORDS[kind]).partition(b"\n")

    assert json.loads(line)["header"]["format"] == RECORDS[kind].header.format
    assert rest == RECORDS[kind].payload


@pytest.mark.parametrize("kind", RECORDS)
def test_a_beginning_that_is_said_to_hold_the_head_does(kind: str) -> None:
    content = frame(RECORDS[kind])
    enough = [length for length in range(len(content)) if holds_head(content[:length])]

    assert enough
    for length in enough:
        assert read_head(content[:length], place="x").header == RECORDS[kind].header


@pytest.mark.parametrize("kind", RECORDS)
def test_every_truncation_is_found(kind: str) -> None:
    content = frame(RECORDS[kind])

    for length in range(len(content)):
        with pytest.raises(CheckpointDamagedError):
            unframe(content[:length], place="x")


@pytest.mark.parametrize("kind", RECORDS)
def test_anything_appended_is_found(kind: str) -> None:
    with pytest.raises(CheckpointDamagedError, match="bytes where its header says"):
        unframe(frame(RECORDS[kind]) + b"\n", place="x")


@pytest.mark.parametrize("kind", RECORDS)
def test_every_flipped_bit_is_found_or_left_to_the_checksum(kind: str) -> None:
    """What passes differs from the original in header or payload, which the checksum covers; nothing else can raise."""
    record = RECORDS[kind]
    content = frame(record)

    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            _check_differs(bytes(flipped), record)


def _check_differs(content: bytes, record: Record) -> None:
    try:
        found = unframe(content, place="x")
    except CheckpointDamagedError:
        return
    assert found != record


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}",
        b'{"header": {}}\n',
        b'{"header": {},\n"payload": 1\n}\n',
        b'{"header": ' + b"[" * 100_000,
        b'{"header": ' + b"[" * 50_000 + b"]" * 5 + b"}\n",
        b'{"header": {"size": ' + b"9" * 5_000 + b"}}\n",
        b'{"header": {"graph_id": "\\ud800"}}\n',
        pickle.dumps({"header": 1}),
        # Every process that tests has to give it one name, so no time may stand in it.
        gzip.compress(b"\0" * 10_000_000, mtime=0),
        zlib.compress(b"\0" * 1000),
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01",
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\xff\xff\0\0" + b"x" * 70_000,
        bytes(range(256)) * 500,
    ],
)
def test_what_is_no_record_is_damaged_and_named(content: bytes) -> None:
    """A pickle, a gzip bomb, deep nesting, huge numbers: one error, in bounded time and memory."""
    with pytest.raises(CheckpointDamagedError, match="The checkpoint in /store/x is damaged"):
        unframe(content, place="/store/x")


@pytest.mark.parametrize("size", [2**62, 0])
def test_a_length_that_does_not_fit_is_found(size: int) -> None:
    content = frame(RECORDS["json"]).replace(b'"size":33', b'"size":%d' % size, 1)

    with pytest.raises(CheckpointDamagedError, match="bytes where its header says"):
        unframe(content, place="x")


def test_a_header_that_could_not_be_read_back_is_refused() -> None:
    from dataclasses import replace

    record = make_record()
    long = Record(replace(record.header, signature="a" * LONGEST_HEAD), record.payload)

    with pytest.raises(BackendError, match="signature"):
        frame(long)
