"""A stored record whose steps wait, which every later release has to continue.

Written by ``python -m tests.core.resuming.test_golden_journal`` when steps that wait were new.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.definition.topology import Topology
from spark_testing.clock import SkippingClock

GOLDEN = Path(__file__).parents[1] / "golden" / "record_1.0.0_journal.txt"
CODEC = RecordCodec(JsonFormat())


class Start(Node):
    async def process(self, context: NodeContext) -> Any:
        return {}


class Order(Node):
    """Has made calls, asked, and got an answer to the second question only, so that it has to be executed."""

    async def process(self, context: NodeContext) -> Any:
        paid = await context.run("charge", never_again)
        try:
            await context.durable(record_errors=True).run("charge", never_again)
        except KeyError as error:
            failed = error.args
        answers = [await context.interrupt("how many?", key="count", schema=int), await context.interrupt("sure?")]
        return {"paid": paid, "failed": failed, "answers": answers}


class Reminder(Node):
    """Waits for a time, for its second attempt."""

    async def process(self, context: NodeContext) -> Any:
        await context.sleep(timedelta(hours=1))
        return {"attempt": context.attempt, "error": context.last_error and context.last_error.message}


class Meet(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs


def never_again() -> Any:
    raise AssertionError("this call is recorded")


def wired() -> Node:
    start = Start()
    start >> [Order(), Reminder()] >> Meet()
    return start


SINCE = "2026-11-29T00:00:00+00:00"
FRONTIER: dict[str, Any] = {
    "next_token": 4,
    "tokens": {
        "2": {
            **{"node": "Order", "lineage": 5, "source": "Start", "content": "2", "generation": 1, "path": [0]},
            "awake": True,
        },
        "3": {
            **{"node": "Reminder", "lineage": 6, "source": "Start", "content": "2", "failures": 1},
            **{"generation": 1, "path": [1]},
        },
    },
    "contents": {"2": {}},
    "journal": {
        "2/call:charge": {"value": {"amount": (5, "EUR")}, "number": 1},
        "2/call:charge#2": {
            "error": {"type": "builtins:KeyError", "message": "'card'", "args": ["card"]},
            "number": 2,
        },
        "2/interrupt:count": {
            **{"id": "0123456789abcdef", "payload": "how many?", "since": SINCE, "key": "count"},
            **{"schema": {"type": "integer"}, "refused": "Input should be a valid integer", "tries": 1},
        },
        "2/interrupt:1": {"id": "fedcba9876543210", "payload": "sure?", "since": SINCE, "value": "yes"},
        "2/sleep:1": {"due": "2026-11-30T00:00:00+00:00", "since": SINCE, "aside": True},
        "3/retry": {
            "failure": {
                **{"type": "ConnectionError", "message": "for once", "node": "Reminder", "attempt": 1},
                **{"time": SINCE, "stack": []},
            },
            **{"due": "2026-11-29T00:00:01+00:00", "since": SINCE, "began": SINCE, "idle": 1.0, "over": True},
        },
        "3/sleep:1": {"due": "2026-11-29T01:00:00+00:00", "since": SINCE},
    },
}
CHECKPOINT = GraphCheckpoint(
    "c",
    "golden",
    datetime(2026, 11, 29, tzinfo=UTC),
    {},
    {},
    {"iteration": 1, "last_node": "Start", "run_id": "r", "reason": "answered"},
    sequence=7,
    topology=Topology(wired()).shape.data,
    frontier=FRONTIER,
)


def written() -> Record:
    return CODEC.encode(CHECKPOINT, sequence=7, manual=False, nonce="0123456789abcdef")


def released() -> Record:
    header, _, payload = GOLDEN.read_bytes().partition(b"\n")
    return Record(RecordHeader.from_json(header), payload.removesuffix(b"\n"))


def test_journals_are_written_as_they_were_released() -> None:
    # Since then, topologies say which nodes are joins.
    assert written().payload.replace(b',"join":true', b"") == released().payload


async def test_a_stored_journal_is_continued() -> None:
    checkpoint = CODEC.decode(released())
    assert checkpoint.frontier == FRONTIER

    (asked,) = checkpoint.interrupts()
    assert (asked.id, asked.key, asked.error) == ("0123456789abcdef", "count", "Input should be a valid integer")
    graph = Graph(
        wired(),
        id="golden",
        clock=SkippingClock(),
        checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()),
    )
    await graph.run(resume=checkpoint)
    assert (await graph.run(resume={asked.id: "5"})).content == [
        {"paid": {"amount": (5, "EUR")}, "failed": ("card",), "answers": [5, "yes"]},
        {"attempt": 2, "error": "for once"},
    ]


if __name__ == "__main__":
    from tests.core.resuming import test_golden_journal  # whose classes have the names that are stored

    record = test_golden_journal.written()
    GOLDEN.write_bytes(record.header.to_json() + b"\n" + record.payload + b"\n")
