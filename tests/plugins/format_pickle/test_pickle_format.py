"""The pickle format: signed, verified before unpickling, and only where it is named."""

from __future__ import annotations

import os
import pickle
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

import spark_format_pickle.pickle_format as pickle_format
from spark.errors import CheckpointDamagedError, SerializationError, SparkWarning
from spark.graphs.checkpoint import CheckpointManager, Difference, InMemoryCheckpointBackend
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.record import Record
from spark_format_pickle import PickleFormat
from spark_testing import FormatConformance
from tests.plugins.support.disturbed_graph import disturbed_graph


class Anything:
    def __init__(self, value: object) -> None:
        self.value = value


class Exploit:
    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Exploit, "ran", True)


class TestPickle(FormatConformance):
    safe_to_load = False

    @pytest.fixture(params=[None, "a key"], ids=["unsigned", "signed"])
    def format(self, request: pytest.FixtureRequest) -> PickleFormat:
        return PickleFormat(request.param)


def make_checkpoint(**state: Any) -> GraphCheckpoint:
    return GraphCheckpoint(
        checkpoint_id="c", graph_id="g", timestamp=datetime(2024, 1, 1, tzinfo=UTC), graph_state=state
    )


def encode(format: PickleFormat, checkpoint: GraphCheckpoint) -> Record:
    return RecordCodec(format).encode(checkpoint, sequence=1, manual=False, nonce="n")


def forge(record: Record, payload: bytes, **fields: Any) -> Record:
    header = replace(record.header, size=len(payload), raw_size=len(payload), **fields)
    return Record(replace(header, checksum=f"sha256:{sha256(header.canonical() + payload).hexdigest()}"), payload)


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(pickle_format.KEY_VARIABLE, raising=False)
    monkeypatch.setattr(pickle_format, "_has_warned", True)


def test_any_picklable_object_comes_back() -> None:
    shared = Anything(1)
    checkpoint = make_checkpoint(a=[shared, shared])

    back = RecordCodec(PickleFormat()).decode(encode(PickleFormat(), checkpoint)).graph_state["a"]

    assert back[0].value == 1
    assert back[0] is back[1]


def test_what_cannot_be_pickled_is_named_with_its_path() -> None:
    with pytest.raises(SerializationError) as caught:
        encode(PickleFormat(), make_checkpoint(a=[1, Anything({"f": lambda: 1})]))

    assert caught.value.path == "graph_state['a'][1].value['f']"


@pytest.mark.parametrize("signature", ["", "00", "é", "f" * 64])
def test_with_a_key_a_missing_or_wrong_signature_is_refused_before_unpickling(signature: str) -> None:
    Exploit.ran = False
    record = encode(PickleFormat(), make_checkpoint())
    forged = forge(record, pickle.dumps(Exploit()), signature=signature)

    with pytest.raises(CheckpointDamagedError, match="signature"):
        RecordCodec(PickleFormat(signing_key="key")).decode(forged)

    assert not Exploit.ran


def test_the_exploit_would_run_unsigned() -> None:
    """Shows that the tests around it are about something: this is what a key protects from."""
    Exploit.ran = False
    forged = forge(encode(PickleFormat(), make_checkpoint()), pickle.dumps(Exploit()))

    with pytest.raises(CheckpointDamagedError):
        RecordCodec(PickleFormat()).decode(forged)

    assert Exploit.ran


def test_a_record_signed_with_another_key_is_refused_and_one_with_the_same_key_loads() -> None:
    record = encode(PickleFormat(signing_key="one"), make_checkpoint(a=1))

    with pytest.raises(CheckpointDamagedError, match="signature"):
        RecordCodec(PickleFormat(signing_key="two")).decode(record)
    assert RecordCodec(PickleFormat(signing_key=b"one")).decode(record).graph_state == {"a": 1}


def test_the_signature_covers_the_header() -> None:
    """Otherwise a signed payload could be put in the place of another checkpoint."""
    record = encode(PickleFormat(signing_key="one"), make_checkpoint(a=1))

    with pytest.raises(CheckpointDamagedError, match="signature"):
        RecordCodec(PickleFormat(signing_key="one")).decode(forge(record, record.payload, sequence=9))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pickle_format.KEY_VARIABLE, "one")

    assert RecordCodec(PickleFormat(signing_key="one")).decode(encode(PickleFormat(), make_checkpoint(a=1))).graph_state
    assert "one" not in repr(PickleFormat())


def test_running_unsigned_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_format, "_has_warned", False)

    with pytest.warns(SparkWarning, match="not signed"):
        PickleFormat()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PickleFormat()
        PickleFormat(signing_key=os.urandom(8))


def test_a_pickle_is_never_unpickled_where_json_is_expected() -> None:
    Exploit.ran = False
    record = RecordCodec(JsonFormat()).encode(make_checkpoint(), sequence=1, manual=False, nonce="n")

    with pytest.raises(CheckpointDamagedError, match="not the json it should be"):
        RecordCodec(JsonFormat()).decode(forge(record, pickle.dumps(Exploit())))

    assert not Exploit.ran


@pytest.mark.parametrize(
    "state",
    [
        {"x": {"$blob": ["a", 1, 1, "sha256:", ""]}},
        {"x": {"$blob": 5}},
        {"$parts": {"0": {"values": {"a": 1}}}},
        {"$parts": 3},
    ],
    ids=repr,
)
def test_a_value_that_looks_like_a_reference_or_a_part_is_a_value(state: dict[str, Any]) -> None:
    """Only formats that write plain trees have tags, and only they keep users' values from looking like them."""
    record = encode(PickleFormat("a key"), make_checkpoint(**state))

    assert RecordCodec(PickleFormat("a key")).decode(record).graph_state == state


async def test_what_a_checkpoint_changed_is_told_by_a_store_that_was_opened_with_the_format() -> None:
    store = InMemoryCheckpointBackend(format=PickleFormat(signing_key="a key"))
    await disturbed_graph(store).run()
    manager = CheckpointManager(store)

    first, second = await manager.changes("g", 1), await manager.changes("g", 2)

    assert Difference("graph_state['count']", "added", None, 1) in first
    assert Difference("graph_state['count']", "changed", 1, 2) in second
