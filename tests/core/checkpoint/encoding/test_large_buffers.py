"""Large buffers in any value are stored as raw bytes beside the record, in chunks, and come back in memory of their own."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from spark.errors import CheckpointDamagedError, DeserializationError, SerializationError
from spark.graphs import Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    FileCheckpointBackend,
    GraphCheckpoint,
    KeepLast,
    SavedType,
    register_type,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records import buffers
from spark.graphs.checkpoint.records.blobs import LARGE_FROM, NewBlobs
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Codec, Pieces, Record, RecordCodec
from spark_backend_sql import DatabaseCheckpointBackend
from tests.support.running import Failure

LARGE = bytes(range(256)) * (LARGE_FROM // 256)
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@dataclass
class Picture:
    """A value with bytes in it."""

    title: str
    pixels: bytes


class Tape:
    """Bytes in several buffers, saved as they are."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts


register_type(
    Tape,
    name="tests:Tape",
    to_data=lambda tape: {"bytes": Pieces([memoryview(part) for part in tape.parts])},
    from_data=lambda data: Tape([bytes(data["bytes"])]),
)


class Stored:
    """The records of one run, and the blobs that they brought."""

    def __init__(self, codec: RecordCodec | None = None) -> None:
        self.codec = codec or RecordCodec()
        self.cache = EncodingCache(Thresholds(LARGE_FROM))
        self.new = NewBlobs("w")
        self.blobs: dict[str, bytes] = {}
        self.brought: list[list[str]] = []

    def encode(self, state: dict[str, Any], **sections: Any) -> Record:
        checkpoint = GraphCheckpoint("c", "g", NOON, graph_state=state, **sections)
        sequence = len(self.brought) + 1
        record = self.codec.encode(
            checkpoint, sequence=sequence, manual=False, nonce=f"n{sequence}", cache=self.cache, blobs=self.new
        )
        self.brought.append(list(record.blobs))
        self.blobs |= record.blobs
        self.new.unstored.clear()
        return record

    def decode(self, record: Record) -> GraphCheckpoint:
        return self.codec.read(self.codec.open(record), self.blobs)


def small_chunks(monkeypatch: pytest.MonkeyPatch, size: int = 1000) -> None:
    monkeypatch.setattr(buffers, "CHUNK_SIZE", size)


