"""Loading costs no more than what is stored accounts for, whoever wrote it; and no writer of ours makes what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from spark.errors import CheckpointDamagedError, DeserializationError, GraphDefinitionError, SerializationError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    ReadLimits,
)
from spark.graphs.checkpoint.records.blobs import BlobRef, NewBlobs
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.checkpoint.storage import Record, RecordCodec
from tests.support.running import Does

MODULUS = 2**61 - 1
"""Numbers that differ by it have one hash."""
EQUAL = [number * MODULUS for number in range(1, 102)]
"""More of them than any store reads back by default."""


def encoded(codec: RecordCodec, state: dict[str, Any], *, blobs: NewBlobs | None = None) -> Record:
    checkpoint = GraphCheckpoint("c", "g", datetime.now(UTC), graph_state=state)
    return codec.encode(checkpoint, sequence=1, manual=False, nonce="n", blobs=blobs)


def forged(tree_of_state: dict[str, Any], *, compression: str = "") -> Record:
    """An intact record, as an attacker who may write to the store makes it."""
    record = encoded(RecordCodec(), {})
    raw = json.dumps({**json.loads(bytes(record.payload)), "graph_state": tree_of_state}).encode()
    payload = gzip.compress(raw) if compression else raw
    header = record.header
    header.compression, header.size, header.raw_size = compression, len(payload), len(raw)
    header.checksum = checksum("sha256", header.canonical(), payload)
    return Record(header, payload)


def blob(name: str, content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The tree of a reference, and what is stored for it."""
    stored = gzip.compress(content)
    ref = BlobRef(name, len(stored), len(content), checksum("sha256", b"", stored), "gzip")
    return ref.tree(), {name: stored}


def list_of_lists(length: int) -> bytes:
    return b"[" + b",".join([b"[]"] * length) + b"]"


def load(codec: RecordCodec, record: Record, blobs: dict[str, bytes]) -> GraphCheckpoint:
    return codec.read(codec.open(record), blobs)


def inline_blobs(codec: RecordCodec, record: Record, blobs: dict[str, bytes]) -> Record:
    return codec.inline_blobs(record, blobs)


@pytest.mark.parametrize("use", [load, inline_blobs])
@pytest.mark.parametrize(
    ("content", "limit"), [(list_of_lists(50_000), "max_members"), (b'"' + b"a" * 10**6 + b'"', "max_bytes")]
)
def test_many_keys_that_refer_to_one_value_are_refused(use: Callable[..., Any], content: bytes, limit: str) -> None:
    reference, blobs = blob("000000000001-x-1", content)
    record = forged({f"key{number}": reference for number in range(500)})

    with pytest.raises(DeserializationError, match=f"limits=ReadLimits.{limit}=") as caught:
        use(RecordCodec(), record, blobs)

    assert not isinstance(caught.value, CheckpointDamagedError)


def test_a_few_keys_that_refer_to_one_value_each_get_one_of_their_own() -> None:
    reference, blobs = blob("000000000001-x-1", list_of_lists(10))

    state = load(RecordCodec(), forged({"a": reference, "b": reference}), blobs).graph_state
    state["a"][0].append(1)

    assert state["b"] == [[]] * 10


def test_bombs_spread_over_many_values_are_refused_before_any_is_unpacked() -> None:
    references = [blob(f"000000000001-x-{number}", b"[" + b" " * 15_000_000 + b"]")[0] for number in range(2)]
    record = forged({f"key{number}": reference for number, reference in enumerate(references * 4)})

    with pytest.raises(DeserializationError, match="max_bytes"):
        RecordCodec().open(record)


def test_a_payload_that_unpacks_to_very_many_values_is_refused_before_it_is_parsed() -> None:
    record = forged({"a": [[]] * 20_000}, compression="gzip")

    with pytest.raises(DeserializationError, match="max_members"):
        RecordCodec(limits={"max_members": 10_000}).decode(record)
    assert len(RecordCodec().decode(record).graph_state["a"]) == 20_000


COLLIDING: dict[str, Callable[[int], Any]] = {
    "ints": lambda number: number * MODULUS,
    "fractions": lambda number: Fraction(number * MODULUS + 1, 1) + Fraction(1, 1),
    "decimals": lambda number: Decimal(number * MODULUS),
    "tuples": lambda number: (number * MODULUS, "x"),
}


@pytest.mark.parametrize("kind", COLLIDING)
@pytest.mark.parametrize("place", ["$set", "$frozenset", "$dict", "$counter"])
def test_keys_that_collide_are_refused_and_never_written(kind: str, place: str) -> None:
    keys = [COLLIDING[kind](number) for number in range(1, 151)]
    assert len({hash(key) for key in keys}) == 1
    trees = [TreeWriter().tree(key) for key in keys]
    pairs = {"$dict": [[tree, 1] for tree in trees]}
    tree = pairs if place == "$dict" else {"$counter": pairs} if place == "$counter" else {place: trees}
    generous = TreeReader(limits=ReadLimits(max_equal_hashes=1000))

    with pytest.raises(DeserializationError, match=r"v\['a'\].*max_equal_hashes"):
        TreeReader().value({"a": tree}, "v")
    with pytest.raises(SerializationError, match=r"v\['a'\].*same hash"):
        TreeWriter().tree({"a": generous.value(tree)}, "v")

    assert len(generous.value(tree)) == 150


