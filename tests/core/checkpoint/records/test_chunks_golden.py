"""What is stored by change stays readable, byte for byte as it was written first; so do the parts that older releases stored.

To write the file where there is none: ``python -m tests.core.checkpoint.records.test_chunks_golden``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, GraphCheckpoint
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.storage import Record, RecordCodec, RecordHeader
from spark.graphs.values.item_list import ItemList

GOLDEN: Final = Path(__file__).parents[2] / "golden"
CHUNKS: Final = GOLDEN / "record_1.0.0_chunks.txt"
PARTS: Final = GOLDEN / "record_1.0.0_parts.txt"
"""In each the header, the payload, and a line for each blob: its name, and its content in hex."""


def state_of(step: int) -> dict[str, Any]:
    """A list that grows and a mapping of which keys come and go, with arrays that are apart."""
    state: dict[str, Any] = {f"key {number}": f"value {number % 7}" for number in range(40) if number != step}
    state |= {"step": step, "bytes": b"all work and no play " * 400}
    return state


def write_current() -> tuple[Record, dict[str, bytes]]:
    cache, new, codec, stored = EncodingCache(Thresholds(2_000, worth=100)), NewBlobs("w"), RecordCodec(), {}
    messages, start = ItemList([]), state_of(0)
    for step in range(1, 13):
        messages = messages.extended([f"message {step} " * 100])
        state = state_of(step) | {"bytes": start["bytes"], "messages": messages}
        checkpoint = GraphCheckpoint(
            "ckpt_golden_000012", "golden", datetime(2024, 1, 1, tzinfo=UTC), graph_state=state
        )
        record = codec.encode(checkpoint, sequence=step, manual=False, nonce="w-1", cache=cache, blobs=new)
        stored |= record.blobs
        for name in cache.retired:
            stored.pop(name)
        cache.retired.clear()
        new.stored([*new.unstored])
    return record, stored


def lines_of(record: Record, blobs: dict[str, bytes]) -> list[bytes]:
    return [
        record.header.to_json(),
        record.payload,
        *[name.encode() + b" " + bytes(content).hex().encode() for name, content in blobs.items()],
    ]


def read(file: Path) -> tuple[Record, dict[str, bytes]]:
    header, payload, *blobs = file.read_bytes().splitlines()
    contents = {name.decode(): bytes.fromhex(content.decode()) for name, content in (line.split() for line in blobs)}
    return Record(RecordHeader.from_json(header), payload), contents


def test_chunks_that_were_written_first_are_read_as_they_were() -> None:
    record, blobs = read(CHUNKS)
    codec = RecordCodec()

    back = codec.read(codec.open(record), blobs).graph_state
    messages = back.pop("messages")
    assert messages == [f"message {step} " * 100 for step in range(1, 13)]
    assert back == state_of(12)
    assert {ref.name for ref in codec.references(read(CHUNKS)[0])} == blobs.keys()


def test_the_same_chunks_are_written_today() -> None:
    assert lines_of(*write_current()) == CHUNKS.read_bytes().splitlines()


def test_all_that_chunks_can_hold_is_in_the_file() -> None:
    payload = read(CHUNKS)[0].payload

    for each in ("kind", "writer", "refs", "rent", "tail", "apart", "values", "places", "removed", "$buffered"):
        assert f'"{each}":'.encode() in payload
    assert b'"kind":"list"' in payload
    assert b'"kind":"mapping"' in payload


class Change(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        step = await context.graph_state.get("step", 0) + 1
        await context.graph_state.set("step", step)
        return {"more": step < 6}


def older_values(step: int) -> dict[str, Any]:
    return {f"key {number}": f"value {number}" for number in range(400)} | {"step": step, "large": "large " * 1500}


async def test_a_store_with_parts_of_an_older_release_is_continued(backend: CheckpointBackend) -> None:
    record, blobs = read(PARTS)
    await backend.put(record.with_blobs(blobs))
    manager = CheckpointManager(backend)
    before = await manager.load_latest("older")
    change = Change(name="change")
    change.on(more=True) >> change
    change.on(more=False) >> ExitNode(name="exit")
    backend.blob_cost = 4096

    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=2)
    await Graph(start=change, id="older", checkpoint_config=config).run(resume=True)

    after = await manager.load_latest("older")
    assert before is not None
    assert after is not None
    assert list(before.graph_state.items()) == list(older_values(2).items())
    assert list(after.graph_state.items()) == list(older_values(6).items())
    found = await manager.verify()
    assert (found.intact, found.is_fine, found.orphans) == (2, True, [])
    assert not blobs.keys() & set(await backend.blob_names("older")), "what the older run left is collected"


if __name__ == "__main__":
    with CHUNKS.open("xb") as file:
        file.write(b"".join(line + b"\n" for line in lines_of(*write_current())))
