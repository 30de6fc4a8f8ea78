"""The MessagePack format: what every format promises, and what it says of bytes without loading them."""

from __future__ import annotations

import asyncio
import datetime
import enum
import struct
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend, open_backend
from spark_format_msgpack import MsgpackFormat
from spark_testing import FormatConformance
from tests.plugins.support.command_line import file_url, spark

FORMAT = MsgpackFormat()
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
trees = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40)


class TestMsgpack(FormatConformance):
    @pytest.fixture
    def format(self) -> MsgpackFormat:
        return MsgpackFormat()


def number_of_values(tree: Any) -> int:
    if isinstance(tree, dict):
        return 1 + len(tree) + sum(map(number_of_values, tree.values()))
    return 1 + (sum(map(number_of_values, tree)) if isinstance(tree, list) else 0)


@settings(deadline=None)
@given(trees)
def test_values_are_counted_exactly_without_loading_them(tree: Any) -> None:
    assert FORMAT.count(FORMAT.dumps(tree)) == number_of_values(tree)


def test_long_texts_and_bytes_are_few_values() -> None:
    tree = {"text": "é" * 100_000, "bytes": b"\x80" * 300, "more": [b"x" * 70_000, "y" * 200]}

    assert FORMAT.count(FORMAT.dumps(tree)) == number_of_values(tree)


def test_to_count_takes_bounded_time() -> None:
    data = b"\xdd\x05\xf5\xe1\x00" + b"\x90" * 30_000_000
    began = time.process_time()

    assert FORMAT.count(data) >= 30_000_000
    assert time.process_time() - began < 2


def has_tag(tree: Any) -> bool:
    if isinstance(tree, dict):
        is_tag = len(tree) == 1 and next(iter(tree)).startswith("$")
        return is_tag or any(map(has_tag, tree.values()))
    return isinstance(tree, list) and any(map(has_tag, tree))


texts = st.text("$aé\x00", max_size=40)


@settings(deadline=None)
@given(st.recursive(leaves | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20))
def test_no_tree_with_a_tag_is_called_plain(tree: Any) -> None:
    assert not (FORMAT.is_plain(FORMAT.dumps(tree)) and has_tag(tree))


@pytest.mark.parametrize("text", [b"\xa2", b"\xd9\x02", b"\xda\x00\x02", b"\xdb\x00\x00\x00\x02"], ids=repr)
@pytest.mark.parametrize("one", [b"\x81", b"\xde\x00\x01", b"\xdf\x00\x00\x00\x01"], ids=repr)
def test_a_tag_is_seen_however_it_is_spelt(one: bytes, text: bytes) -> None:
    data = one + text + b"$x\xc0"

    assert FORMAT.loads(data) == {"$x": None}
    assert not FORMAT.is_plain(data)


def test_dollar_signs_in_numbers_and_inside_of_texts_are_plain() -> None:
    tree = {"price": "5 $", "codes": [0x24, 0x2400, 36.0, struct.unpack(">d", b"\x40$$$$$$$")[0]]}

    assert FORMAT.is_plain(FORMAT.dumps(tree))


class Color(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        datetime.datetime(2024, 5, 1),
        uuid.UUID(int=1),
        Color.RED,
        Point(1),
        Text("a"),
        {1: 2},
        2**64,
        {1, 2},
        "\ud800",
    ],
    ids=repr,
)
def test_what_would_come_back_as_something_else_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        FORMAT.dumps({"a": [value]})


@pytest.mark.parametrize(
    "data",
    [
        FORMAT.dumps([1]) + b"\xc0",
        FORMAT.dumps([1]) * 2,
        b"\xc0" + b"\xc4\x10" + b"x" * 16,
        b"\x81\x01\x02",
        b"\x81\xc4\x01a\x02",
        b"\x81\xc0\x02",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xd4\x05\x00",
        b"\xa1\xff",
        b"\xc1",
    ],
    ids=[
        "more",
        "twice",
        "an end",
        "number as key",
        "bytes as key",
        "null as key",
        "time",
        "extension",
        "text",
        "reserved",
    ],
)
def test_what_is_no_plain_tree_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        FORMAT.loads(data)


async def test_bytes_are_stored_as_they_are_and_shown_by_the_command(tmp_path: Path) -> None:
    async with FileCheckpointBackend(directory=tmp_path, format="msgpack") as backend:
        state = {"small": b"\x00small\xff", "large": b"\x00large\xff" * 5000, "array": bytearray(b"\x00array\xff")}
        await Graph(start=ExitNode(), id="g", state=state).create_checkpoint("by-hand").save(backend)
    (file,) = tmp_path.rglob("*.ckpt")
    assert file.read_bytes().startswith(b'{"header": {"checkpoint_id":"by-hand"')
    assert b"\x00small\xff" in file.read_bytes()
    assert b"\x00array\xff" in file.read_bytes()

    async with FileCheckpointBackend(directory=tmp_path) as backend:  # which would write JSON
        loaded = await CheckpointManager(backend).load_checkpoint("by-hand")
    assert loaded.graph_state == state
    shown = await asyncio.to_thread(spark, "checkpoints", "show", "by-hand", "--url", file_url(tmp_path))
    assert shown.code in (0, None), shown.err
    assert "small" in shown.out


def test_it_is_chosen_by_url() -> None:
    assert isinstance(open_backend("memory://?format=msgpack").record_codec.format, MsgpackFormat)
