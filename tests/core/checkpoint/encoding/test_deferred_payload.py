"""Records in pieces: what a reader sees does not depend on when a payload was put together, nor on what came after it."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spark.errors import CheckpointDamagedError, SerializationError
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.records.query import CheckpointQuery
from spark.graphs.checkpoint.records.record import Record
from tests.core.checkpoint_values import is_same, keys, values
from tests.support.variants import in_full, tries

AT_ONCE = RecordCodec(JsonFormat())
IN_PIECES = RecordCodec(JsonFormat(), checksum="crc32")
MOMENT = datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)


def make_checkpoint(graph_state: dict[str, Any], node_states: dict[str, Any], **changes: Any) -> GraphCheckpoint:
    return GraphCheckpoint("c", "g", MOMENT, graph_state, node_states, {"iteration": 3}, **changes)


def encode(codec: RecordCodec, checkpoint: GraphCheckpoint, *, cache: EncodingCache | None = None) -> Record:
    return codec.encode(checkpoint, sequence=3, manual=False, nonce="n", cache=cache)


def assert_same_record(record: Record, expected: Record) -> None:
    size = record.info().size  # asked for first, since it is known before anything is put together
    assert record.payload == expected.payload
    assert size == len(expected.payload)
    assert replace(record.header, checksum=expected.header.checksum) == expected.header
    assert record.header.checksum == checksum("crc32", expected.header.canonical(), expected.payload)


states = st.dictionaries(st.sampled_from(["a", "b", "c", "é", "$x"]), st.integers(0, 3), max_size=4)
OBJECTS = [["0"], {"a": 1}, "é" * 30, 7]
"""Values that come back as the very same objects."""


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(st.lists(st.tuples(states, states, st.booleans()), min_size=1, max_size=6))
@example([({"a": 0, "b": 1}, {}, False), ({"a": 0, "b": 2}, {}, False), ({}, {"a": 1}, True)])
def test_later_checkpoints_change_nothing_in_earlier_records(
    history: list[tuple[dict[str, int], dict[str, int], bool]],
) -> None:
    cache, records, expected = EncodingCache(), [], []
    for graph, node, is_fork in history:
        graph_state = {key: OBJECTS[number] for key, number in graph.items()}
        node_states = {key: OBJECTS[number] for key, number in node.items()}
        checkpoint = make_checkpoint(graph_state, node_states, origin="x" if is_fork else None)
        records.append(encode(IN_PIECES, checkpoint, cache=cache))
        expected.append(encode(AT_ONCE, checkpoint))

    for record, at_once in zip(records, expected, strict=True):
        assert_same_record(record, at_once)
        assert AT_ONCE.decode(record) == AT_ONCE.decode(at_once)


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_any_state_comes_back_exactly(state: dict[Any, Any]) -> None:
    checkpoint = make_checkpoint(state, {})
    record = encode(IN_PIECES, checkpoint)

    assert_same_record(record, encode(AT_ONCE, checkpoint))
    assert is_same(IN_PIECES.decode(record).graph_state, state)


def test_what_can_not_be_saved_is_found_when_it_is_saved() -> None:
    with pytest.raises(SerializationError) as caught:
        encode(IN_PIECES, make_checkpoint({"a": [1, object()]}, {}))

    assert caught.value.path == "graph_state['a'][1]"


def test_damage_is_noticed() -> None:
    record = encode(IN_PIECES, make_checkpoint({"a": 1}, {}))
    payload = record.payload

    for damaged in (payload[:-1], payload + b" ", payload.replace(b'"a":1', b'"a":2')):
        with pytest.raises(CheckpointDamagedError):
            IN_PIECES.decode(Record(record.header, damaged))
    with pytest.raises(CheckpointDamagedError):
        IN_PIECES.decode(Record(replace(record.header, parent=1), payload))


def test_a_header_is_complete_whenever_it_is_read() -> None:
    """A history in memory may be copied elsewhere, header first."""
    record = encode(IN_PIECES, make_checkpoint({"a": 1}, {}))

    header = record.header.to_json()

    assert b'"checksum":"crc32:' in header
    assert header == record.header.to_json()


STATE = {f"key_{number:03}": f"{number:03}" * 33 for number in range(100)} | {"count": 0}
"""About 12 KB, of which a step changes a few bytes."""


class Count(Node):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count") + 1
        await context.graph_state.set("count", count)
        context.state["twice"] = 2 * count
        return {"done": count >= self.steps}


async def run(steps: int, backend: InMemoryCheckpointBackend) -> None:
    node = Count(steps)
    node.on(done=False) >> node
    node.on(done=True) >> ExitNode()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(start=node, id="g", state=STATE, checkpoint_config=config).run()


async def test_every_checkpoint_of_a_history_in_memory_has_its_own_state() -> None:
    backend = InMemoryCheckpointBackend()
    await run(30, backend)
    manager = CheckpointManager(backend)

    for count in range(1, 31):
        checkpoint = await manager.load_checkpoint(f"ckpt_g_{count:06}")

        assert checkpoint.graph_state == STATE | {"count": count}
        assert checkpoint.node_states == {"Count": {"twice": 2 * count}}
        assert checkpoint.frontier is not None
        assert [*checkpoint.frontier["contents"].values()] == [{"done": count == 30}]
        assert [info.sequence for info in (await backend.query(CheckpointQuery(metadata={"iteration": count}))).infos][
            :1
        ] == [count]


async def test_a_history_in_memory_grows_by_what_changed_and_not_by_what_exists() -> None:
    backend = InMemoryCheckpointBackend()
    await run(2, InMemoryCheckpointBackend())  # what is made once is there
    tracemalloc.start()
    try:
        await run(200, backend)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sizes = [info.size for info in (await backend.list("g")).infos]

    assert max(sizes) > 10_000
    assert grown / len(sizes) < 4_500