@pytest.mark.parametrize(
    "value",
    [
        LARGE,
        bytearray(LARGE),
        [1, {"a": (LARGE, bytearray(LARGE))}, {b"key": LARGE}],
        Picture("dawn", LARGE),
        {LARGE: LARGE},
        [LARGE[:-1], LARGE, b"", LARGE + b"odd"],
        "text " * LARGE_FROM + "and",
        [LARGE, "text " * LARGE_FROM],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_with_large_buffers_comes_back_as_it_was(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    stored = Stored()
    record = stored.encode({"value": value, "small": b"x"})

    back = stored.decode(record).graph_state
    assert back == {"value": value, "small": b"x"}
    assert type(back["value"]) is type(value)
    assert len(record.payload) < LARGE_FROM


def test_no_bytes_of_a_large_buffer_are_in_the_payload_and_none_is_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, LARGE_FROM)
    stored = Stored()
    record = stored.encode({"value": LARGE + LARGE})

    tree = json.loads(record.payload)["graph_state"]["value"]["$buffered"]
    assert tree["value"] == {"$bytes": [0, 2 * LARGE_FROM]}
    assert [ref["$blob"][0] for ref in tree["chunks"].values()] == stored.brought[0]
    assert b"".join(stored.blobs.values()) == LARGE + LARGE


def test_what_can_be_changed_has_memory_of_its_own() -> None:
    stored = Stored()
    record = stored.encode({"value": [bytearray(LARGE), memoryview(LARGE)]})

    first, second = (stored.decode(record).graph_state["value"] for _ in range(2))
    first[0][0] = first[1][0] = 77
    assert (second[0][0], second[1][0]) == (0, 0)
    assert bytes(first[1][1:]) == LARGE[1:]


def test_bytes_in_several_buffers_are_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, 777)
    stored = Stored()
    parts = [b"a" * 5000, b"", b"b" * 5001, b"c"]
    record = stored.encode({"large": Tape(parts), "small": Tape([b"x", b"y"])})

    back = stored.decode(record).graph_state
    assert back["large"].parts == [b"".join(parts)]
    assert back["small"].parts == [b"xy"]


def test_a_large_buffer_is_not_copied_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored()
    value = bytes(30_000_000)
    tracemalloc.start()
    checkpoint = GraphCheckpoint("c", "g", NOON, graph_state={"value": value})
    record = stored.codec.encode(checkpoint, sequence=1, manual=False, nonce="n", cache=stored.cache, blobs=stored.new)
    encoded = tracemalloc.get_traced_memory()[1]
    longest = max(len(content) for content in record.blobs.values())
    stored_at_last = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert record.nbytes >= len(value)
    assert encoded < 1_000_000
    assert longest == buffers.CHUNK_SIZE
    assert stored_at_last < 3 * buffers.CHUNK_SIZE


def test_what_did_not_change_is_not_stored_again_and_what_did_is_retired() -> None:
    stored = Stored()
    steady, changing = [LARGE], [bytearray(LARGE)]
    stored.encode({"steady": steady, "changing": changing})
    record = stored.encode({"steady": steady, "changing": [bytearray(LARGE + b"x")]})

    assert [len(names) for names in stored.brought] == [2, 1]
    assert stored.cache.retired == [stored.brought[0][1]]
    assert stored.decode(record).graph_state["changing"] == [bytearray(LARGE + b"x")]

    stored.encode({"changing": 1})
    assert set(stored.cache.retired) == {*stored.brought[0], *stored.brought[1]}


@pytest.mark.parametrize("section", ["contents", "result"])
def test_buffers_of_pending_work_are_kept_beside_it_too_and_only_once(section: str) -> None:
    stored = Stored()
    content = {"array": LARGE}

    def frontier() -> dict[str, Any]:
        return {"next_token": 2, "tokens": {}, "contents": {}} | {section: {"content": content}}

    record = stored.encode({}, frontier=frontier())
    again = stored.encode({}, frontier=frontier())
    stored.encode({}, frontier={"next_token": 2, "tokens": {}, "contents": {}})

    assert [len(names) for names in stored.brought] == [1, 0, 0]
    assert stored.cache.retired == stored.brought[0]
    for each in (record, again):
        frontier_back = stored.decode(each).frontier
        assert frontier_back is not None
        assert frontier_back[section] == {"content": content}


def test_buffers_of_inputs_are_kept_beside_the_config() -> None:
    stored = Stored()
    config = {"inputs": {"array": LARGE}}
    record = stored.encode({}, config=config)
    stored.encode({}, config=config)

    assert [len(names) for names in stored.brought] == [1, 0]
    assert stored.decode(record).config == config


@pytest.mark.parametrize("section", ["execution_metadata", "topology"])
def test_buffers_of_every_section_are_kept_beside_it(section: str) -> None:
    stored = Stored()
    record = stored.encode({}, **{section: {"array": LARGE}})

    assert [len(names) for names in stored.brought] == [1]
    assert getattr(stored.decode(record), section) == {"array": LARGE}


def test_without_a_place_for_them_buffers_are_base64_as_ever() -> None:
    codec = RecordCodec()
    checkpoint = GraphCheckpoint("c", "g", NOON, graph_state={"value": LARGE})
    record = codec.encode(checkpoint, sequence=1, manual=True, nonce="n")

    assert set(json.loads(record.payload)["graph_state"]["value"]) == {"$bytes"}
    assert not record.blobs
    assert codec.decode(record).graph_state == {"value": LARGE}


@pytest.mark.parametrize("format", ["json", "msgpack"])
def test_for_a_store_that_keeps_nothing_beside_records_buffers_go_into_the_payload(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch, 3000)
    stored = Stored(RecordCodec(format=format))
    record = stored.encode({"value": [LARGE, bytearray(LARGE), 1]})

    whole = stored.codec.inline_blobs(record, stored.blobs)
    assert stored.codec.decode(whole).graph_state == {"value": [LARGE, bytearray(LARGE), 1]}
    assert not stored.codec.references(whole)


def test_a_format_that_takes_bytes_gets_bytes() -> None:
    stored = Stored(RecordCodec(format="msgpack"))
    record = stored.encode({"large": bytearray(LARGE), "small": [b"\xff\0small", bytearray(b"\xff\0small")]})

    assert record.payload.count(b"\xff\0small") == 2
    assert stored.decode(record).graph_state["small"] == [b"\xff\0small", bytearray(b"\xff\0small")]
    assert stored.decode(record).graph_state["large"] == LARGE


class Upper(CheckpointSerializer):
    """Writes bytes the other way round, and notes what it was asked about."""

    asked: ClassVar[list[type]] = []

    def serialize(self, obj: Any) -> Any:
        return obj[::-1] if type(obj) is bytes else obj

    def deserialize(self, data: Any) -> Any:
        self.asked.append(type(data))
        return data[::-1] if type(data) is bytes else data


def test_a_serializer_is_asked_about_buffers_once_each() -> None:
    stored = Stored(RecordCodec(serializer=Upper()))
    record = stored.encode({"value": [LARGE + b"x"]})
    Upper.asked.clear()

    assert stored.decode(record).graph_state == {"value": [LARGE + b"x"]}
    assert Upper.asked == [bytes, list]


class Xor(Codec):
    """Stands for encryption."""

    name: ClassVar[str] = "xor"

    def encode(self, data: bytes) -> bytes:
        return bytes(byte ^ 85 for byte in data)

    def decode(self, data: bytes, *, limit: int) -> bytes:
        return self.encode(data)


def test_chunks_pass_codecs() -> None:
    stored = Stored(RecordCodec(codec=Xor()))
    record = stored.encode({"value": LARGE})

    assert LARGE not in stored.blobs.values()
    assert stored.decode(record).graph_state == {"value": LARGE}


def test_chunks_are_compressed_where_it_pays() -> None:
    stored = Stored(RecordCodec(compression="gzip"))
    noise = random.Random(1).randbytes(LARGE_FROM)
    record = stored.encode({"noise": noise, "steady": bytes(100_000)})

    kept, packed = (stored.blobs[name] for name in stored.brought[0])
    assert kept == noise
    assert gzip.decompress(packed) == bytes(100_000)
    assert stored.decode(record).graph_state == {"noise": noise, "steady": bytes(100_000)}


def with_tree(record: Record, change: Any) -> Record:
    """The record with another payload, and a checksum that fits: as somebody could write it."""
    tree = json.loads(record.payload)
    change(tree["graph_state"]["value"]["$buffered"])
    payload = json.dumps(tree, separators=(",", ":")).encode()
    header = replace(record.header, size=len(payload), raw_size=len(payload), checksum="")
    header.checksum = checksum("sha256", header.canonical(), payload)
    return Record(header, payload)


@pytest.mark.parametrize(
    "place", [[0, LARGE_FROM + 1], [-1, 5], [0, 2**62], [2**62, 5], [1, LARGE_FROM], [0], "x", [0.0, 1], [0, 0]]
)
@pytest.mark.parametrize("tag", ["$bytes", "$bytearray", "$memoryview"])
def test_bytes_that_are_not_there_are_never_made(place: Any, tag: str) -> None:
    stored = Stored()
    record = with_tree(stored.encode({"value": LARGE}), lambda tree: tree.update(value={tag: place}))

    with pytest.raises((CheckpointDamagedError, DeserializationError), match="graph_state"):
        stored.decode(record)


def test_the_same_bytes_are_not_handed_out_over_and_over() -> None:
    """Or a small store could fill any memory."""
    stored = Stored()
    many = [{"$bytearray": [0, LARGE_FROM]}] * 2
    record = with_tree(stored.encode({"value": LARGE}), lambda tree: tree.update(value=many))

    with pytest.raises(CheckpointDamagedError, match="bytes that are not stored with it"):
        stored.decode(record)


def test_one_chunk_that_is_referred_to_often_counts_as_often() -> None:
    stored = Stored(RecordCodec(limits={"max_bytes": 100_000}))
    record = stored.encode({"value": 100 * LARGE})

    def repeat(tree: dict[str, Any]) -> None:
        tree["chunks"] = {str(number): tree["chunks"]["0"] for number in range(3000)}

    with pytest.raises(DeserializationError, match="max_bytes"):
        stored.decode(with_tree(record, repeat))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.update(chunks=[]),
        lambda tree: tree.pop("chunks"),
        lambda tree: tree.update(more=1),
        lambda tree: tree["chunks"].update({"0": {"$blob": ["../x", 1, 1, "", ""]}}),
        lambda tree: tree["chunks"].update({"0": 5}),
    ],
)
def test_what_is_not_written_so_is_damage(spoil: Any) -> None:
    stored = Stored()
    record = with_tree(stored.encode({"value": LARGE}), spoil)

    with pytest.raises(CheckpointDamagedError):
        stored.decode(record)


