"""Records of every released version stay readable, byte for byte as they were written then.

A new version adds a file, as do new tags; a file is never changed. To write the newest where there is none:
``python -m tests.core.checkpoint.serialization.test_serializer_golden``.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

import pytest
from dateutil import tz
from pydantic_core import TzInfo

from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.serialization.reader import KNOWN_TAGS
from spark.graphs.resuming.validation import validated
from spark.graphs.state.frontier import Frontier
from tests.core.checkpoint_values import (
    PAGES,
    Address,
    Colour,
    Frame,
    Level,
    Modes,
    Mood,
    Note,
    Page,
    Parcel,
    Person,
    Point,
    Range,
    Rights,
    Scores,
    Shade,
    Size,
    Step,
    Version,
    is_same,
)

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = ("record_1.0.0.txt", "record_1.0.0_types.txt", "record_1.0.0_tokens.txt")
"""Oldest first; the second has the tags of types that need not be registered, and the third has tokens by their ids."""
CODEC = RecordCodec(JsonFormat())
MOMENT = datetime(2024, 10, 27, 2, 30, 15, 123456)


def make_checkpoint(file: str = FILES[-1]) -> GraphCheckpoint:
    return GraphCheckpoint(
        checkpoint_id="ckpt_golden_000007",
        graph_id="golden",
        timestamp=MOMENT.replace(tzinfo=timezone(timedelta(hours=2))),
        graph_state=make_state() if file == FILES[0] else make_state_of_types(),
        node_states={"Node": {"seen": {1}}, "Node#2": {}},
        execution_metadata={"iteration": 7, "metadata": {"why": "é"}},
        config={"enable_state": True},
        topology={"nodes": [{"key": "Node"}], "edges": []},
        frontier=make_frontier() if file == FILES[-1] else make_frontier_of_lists(),
        version="1.0.0",
        parent=6,
        origin="ckpt_other_000001",
    )


def make_frontier() -> dict[str, Any]:
    """Two tokens that wait with the same inputs, one at a join, one that a join has released, and a result."""
    return {
        "next_token": 12,
        "tokens": {
            "8": {"node": "Node", "lineage": 2**61 - 2, "source": "Begin", "content": "8", "failures": 2},
            "9": {"node": "Node#2", "lineage": 1, "source": "Begin", "content": "8", "generation": 3, "path": [1, 0]},
            "10": {"node": "Meet", "lineage": 3, "source": None, "content": "10"},
            "11": {"node": "Meet", "lineage": 2**60, "source": "Node", "content": "11", "joined": True},
        },
        "contents": {"8": {"of": ("both", {1})}, "10": None, "11": [None, Point(1)]},
        "result": {"content": {"done": True}, "node": "Exit"},
    }


def make_frontier_of_lists() -> dict[str, Any]:
    """The same as older releases wrote it, without failures and paths."""
    return {
        "next_token": 12,
        "tokens": [
            {"id": 8, "node": "Node", "lineage": 2**61 - 2, "source": "Begin", "joined": False, "content": 0},
            {"id": 9, "node": "Node#2", "lineage": 1, "source": "Begin", "joined": False, "content": 0},
            {"id": 11, "node": "Meet", "lineage": 2**60, "source": "Node", "joined": True, "content": 1},
            {"id": 10, "node": "Meet", "lineage": 3, "source": None, "joined": False, "content": 2},
        ],
        "contents": [{"of": ("both", {1})}, [None, Point(1)], None],
        "result": {"content": {"done": True}, "node": "Exit"},
    }


def make_state() -> dict[str, Any]:
    person = Person(name="Ada", address=Address(lines=("1 Row",), since=MOMENT), Age=36, note=(1, {2}))
    person._seen = 2
    return {
        "plain": [None, True, 0, -1, 2**63 - 1, 1.5, -0.0, 5e-324, 1.7976931348623157e308, "text", {"a": {}}],
        "text": ["é\u2028\x00🎈", "lone \ud800 surrogate"],
        "numbers": [2**63, -(2**100), float("nan"), float("inf"), float("-inf"), complex(1, float("inf"))],
        "decimals": [Decimal("1.10"), Decimal("-0"), Decimal("NaN"), Decimal("1E+400")],
        "containers": [(), (1, (2,)), {1}, frozenset({"a"}), set()],
        "dicts": [{1: "a", (1, 2): "b", None: "c"}, {"$tuple": [1]}, {"_type": "X"}, {"$a": 1, "$b": 2}],
        "bytes": [b"\x00\xff", bytearray(b"abc")],
        "moments": [
            MOMENT,
            MOMENT.replace(tzinfo=UTC),
            MOMENT.replace(tzinfo=timezone(timedelta(hours=-3, minutes=-30), "NST")),
            MOMENT.replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            date(2024, 2, 29),
            time(1, 2, 3, 4, tzinfo=UTC),
            timedelta(-1, 2, 3),
        ],
        "others": [UUID(int=1), Path("a/b"), PurePosixPath("/a"), PureWindowsPath("C:/a"), Path("\udcff")],
        "registered": [Colour.RED, Level.HIGH, Rights.READ | Rights.WRITE, Point(1, (2,)), Step("a", [(1,)])],
        "classes": [Range(1, 2), Version((1, 2)), person, Scores([1, 2])],
    }


def make_state_of_types() -> dict[str, Any]:
    note = Note("a", 7, hidden=[1])
    note.made = note.shouted
    counter = Counter({"a": 2, (1, 2): -1})
    # The largest float is left out: releases of pydantic spell it in two ways.
    return make_state() | {
        "plain": [None, True, 0, -1, 2**63 - 1, 1.5, -0.0, 5e-324, "text", {"a": {}}],
        "fractions": [Fraction(-1, 3), Fraction(2**70, 3)],
        "enums": [Shade.DARK, Mood.FINE, Modes.READ, Modes.READ | Modes.WRITE],
        "tuples": [Size(1, [2])],
        "dataclasses": [note, Note(None), Frame(size=Size(1)), Parcel[dict[str, int | None]]({1: 2}, weight=3)],
        "collections": [deque([1], 3), defaultdict(list, {1: [2]}), defaultdict(Note), OrderedDict(b=1, a=2), counter],
        "models": [PAGES[1](items=[], recent=(1,)), Page.model_construct(recent=1)],
        "zones": [
            UTC,
            timezone(timedelta(0), "UTC"),
            ZoneInfo("Europe/Berlin"),
            TzInfo(60),
            tz.UTC,
            tz.tzoffset("X", 60),
        ],
        "zoned": [MOMENT.replace(tzinfo=TzInfo(3600), fold=1), time(1, tzinfo=tz.tzoffset(None, 60))],
        "uuids": [UUID(int=1, is_safe=SafeUUID.unsafe)],
    }


def read_golden(file: str) -> Record:
    header, _, payload = (GOLDEN / file).read_bytes().partition(b"\n")
    return Record(RecordHeader.from_json(header), payload.removesuffix(b"\n"))


def write_current() -> Record:
    return CODEC.encode(make_checkpoint(), sequence=7, manual=False, nonce="0123456789abcdef")


@pytest.mark.parametrize("file", FILES)
def test_a_record_of_a_released_version_still_loads(file: str) -> None:
    checkpoint = CODEC.decode(read_golden(file))

    expected = make_checkpoint(file)
    assert checkpoint.graph_state.keys() == expected.graph_state.keys()
    for key, value in checkpoint.graph_state.items():
        assert is_same(value, expected.graph_state[key]), key
    for name in (
        "timestamp",
        "node_states",
        "execution_metadata",
        "config",
        "topology",
        "frontier",
        "parent",
        "origin",
    ):
        assert is_same(getattr(checkpoint, name), getattr(expected, name)), name
    assert (checkpoint.version, checkpoint.sequence) == ("1.0.0", 7)


@pytest.mark.parametrize("file", FILES)
def test_a_run_can_go_on_from_the_frontier_of_a_released_version(file: str) -> None:
    checkpoint = validated(replace(CODEC.decode(read_golden(file)), topology=None))
    assert checkpoint.frontier is not None
    frontier = Frontier(joins=["Meet"])
    frontier.load(checkpoint.frontier)

    newer = {"failures", "generation", "path"} if file != FILES[-1] else set()
    expected = make_frontier()
    captured = frontier.capture()
    assert captured["next_token"] == expected["next_token"]
    assert captured["tokens"] == {
        id: {name: value for name, value in token.items() if name not in newer}
        for id, token in expected["tokens"].items()
    }
    assert captured["contents"] == expected["contents"]
    assert [token.node for token in frontier.waiting] == ["Node", "Node#2", "Meet"]
    assert [token.inputs for token in frontier.at_join["Meet"]] == [None]
    assert checkpoint.frontier["result"] == expected["result"]


def test_the_current_version_is_written_as_it_was_released() -> None:
    """Other bytes for the same checkpoint are another version, or at least another file.

    Except for how numbers are spelt: pydantic writes ``1.79e+308`` since 2.13, and ``1.79e308`` before.
    """
    written, released = write_current(), read_golden(FILES[-1])

    assert unsigned_exponents(written.payload) == unsigned_exponents(released.payload)
    assert written.is_intact()
    fields = {"size": 0, "raw_size": 0, "checksum": ""}
    searchable = {"origin": "ckpt_other_000001", **released.header.metadata}  # so that listings know forks
    assert replace(written.header, **fields) == replace(released.header, **fields, metadata=searchable)


def test_a_number_is_the_same_however_pydantic_spelt_it() -> None:
    """What one release of it wrote, another reads."""
    numbers = [1.79e308, -1e16, 1.5e-7]

    assert JsonFormat().loads(b"[1.79e308,-1e16,1.5e-7]") == numbers
    assert JsonFormat().loads(b"[1.79e+308,-1e+16,1.5e-07]") == numbers


def unsigned_exponents(payload: bytes) -> bytes:
    return re.sub(rb"(?<=\de)\+(?=\d)", b"", payload)


def test_the_golden_record_has_every_tag() -> None:
    tags = set(re.findall(rb'\{"(\$[a-z]+)":', read_golden(FILES[-1]).payload))

    known = {*KNOWN_TAGS, "$tuple", "$set", "$frozenset", "$dict", "$type"}
    assert {tag.decode() for tag in tags} >= known - {"$buffered", "$memoryview"}  # which test_buffers_golden.py has


if __name__ == "__main__":
    record = write_current()
    with (GOLDEN / FILES[-1]).open("xb") as file:
        file.write(record.header.to_json() + b"\n" + record.payload + b"\n")
