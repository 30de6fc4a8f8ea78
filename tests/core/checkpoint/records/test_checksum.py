"""Damage is found by a checksum that names its own method."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.errors import CheckpointDamagedError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.records.checksum import checksum, is_right
from spark.graphs.checkpoint.storage import Record
from tests.plugins.support.kinds import store_of


def test_each_method_is_the_standard_one_over_header_and_payload() -> None:
    """Any other program can check a stored record."""
    assert checksum("sha256", b"head", b"payload") == f"sha256:{sha256(b'headpayload').hexdigest()}"
    assert checksum("crc32", b"head", b"payload") == f"crc32:{zlib.crc32(b'headpayload'):08x}"


async def test_a_record_says_whether_it_is_what_was_written() -> None:
    backend = InMemoryCheckpointBackend()
    await Graph(ExitNode(), id="g", checkpoint_config=CheckpointConfig(backend=backend)).run()
    record = await backend.get("g", 1)
    assert record is not None

    assert record.is_intact()
    assert not Record(record.header, record.payload[:-1] + b"!").is_intact()
    assert not Record(record.header, record.payload + b"!").is_intact()
    assert not Record(replace(record.header, parent=7), record.payload).is_intact()


@pytest.mark.parametrize("method", ["sha256", "crc32"])
@settings(deadline=None)
@given(header=st.binary(max_size=20), payload=st.binary(min_size=1, max_size=20), bit=st.integers(0, 10_000))
def test_a_flipped_bit_of_header_or_payload_is_noticed(method: str, header: bytes, payload: bytes, bit: int) -> None:
    stated, both = checksum(method, header, payload), bytearray(header + payload)
    both[bit // 8 % len(both)] ^= 1 << bit % 8
    changed = bytes(both)

    assert is_right(stated, header, payload)
    assert not is_right(stated, changed[: len(header)], changed[len(header) :])


@pytest.mark.parametrize(
    "stated",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        "sha256:00",
        "crc32:0",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        f"{zlib.crc32(b'hp'):08x}",
        sha256(b"hp").hexdigest(),
        f"crc32:{sha256(b'hp').hexdigest()}",
        f"SHA256:{sha256(b'hp').hexdigest()}",
        f"sha256:{sha256(b'hp').hexdigest().upper()}",
        f"sha256:{sha256(b'hp').hexdigest()} ",
        f"crc32:{zlib.crc32(b'hp'):08x}:",
    ],
)
def test_only_the_exact_checksum_is_right(stated: str) -> None:
    assert not is_right(stated, b"h", b"p")


@pytest.fixture(params=["memory", "file"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    async with store_of(request.param, request, tmp_path) as made:
        yield made


async def saved_in(backend: CheckpointBackend) -> Record:
    start = ExitNode(name="first")
    start >> ExitNode(name="last")
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    await Graph(start=start, id="g", checkpoint_config=config).run()
    record = await backend.get("g", 1)
    assert record is not None
    return record


async def test_what_leaves_the_process_has_the_strong_checksum(backend: CheckpointBackend) -> None:
    record = await saved_in(backend)

    method = "sha256" if backend.persistent else "crc32"
    assert record.header.checksum == checksum(method, record.header.canonical(), record.payload)


@pytest.mark.parametrize("method", ["md5", "", "sha512", "later"])
async def test_a_checksum_by_an_unknown_method_is_damage(backend: CheckpointBackend, method: str) -> None:
    """Nothing that can't be checked is loaded, so no writer can opt out of being checked."""
    record = await saved_in(backend)
    digest = record.header.checksum.partition(":")[2]
    unknown = Record(replace(record.header, checksum=f"{method}:{digest}"), record.payload)

    with pytest.raises(CheckpointDamagedError, match="checksum"):
        backend.record_codec.decode(unknown)


async def test_a_backend_reads_records_by_either_method(tmp_path: Path) -> None:
    """A history may be copied from memory to files."""
    memory = InMemoryCheckpointBackend()
    record = await saved_in(memory)
    async with FileCheckpointBackend(tmp_path) as files:
        await files.put(record)

        assert await files.get("g", 1) == record
        assert (await CheckpointManager(files).load_checkpoint(record.header.checkpoint_id)).graph_id == "g"
