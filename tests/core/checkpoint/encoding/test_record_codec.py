"""Checkpoint ↔ record: exactness, reuse of fragments, and what hostile bytes can't do."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import tracemalloc
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.errors import (
    CheckpointDamagedError,
    DeserializationError,
    GraphDefinitionError,
    SerializationError,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records import compression
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.serialization import reader
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer
from spark.hooks import options, registry
from tests.core.checkpoint_values import is_same, keys, values
from tests.support.variants import in_full, tries

CODEC = RecordCodec(JsonFormat())
MOMENT = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def make_checkpoint(**changes: Any) -> GraphCheckpoint:
    given = {
        "checkpoint_id": "ckpt_g_000003",
        "graph_id": "g",
        "timestamp": MOMENT,
        "graph_state": {"a": 1, "b": [1, (2, 3)]},
        "node_states": {"Node": {"seen": {1, 2}}},
        "execution_metadata": {"iteration": 3},
        "config": {"mode": "STANDARD"},
        "topology": {"nodes": ["Node"]},
        "frontier": {"tokens": []},
        "parent": 2,
    }
    return GraphCheckpoint(**{**given, **changes})


def encode(checkpoint: GraphCheckpoint, codec: RecordCodec = CODEC, **options: Any) -> Record:
    return codec.encode(checkpoint, sequence=3, manual=False, nonce="n", **options)


def forge(record: Record, payload: bytes, **fields: Any) -> Record:
    """A record with another payload and the checksum that belongs to it: what an attacker with access would write."""
    size = {"size": len(payload), "raw_size": len(payload)}
    header = replace(record.header, **{**size, **fields})
    return Record(replace(header, checksum=f"sha256:{sha256(header.canonical() + payload).hexdigest()}"), payload)


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(st.dictionaries(keys, values, max_size=4), st.booleans(), st.booleans(), st.booleans())
def test_a_checkpoint_comes_back_exactly(state: dict[Any, Any], compressed: bool, pretty: bool, cached: bool) -> None:
    codec = RecordCodec(JsonFormat(pretty_print=pretty), compression=compressed)
    checkpoint = make_checkpoint(graph_state=state, origin="x")

    back = codec.decode(encode(checkpoint, codec, cache=EncodingCache() if cached else None))

    assert is_same(back.graph_state, state)
    assert back == replace(checkpoint, sequence=3, graph_state=back.graph_state)


@pytest.mark.parametrize(
    "timestamp", [datetime(2024, 5, 1, 1), datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=2))), MOMENT]
)
def test_the_users_own_timestamp_comes_back_and_the_header_has_it_in_utc(timestamp: datetime) -> None:
    record = encode(make_checkpoint(timestamp=timestamp))

    assert is_same(CODEC.decode(record).timestamp, timestamp)
    assert record.header.timestamp.tzinfo is UTC
    assert record.header.timestamp == timestamp.astimezone(UTC)


def test_a_timestamp_that_has_no_place_in_utc_is_refused() -> None:
    with pytest.raises(SerializationError, match="timestamp"):
        encode(make_checkpoint(timestamp=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))))


def test_equal_checkpoints_have_equal_bytes() -> None:
    codec = RecordCodec(JsonFormat(), compression=True)

    assert encode(make_checkpoint(), codec) == encode(make_checkpoint(), codec)


@in_full
@settings(max_examples=tries(50), deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "$x", "é"]), st.integers(0, 3)), min_size=2, max_size=6)
)
def test_a_cache_never_changes_what_is_written(history: list[dict[str, int]]) -> None:
    cache = EncodingCache()
    objects = [[number] for number in range(4)]
    for state in history:
        checkpoint = make_checkpoint(
            graph_state={key: objects[number] for key, number in state.items()},
            node_states={key: objects[number] for key, number in sorted(state.items())},
        )

        assert encode(checkpoint, cache=cache) == encode(checkpoint)


def test_a_cache_tells_equal_values_apart() -> None:
    cache = EncodingCache()

    states = [CODEC.decode(encode(make_checkpoint(graph_state={"a": a}), cache=cache)) for a in (1, True, 1.0, 1)]

    assert [type(state.graph_state["a"]) for state in states] == [int, bool, float, int]


def test_a_cache_encodes_only_what_is_new() -> None:
    seen: list[object] = []

    class Watching(CheckpointSerializer):
        def serialize(self, obj: Any) -> Any:
            seen.append(obj)
            return obj

    codec, cache, kept = RecordCodec(JsonFormat(), serializer=Watching()), EncodingCache(), ["kept"]
    encode(make_checkpoint(graph_state={"a": kept, "b": ["old"]}), codec, cache=cache)
    seen.clear()
    encode(make_checkpoint(graph_state={"a": kept, "b": ["new"]}), codec, cache=cache)

    assert "new" in seen
    assert "kept" not in seen


def test_a_cache_forgets_keys_that_are_gone_and_values_that_were_replaced() -> None:
    import gc
    import weakref

    class Big(list[int]):
        pass

    class AsList(CheckpointSerializer):
        def serialize(self, obj: Any) -> Any:
            return list(obj) if isinstance(obj, Big) else obj

    codec, cache, deleted, replaced = (
        RecordCodec(JsonFormat(), serializer=AsList()),
        EncodingCache(),
        Big([1]),
        Big([2]),
    )
    alive = [weakref.ref(deleted), weakref.ref(replaced)]
    encode(make_checkpoint(graph_state={"a": deleted, "b": replaced}), codec, cache=cache)
    del deleted, replaced
    encode(make_checkpoint(graph_state={"b": 1}), codec, cache=cache)
    gc.collect()

    assert [reference() for reference in alive] == [None, None]


def test_a_cache_that_served_another_codec_starts_afresh() -> None:
    cache, checkpoint = EncodingCache(), make_checkpoint()
    encode(checkpoint, RecordCodec(JsonFormat(), serializer=Stars()), cache=cache)

    assert encode(checkpoint, cache=cache) == encode(checkpoint)


class Stars(CheckpointSerializer):
    """Changes every string, so that a place where it was not applied shows; no super().__init__()."""

    def __init__(self) -> None:
        self.calls = 0

    def serialize(self, obj: Any) -> Any:
        self.calls += 1
        return f"*{obj}" if isinstance(obj, str) else obj

    def deserialize(self, data: Any) -> Any:
        return data.removeprefix("*") if isinstance(data, str) else data


def test_a_failure_while_encoding_leaves_the_cache_right() -> None:
    cache, good = EncodingCache(), make_checkpoint()
    encode(good, cache=cache)
    with pytest.raises(SerializationError):
        encode(make_checkpoint(graph_state={"a": 2, "b": object()}), cache=cache)

    assert encode(good, cache=cache) == encode(good)


@pytest.mark.parametrize(
    "section", ["graph_state", "node_states", "execution_metadata", "config", "topology", "frontier"]
)
def test_what_cannot_be_saved_is_named_with_its_section(section: str) -> None:
    with pytest.raises(SerializationError) as caught:
        encode(make_checkpoint(**{section: {"a": [{"b": object()}]}}))

    assert caught.value.path == f"{section}['a'][0]['b']"


def test_a_section_that_is_no_dict_is_refused() -> None:
    with pytest.raises(SerializationError, match="node_states is a list"):
        encode(make_checkpoint(node_states=[1]))


@pytest.mark.parametrize("compression", [False, True])
def test_every_flipped_bit_of_a_stored_record_is_noticed(compression: bool) -> None:
    record = encode(make_checkpoint(), RecordCodec(JsonFormat(), compression=compression))
    head = record.header.to_json()
    stored = head + record.payload
    for position in range(len(stored)):
        for bit in range(8):
            flipped = bytearray(stored)
            flipped[position] ^= 1 << bit
            with pytest.raises(CheckpointDamagedError):
                CODEC.decode(Record(RecordHeader.from_json(bytes(flipped[: len(head)])), bytes(flipped[len(head) :])))


def test_every_truncation_is_noticed() -> None:
    record = encode(make_checkpoint())
    head = record.header.to_json()
    for length in range(len(record.payload)):
        with pytest.raises(CheckpointDamagedError):
            CODEC.decode(Record(record.header, record.payload[:length]))
    for length in range(len(head)):
        with pytest.raises(CheckpointDamagedError):
            RecordHeader.from_json(head[:length])


def test_damage_names_the_checkpoint_and_what_to_do() -> None:
    record = encode(make_checkpoint())

    with pytest.raises(CheckpointDamagedError, match=r"ckpt_g_000003.*'g', sequence 3.*earlier"):
        CODEC.decode(Record(record.header, record.payload + b" "))


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"graph_state":{"a":"\\ud800"}}',
        b"1" * 5_000,
        b'{"graph_state":' + b"9" * 5_000 + b"}",
        b"\x80\x05\x95\x0b\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
        b"",
        b"null",
        b"[]",
        b"{}",
        b"NaN",
        b"\xff\xfe{\x00}\x00",
        b'{"graph_state":{},"graph_state":{}}',
    ],
    ids=lambda payload: repr(payload[:20]),
)
def test_a_forged_payload_is_damage_in_bounded_time(payload: bytes) -> None:
    with pytest.raises(CheckpointDamagedError) as caught:
        CODEC.decode(forge(encode(make_checkpoint()), payload))

    assert "checksum" not in str(caught.value)  # what is forged well has the right one


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.pop("frontier"),
        lambda tree: tree.update(graph_state=[1]),
        lambda tree: tree.update(graph_state=None),
        lambda tree: tree.update(graph_state={"$tuple": [1]}),
        lambda tree: tree.update(frontier=[]),
        lambda tree: tree.update(timestamp="2024-01-01"),
        lambda tree: tree.update(timestamp={"$date": "2024-01-01"}),
        lambda tree: tree.update(timestamp=None),
        lambda tree: tree.update(origin=5),
        lambda tree: tree.update(origin=None),
        lambda tree: tree.update(origin={"$tuple": 1}),
    ],
)
def test_a_payload_of_the_wrong_structure_is_damage(change: Any) -> None:
    record = encode(make_checkpoint())
    tree = json.loads(record.payload)
    change(tree)

    with pytest.raises(CheckpointDamagedError, match="ckpt_g_000003") as caught:
        CODEC.decode(forge(record, json.dumps(tree).encode()))

    assert "checksum" not in str(caught.value)


def test_what_the_header_says_is_not_taken_from_the_payload() -> None:
    """A payload that claims to be of another graph or checkpoint is not believed."""
    record = encode(make_checkpoint())
    claims = b',"graph_id":"other","checkpoint_id":"other","sequence":9,"parent":1,"version":"0"}'

    back = CODEC.decode(forge(record, record.payload[:-1] + claims))

    assert back == replace(make_checkpoint(), sequence=3)


def test_the_payload_does_not_repeat_the_header() -> None:
    """Every step of a run pays for these bytes."""
    sections = {"graph_state", "node_states", "execution_metadata", "config", "topology", "frontier"}
    own = datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=2)))

    assert json.loads(encode(make_checkpoint()).payload).keys() == sections
    assert json.loads(encode(make_checkpoint(timestamp=own, origin="x")).payload).keys() == {
        *sections,
        *("timestamp", "origin"),
    }


def test_duplicate_keys_and_additions_of_later_releases_do_no_harm() -> None:
    record = encode(make_checkpoint())

    back = CODEC.decode(forge(record, record.payload[:-1] + b',"later":1,"origin":"a","origin":"b"}'))

    assert back.origin == "b"


def test_an_unknown_version_loads() -> None:
    assert CODEC.decode(encode(make_checkpoint(version="99.0\ud800"))).version == "99.0\ud800"


class TestTooLittleMemory:
    """That says nothing about what is stored: a record that is called damaged may be repaired by deleting it."""

    def test_for_the_tree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        record = encode(make_checkpoint())
        monkeypatch.setattr(JsonFormat, "loads", _no_memory)
        with pytest.raises(
            DeserializationError, match=r"'ckpt_g_000003'.* there is not enough memory for it; load it where"
        ):
            CODEC.decode(record)

    def test_for_a_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        record = encode(make_checkpoint(graph_state={"a": [b"bytes"]}))
        monkeypatch.setitem(reader._READERS, "$bytes", _no_memory)
        with pytest.raises(
            DeserializationError, match=r"graph_state\['a'\]\[0\] can't be rebuilt: there is not enough memory"
        ):
            CODEC.decode(record)

    def test_to_unpack_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        record = encode(
            make_checkpoint(graph_state={"text": "a" * 10_000}), RecordCodec(JsonFormat(), compression=True)
        )
        monkeypatch.setattr(compression, "_decompress", _no_memory)
        with pytest.raises(DeserializationError, match=r"not enough memory for its [0-9]+ bytes"):
            CODEC.decode(record)


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_a_gzip_bomb_is_refused_without_unpacking_it() -> None:
    bomb = gzip.compress(b" " * 64 * 2**20)

    for raw_size in (64 * 2**20, 100, 2**62):
        with pytest.raises(CheckpointDamagedError):
            CODEC.decode(forge(encode(make_checkpoint()), bomb, compression="gzip", raw_size=raw_size))


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_bomb_that_lies_about_its_size_takes_no_memory(name: str) -> None:
    whole = b" " * 64 * 2**20
    bomb = gzip.compress(whole) if name == "gzip" else compression._zstd().compress(whole)
    forged = forge(encode(make_checkpoint()), bomb, compression=name, raw_size=100)
    del whole

    tracemalloc.start()
    try:
        with pytest.raises(CheckpointDamagedError):
            CODEC.decode(forged)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 4 * 2**20


def test_a_zstd_frame_that_asks_for_a_large_window_is_damage() -> None:
    zstd = compression._zstd()
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    writer = zstd.ZstdCompressor(options=options)
    frame = writer.compress(b"{}" * 100) + writer.flush()

    with pytest.raises(CheckpointDamagedError, match="zstd stream is broken"):
        CODEC.decode(forge(encode(make_checkpoint()), frame, compression="zstd", raw_size=200))


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("change", [lambda packed: packed[:-4], lambda packed: packed + b"x", lambda packed: b"{}"])
def test_a_broken_stream_is_damage(change: Any, name: str) -> None:
    record = encode(make_checkpoint(), RecordCodec(JsonFormat(), compression=name))
    raw_size = record.header.raw_size

    with pytest.raises(CheckpointDamagedError):
        CODEC.decode(forge(record, change(record.payload), raw_size=raw_size))


def test_what_compresses_too_well_is_stored_as_it_is_and_loads() -> None:
    """The reader takes such a payload for a bomb, so the writer must never make one."""
    checkpoint = make_checkpoint(graph_state={"zeros": "0" * (17 * 2**20)})

    record = encode(checkpoint, RecordCodec(JsonFormat(), compression=True))

    assert record.header.compression == ""
    assert CODEC.decode(record).graph_state == checkpoint.graph_state


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_each_compression_packs_and_unpacks_the_same(name: str) -> None:
    checkpoint = make_checkpoint(graph_state={"text": "again and again " * 500})

    record = encode(checkpoint, RecordCodec(JsonFormat(), compression=name))

    assert record.header.compression == name
    assert len(record.payload) < record.header.raw_size / 10
    assert CODEC.decode(record).graph_state == checkpoint.graph_state


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(GraphDefinitionError, match="brotli"):
        RecordCodec(JsonFormat(), compression="brotli")


def test_zstd_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    record = encode(make_checkpoint(), RecordCodec(JsonFormat(), compression="zstd"))
    for module in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(GraphDefinitionError, match=r"pip install 'spark-graphs\[zstd\]'"):
        RecordCodec(JsonFormat(), compression="zstd")
    with pytest.raises(DeserializationError, match=r"intact.*pip install 'spark-graphs\[zstd\]'"):
        CODEC.decode(record)


def test_a_compression_of_a_later_release_is_named() -> None:
    record = encode(make_checkpoint())

    with pytest.raises(DeserializationError, match="brotli"):
        CODEC.decode(forge(record, record.payload, compression="brotli"))


class Unsafe(JsonFormat):
    name = "unsafe"
    safe_to_load = False

    def loads(self, data: bytes) -> Any:
        raise AssertionError("must not be asked")


class Other(JsonFormat):
    name = "other"


@pytest.fixture
def _two_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    formats = {"unsafe": Unsafe, "other": Other, "json": JsonFormat}
    for module in (registry, options):
        monkeypatch.setattr(module, "class_of", lambda claim, **_: formats[claim[1]])
    monkeypatch.setattr(options, "options_model_of", lambda claim: None)


@pytest.mark.usefixtures("_two_formats")
def test_another_safe_format_is_found_by_the_name_in_the_header() -> None:
    checkpoint = make_checkpoint()

    assert CODEC.decode(encode(checkpoint, RecordCodec("other"))) == replace(checkpoint, sequence=3)


@pytest.mark.usefixtures("_two_formats")
def test_an_unsafe_format_is_only_used_where_it_is_named() -> None:
    record = encode(make_checkpoint(), RecordCodec("unsafe"))

    with pytest.raises(DeserializationError, match="format='unsafe'"):
        CODEC.decode(record)


@pytest.mark.usefixtures("_two_formats")
def test_pretty_json_is_for_people_and_loads_like_any_other() -> None:
    record = encode(make_checkpoint(), RecordCodec("json", pretty_print=True))

    assert b'\n  "graph_state": {\n' in record.payload
    assert CODEC.decode(record).graph_state == make_checkpoint().graph_state


def test_encoding_works_from_several_threads_at_once() -> None:
    expected, records = encode(make_checkpoint()), []

    threads = [threading.Thread(target=lambda: records.append(encode(make_checkpoint()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert records == [expected] * 8


@pytest.mark.parametrize("method", ["sha256", "crc32"])
@pytest.mark.parametrize("field", [field.name for field in fields(RecordHeader) if field.name != "signature"])
def test_a_changed_header_field_breaks_the_checksum(field: str, method: Literal["sha256", "crc32"]) -> None:
    """The graph, the id and the parent of a checkpoint stand nowhere else."""
    record = encode(make_checkpoint(), RecordCodec(JsonFormat(), checksum=method))
    value = getattr(record.header, field)
    changes: dict[type, Any] = {
        str: lambda: value + "x",
        bool: lambda: not value,
        int: lambda: value + 1,
        dict: lambda: {"x": 1},
        tuple: lambda: ("x",),
    }
    other = changes.get(type(value), lambda: value + timedelta(1))()

    with pytest.raises(CheckpointDamagedError, match="instead of" if field == "size" else "checksum"):
        CODEC.decode(Record(replace(record.header, **{field: other}), record.payload))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"sequence":' + b"9" * 5_000 + b"}",
        b"\xff",
        b"null",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_bytes_that_are_no_header_are_damage(data: bytes) -> None:
    with pytest.raises(CheckpointDamagedError):
        RecordHeader.from_json(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 0),
        ("sequence", True),
        ("sequence", 2**63),
        ("sequence", 1.0),
        ("parent", -1),
        ("manual", 1),
        ("timestamp", "2024-05-01T12:30:15.123456"),
        ("timestamp", "2024-05-01 12:30:15.123456+00:00"),
        ("timestamp", "now"),
        ("timestamp", "0001-01-01T00:00:00+23:59"),
        ("timestamp", "9999-12-31T23:59:59-23:59"),
        ("graph_id", ""),
        ("graph_id", "a\x00"),
        ("checkpoint_id", "x" * 5_000),
        ("nonce", None),
        ("later", 1),
    ],
)
def test_every_field_of_a_header_is_checked(field: str, value: object) -> None:
    fields = json.loads(encode(make_checkpoint()).header.to_json())
    fields[field] = value

    with pytest.raises(CheckpointDamagedError):
        RecordHeader.from_json(json.dumps(fields).encode())


def test_a_header_comes_back_from_its_json() -> None:
    header = encode(make_checkpoint(checkpoint_id='é"\\ 🎈', graph_id="grüße")).header

    assert RecordHeader.from_json(header.to_json()) == header
    assert b"\n" not in header.to_json()


# large values that are put into their record


LARGE = {"a": 1, "big": ["large "] * 3000, "more": "x" * 9000}


def encode_apart(codec: RecordCodec = CODEC) -> Record:
    """A record that refers to its two large values."""
    cache = EncodingCache(Thresholds(8192))
    return encode(make_checkpoint(graph_state=LARGE), codec, blobs=NewBlobs("w"), cache=cache)


@pytest.mark.parametrize("name", ["", "gzip", "zstd"])
def test_a_record_with_its_large_values_put_into_it_is_the_same_checkpoint(name: str) -> None:
    codec = RecordCodec(JsonFormat(), compression=name)
    record = encode_apart(codec)
    assert sorted(ref.name for ref in codec.references(record)) == sorted(record.blobs)

    whole = RecordCodec().inline_blobs(record, record.blobs)

    assert whole.is_intact()
    assert RecordCodec().references(whole) == []
    assert RecordCodec().decode(whole).graph_state == LARGE
    assert (whole.header.nonce, whole.header.compression) == (record.header.nonce, name)


def test_a_large_value_that_is_missing_or_changed_is_not_put_into_a_record() -> None:
    record = encode_apart()
    (first, content), *_ = record.blobs.items()

    for blobs in ({}, dict(record.blobs) | {first: content[:-1] + b"?"}):
        with pytest.raises(CheckpointDamagedError, match="its large value"):
            CODEC.inline_blobs(record, blobs)


class Signed(JsonFormat):
    """JSON with a signature that anybody could make."""

    def sign(self, message: bytes) -> str:
        return sha256(b"key" + message).hexdigest()

    def verify(self, message: bytes, signature: str) -> bool:
        return signature == self.sign(message)


def test_of_a_signed_record_what_it_needs_is_told_without_the_key_and_nothing_put_into_it() -> None:
    record = encode_apart(RecordCodec(Signed()))

    assert len(CODEC.references(record)) == 2
    with pytest.raises(
        DeserializationError, match="is signed, so its large values can't be put into it without the key"
    ):
        CODEC.inline_blobs(record, record.blobs)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "x" * 101, "a\n", "\0", "é", "."])
def test_a_reference_by_an_impossible_name_is_damage(name: str) -> None:
    """Names become parts of paths and keys."""
    record = encode_apart()
    tree = json.loads(record.payload)
    tree["graph_state"]["$chunks"]["writer"] = name
    older = tree | {"graph_state": {"big": {"$blob": [name, 1, 1, "sha256:00", ""]}}}

    for each in (tree, older):
        with pytest.raises(CheckpointDamagedError, match="which is not a valid name"):
            CODEC.references(forge(record, json.dumps(each).encode()))


def test_a_damaged_record_does_not_tell_what_it_needs() -> None:
    record = encode_apart()

    with pytest.raises(CheckpointDamagedError, match="checksum"):
        CODEC.references(Record(replace(record.header, format="pickle"), record.payload))