def test_a_changed_byte_of_a_chunk_is_damage_and_so_is_a_missing_chunk() -> None:
    stored = Stored()
    record = stored.encode({"value": LARGE})
    (name,) = stored.brought[0]

    for blobs in ({name: LARGE[:-1] + b"\0"}, {name: LARGE[:-1]}, {}):
        with pytest.raises(CheckpointDamagedError, match="large value"):
            stored.codec.read(stored.codec.open(record), blobs)


def test_a_memoryview_of_something_else_than_bytes_is_refused() -> None:
    for view in (
        memoryview(LARGE)[::2],
        memoryview(LARGE).cast("i"),
        memoryview(LARGE).cast("B", (2, LARGE_FROM // 2)),
    ):
        with pytest.raises(SerializationError, match=r"graph_state\['value'\]\[0\] .*cast\('B'\)"):
            Stored().encode({"value": [view]})


def test_a_value_that_fails_leaves_nothing_of_it_behind() -> None:
    stored = Stored()
    with pytest.raises(SerializationError):
        stored.encode({"value": [LARGE, object()]})
    record = stored.encode({"value": [1]})

    assert stored.brought == [[]]
    assert stored.decode(record).graph_state == {"value": [1]}


def test_what_says_how_much_it_holds_is_encoded_in_a_thread() -> None:
    from spark.graphs.checkpoint.serialization.classes import provided_types
    from spark.graphs.checkpoint.serialization.cost import encoding_cost

    class Lake:
        pass

    provided_types._by_class[Lake] = SavedType(Lake, "lakes:Lake", list, Lake, nbytes=lambda lake: 10**9)
    try:
        assert encoding_cost([Lake()], limit=10_000) > 10_000
    finally:
        del provided_types._by_class[Lake]


class Shoot(Node):
    """Takes a large picture at each step; fails at one."""

    def __init__(self, *, fails_at: int = 0) -> None:
        self._fails_at = fails_at

    async def process(self, context: NodeContext) -> Any:
        step = await context.graph_state.get("step", 0) + 1
        if step == self._fails_at:
            raise Failure("at this step")
        await context.graph_state.set("step", step)
        await context.graph_state.set("picture", Picture("dawn", picture(step)))
        return {"more": step < 5, "seen": picture(step)}


def picture(step: int) -> bytes:
    return bytes([step]) * (buffers.CHUNK_SIZE + 1)


def shooting(backend: CheckpointBackend, *, fails_at: int = 0) -> Graph:
    shoot = Shoot(fails_at=fails_at)
    shoot.on(more=True) >> shoot
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, retention=KeepLast(2))
    return Graph(start=shoot, id="g", checkpoint_config=config)


@pytest.mark.parametrize("store", ["files", "sqlite"])
async def test_a_run_resumes_with_its_buffers_and_leaves_none_behind(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_chunks(monkeypatch, 20_000)
    backend: CheckpointBackend = (
        FileCheckpointBackend(directory=tmp_path)
        if store == "files"
        else DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/x.db")
    )
    manager = CheckpointManager(backend)
    with pytest.raises(Exception):  # noqa: B017 - as the run reports it
        await shooting(backend, fails_at=4).run(Task(inputs={"first": picture(9)}))
    assert (await manager.verify("g")).orphans == []
    graph = shooting(backend)
    await graph.run(resume=True)

    assert await graph.get_state("picture") == Picture("dawn", picture(5))
    verified = await manager.verify("g")
    assert (verified.is_fine, verified.orphans, verified.intact) == (True, [], 2)
    await manager.remove_orphans("g")
    latest = await manager.load_latest("g")
    assert latest is not None
    assert latest.graph_state["picture"].pixels == picture(5)
    assert latest.config["inputs"] == {"first": picture(9)}
    await backend.close()
