"""A stored record with maps under way, which every later release has to continue.

Written by ``python -m tests.core.resuming.test_golden_maps``: one when maps were new, and one when topologies came to tell joins.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, ItemError, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, GraphCheckpoint
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.definition.topology import Topology

BEFORE_JOINS_WERE_RECORDED = Path(__file__).parents[1] / "golden" / "record_1.0.0_maps.txt"
GOLDEN = BEFORE_JOINS_WERE_RECORDED.with_name("record_1.0.0_joins.txt")
CODEC = RecordCodec(JsonFormat())
ERROR = ItemError(index=1, key="b", error="ValueError", message="for once", node="Walk")


class Split(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"things": {"a": [1], "b": [], "c": [2, 3], "d": [4, 5]}}


class Walk(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"steps": context.inputs}


class Step(Node):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs * 10


class Inner(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return [*context.path, *context.inputs]


class Outer(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs


def wired() -> Node:
    split, walk = Split(), Walk()
    split.each("things", limit=2, on_error="collect") >> walk
    walk.each("steps") >> Step() >> Inner() >> Outer()
    return split


FRONTIER: dict[str, Any] = {
    "next_token": 9,
    "tokens": {
        "2": {
            "node": "Walk",
            "lineage": 5,
            "source": "Split",
            "content": "2",
            "generation": 1,
            "path": [1],
            "over": "things",
        },
        "2.3": {
            "node": "Walk",
            "lineage": 8,
            "source": "Split",
            "content": "2",
            "failures": 1,
            "path": [3],
            "scope": [2, 3],
        },
        "6": {
            **{"node": "Step", "lineage": 6, "source": "Walk", "content": "6", "generation": 1, "path": [2]},
            **{"scope": [2, 2], "over": "steps"},
        },
    },
    "contents": {
        "2": {"a": [1], "b": [], "c": [2, 3], "d": [4, 5]},
        "2.0": {"Outer": [["a", 10]]},
        "2.1": {"Outer": [ERROR]},
        "6": [2, 3],
        "6.1": {"Inner": [30]},
    },
}
CHECKPOINT = GraphCheckpoint(
    "c",
    "golden",
    datetime(2026, 11, 29, tzinfo=UTC),
    {},
    {},
    {"iteration": 8, "last_node": "Step", "run_id": "r", "reason": "trigger"},
    sequence=7,
    topology=Topology(wired()).shape.data,
    frontier=FRONTIER,
)


def written() -> Record:
    return CODEC.encode(CHECKPOINT, sequence=7, manual=False, nonce="0123456789abcdef")


def released(golden: Path = GOLDEN) -> Record:
    header, _, payload = golden.read_bytes().partition(b"\n")
    return Record(RecordHeader.from_json(header), payload.removesuffix(b"\n"))


def test_maps_are_written_as_they_were_released() -> None:
    assert written().payload == released().payload


@pytest.mark.parametrize("golden", [BEFORE_JOINS_WERE_RECORDED, GOLDEN], ids=lambda path: path.stem)
async def test_a_stored_map_is_continued(golden: Path) -> None:
    checkpoint = CODEC.decode(released(golden))

    assert checkpoint.frontier == FRONTIER
    for start in (wired(), None):
        graph = Graph.from_checkpoint(checkpoint, start=start, checkpoint_config=CheckpointConfig())
        assert (await graph.run()).content == [["a", 10], ERROR, ["c", 20, 30], ["d", 40, 50]]


if __name__ == "__main__":
    from tests.core.resuming import test_golden_maps  # whose classes have the names that are stored

    record = test_golden_maps.written()
    GOLDEN.write_bytes(record.header.to_json() + b"\n" + record.payload + b"\n")