@pytest.mark.parametrize(
    ("compression", "keeps_blobs", "state"),
    [
        ("gzip", False, {"one": [0] * 600_000}),
        ("zstd", True, {f"key{number}": [0] * 150_000 for number in range(8)}),
        ("gzip", True, {f"key{number}": "a" * 8_000_000 for number in range(5)}),
        ("zstd", False, {f"key{number}": [0] * 100 for number in range(6_000)}),
    ],
    ids=["one list", "many lists", "long texts", "short lists"],
)
def test_whatever_is_encoded_can_be_decoded(compression: str, keeps_blobs: bool, state: dict[str, Any]) -> None:
    codec, blobs = RecordCodec(compression=compression), NewBlobs("x") if keeps_blobs else None

    record = encoded(codec, state, blobs=blobs)

    assert load(codec, record, dict(record.blobs)).graph_state == state


def test_large_values_that_are_replaced_do_not_use_up_the_room_for_compression() -> None:
    from spark.graphs.checkpoint.encoding.cache import EncodingCache
    from spark.graphs.checkpoint.encoding.levels import Thresholds

    codec, blobs, cache = RecordCodec(compression="gzip"), NewBlobs("x"), EncodingCache(Thresholds(8192))
    for number in range(4):
        checkpoint = GraphCheckpoint("c", "g", datetime.now(UTC), graph_state={"a": [number] * 200_000})
        codec.encode(checkpoint, sequence=number + 1, manual=False, nonce="n", blobs=blobs, cache=cache)

    assert max(map(len, blobs.unstored.values())) < 100_000


@pytest.mark.parametrize(
    "limits", [{"max_members": 0}, {"max_bytes": "1"}, {"max_bytes": True}, {"unknown": 1}, 5, [("max_bytes", 1)]]
)
def test_limits_that_make_no_sense_are_refused(limits: Any) -> None:
    with pytest.raises(GraphDefinitionError, match=r"limits=|ReadLimits"):
        InMemoryCheckpointBackend(limits=limits)


async def test_a_backend_takes_limits(tmp_path: Any) -> None:
    backend = FileCheckpointBackend(tmp_path, limits={"max_members": 5_000_000})

    assert backend.record_codec.limits == ReadLimits(max_members=5_000_000)
    await backend.close()


@pytest.mark.parametrize("keeps_blobs", [True, False])
@pytest.mark.parametrize("value", [b"\0" * 4_000_000, [0] * 100_000], ids=["bytes", "items"])
def test_what_a_writer_with_narrower_limits_compresses_it_can_read(value: object, keeps_blobs: bool) -> None:
    limits = ReadLimits(max_bytes=1000, max_members=10)
    codec = RecordCodec(compression="gzip", limits=limits)
    blobs = NewBlobs("x", codec.writing) if keeps_blobs else None

    record = encoded(codec, {"a": value}, blobs=blobs)

    assert codec.read(codec.open(record), record.blobs).graph_state == {"a": value}


@pytest.mark.parametrize("value", [set(EQUAL[:6]), dict.fromkeys(EQUAL[:6]), {frozenset(EQUAL[:6]): 1}])
def test_a_writer_with_narrower_limits_refuses_keys_that_it_would_not_read(value: object) -> None:
    codec = RecordCodec(limits=ReadLimits(max_equal_hashes=5))

    with pytest.raises(SerializationError, match="more than 5 of its 6 keys have the same hash"):
        codec.check({"a": [value]}, "graph_state['a']")

    RecordCodec(limits=ReadLimits(max_equal_hashes=6)).check({"a": [value]}, "graph_state['a']")


def test_higher_limits_let_nobody_write_what_others_could_not_read() -> None:
    with pytest.raises(SerializationError, match="have the same hash"):
        RecordCodec(limits=ReadLimits(max_equal_hashes=1000)).check(set(EQUAL), "v")


async def test_a_node_fails_that_sets_what_its_store_would_not_read_back() -> None:
    async def act(context: NodeContext) -> None:
        await context.graph_state.set("keys", set(EQUAL[:6]))

    backend = InMemoryCheckpointBackend(limits=ReadLimits(max_equal_hashes=5))
    graph = Graph(Does(act, name="only"), checkpoint_config=CheckpointConfig(backend=backend))

    with pytest.raises(SerializationError, match=r"graph_state\['keys'\].*have the same hash"):
        await graph.run()
