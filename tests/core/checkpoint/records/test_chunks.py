"""Of many small values only those near a change are written again, and all come back in their order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from spark.errors import CheckpointDamagedError, DeserializationError
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records.blobs import NewBlobs, birth
from spark.graphs.checkpoint.records.checksum import checksum
from spark.graphs.checkpoint.storage import Record, RecordCodec
from spark.graphs.state.transactions import StateStore

MUCH: Final = 16 * 1024
"""So much does one more blob cost here, whatever the store."""
KEYS: Final = 3_000
"""Small values of about 100 bytes: together they are some chunks."""


def small_values(keys: int = KEYS) -> dict[str, Any]:
    return {f"key {number}": f"value {number} ".ljust(100, ".") for number in range(keys)}


class Change(Node):
    """Sets one value at each step, another one at another step, until there are so many."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def process(self, context: NodeContext) -> dict[str, Any]:
        step = await context.graph_state.get("key 7", 0)
        step = step + 1 if isinstance(step, int) else 1
        await context.graph_state.set("key 7", step)
        await context.graph_state.set(f"key {step * 100}", step)
        return {"more": step % self.steps != 0}


def graph_of(backend: CheckpointBackend, steps: int, **settings: Any) -> Graph:
    change = Change(steps)
    change.on(more=True) >> change
    change.on(more=False) >> ExitNode()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, **settings)
    backend.blob_cost = MUCH
    return Graph(start=change, id="g", state=small_values(), checkpoint_config=config)


def expected_after(step: int) -> dict[str, Any]:
    return small_values() | {f"key {number * 100}": number for number in range(1, step + 1)} | {"key 7": step}


# in every store


async def test_a_step_writes_what_changed(backend: CheckpointBackend) -> None:
    await graph_of(backend, 6, auto_cleanup=False).run()

    records = [info.size for info in (await backend.list("g")).infos]
    blobs = await backend.get_blobs("g", await backend.blob_names("g"))
    by_step = {step: sum(len(blobs[name]) for name in blobs if birth(name) == step) for step in range(1, 7)}
    assert max(records) < 10_000
    assert by_step[1] > 100 * KEYS, "the first holds everything, which is in a chunk at once"
    assert sum(by_step[step] for step in range(2, 7)) == 0


async def test_every_checkpoint_loads_with_its_values_in_order(backend: CheckpointBackend) -> None:
    await graph_of(backend, 4, auto_cleanup=False).run()

    manager = CheckpointManager(backend)
    for step in (1, 2, 3, 4):
        loaded = (await manager.load_checkpoint(f"ckpt_g_{step:06d}")).graph_state
        assert list(loaded.items()) == list(expected_after(step).items())


@pytest.mark.parametrize("backend", ["file", "sqlite", "s3"], indirect=True)
async def test_chunks_go_with_the_last_checkpoint_that_needs_them(backend: CheckpointBackend) -> None:
    graph = graph_of(backend, 20, max_checkpoints=2)
    backend.blob_cost = 1024
    await graph.run()

    needed: set[str] = set()
    for info in (await backend.list("g")).infos:
        record = await backend.get("g", info.sequence)
        assert record is not None
        needed |= {ref.name for ref in backend.record_codec.references(record)}
    assert set(await backend.blob_names("g")) == needed
    found = await CheckpointManager(backend).verify()
    assert (found.intact, found.is_fine, found.orphans) == (2, True, [])


async def test_a_chunk_that_is_missing_is_named(backend: CheckpointBackend) -> None:
    await graph_of(backend, 2).run()
    name = (await backend.blob_names("g"))[0]
    await backend.delete_blobs("g", [name])

    with pytest.raises(CheckpointDamagedError, match=f"its large value '{name}' is missing"):
        await CheckpointManager(backend).load_latest("g")


async def test_a_store_without_large_values_gets_them_all(backend: CheckpointBackend, tmp_path: Path) -> None:
    await graph_of(backend, 2).run()
    latest = await CheckpointManager(backend).load_latest("g")
    assert latest is not None

    async with InMemoryCheckpointBackend() as other:
        await latest.save(other)
        copied = await CheckpointManager(other).load_checkpoint(latest.checkpoint_id)

    assert list(copied.graph_state.items()) == list(expected_after(2).items())


class Talk(Node):
    """Appends one message at each step."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        step = await context.graph_state.get("step", 0) + 1
        await context.graph_state.set("step", step)
        await context.graph_state.set("messages", [*await context.graph_state.get("messages", []), message(step)])
        return {"more": step < 60}


def message(step: int) -> dict[str, Any]:
    return {"id": step, "text": f"message {step} ".ljust(1_000, ".")}


async def test_a_growing_list_can_be_read_with_nothing_but_json(tmp_path: Path) -> None:
    """What is stored stays inspectable: a few lines of jq do what these lines do."""
    talk = Talk()
    talk.on(more=True) >> talk
    async with FileCheckpointBackend(tmp_path) as store:
        store.blob_cost = 8 * 1024
        config = CheckpointConfig(backend=store, trigger_on_iteration=1)
        await Graph(start=talk, id="g", checkpoint_config=config).run()

    content = (tmp_path / "g" / "000000000060.ckpt").read_bytes()
    tree, _ = json.JSONDecoder().raw_decode(content[content.index(b'{"graph_state"') :].decode())
    stored = tree["graph_state"]["messages"]["$chunks"]
    messages: dict[str, Any] = {}
    for sequence, count, *_ in stored["refs"]:
        name = f"{sequence:012d}-{stored['writer']}-{count}"
        messages |= json.loads((tmp_path / "g" / "blobs" / f"{name}.blob").read_bytes())["values"]
    messages |= stored["tail"]["values"]
    assert tree["graph_state"]["step"] == 60
    assert stored["kind"] == "list"
    assert [messages[place] for place in sorted(messages, key=float)] == [message(step) for step in range(1, 61)]
    assert len(stored["tail"]["values"]) < 10
    assert len(json.dumps(stored["refs"][0])) < 60


# whatever the keys are


class Store:
    """A place for records and what they refer to, which keeps account of what nobody needs, as a run does."""

    def __init__(self, thresholds: Thresholds = Thresholds(MUCH)) -> None:  # noqa: B008 - it is immutable
        self.record_codec = RecordCodec()
        self.cache = EncodingCache(thresholds)
        self.new = NewBlobs("w")
        self.blobs: dict[str, bytes] = {}
        self.count = 0

    def save(self, values: Any) -> Record:
        self.count += 1
        checkpoint = GraphCheckpoint("ckpt_g_000001", "g", datetime(2024, 5, 1, tzinfo=UTC), graph_state=values)
        record = self.record_codec.encode(
            checkpoint, sequence=self.count, manual=False, nonce="n", cache=self.cache, blobs=self.new
        )
        self.blobs |= record.blobs
        for name in self.cache.retired:
            self.blobs.pop(name, None)
        self.cache.retired.clear()
        self.new.stored([*self.new.unstored])
        return record

    def load(self, record: Record) -> dict[str, Any]:
        return self.record_codec.read(self.record_codec.open(record), self.blobs).graph_state


@pytest.mark.parametrize("key", ["$parts", "$blob", "$chunks", "values", "$dict", ""])
@pytest.mark.parametrize("alone", [True, False])
def test_names_that_look_like_ours_are_names(key: str, alone: bool) -> None:
    value = {"0": {"values": {"a": 1}}}
    given_values = {key: value} | ({} if alone else small_values())
    state, store = StateStore("graph_state", given_values), Store()

    record = store.save(state.capture())

    assert bool(store.blobs) is not alone
    assert store.load(record) == given_values


def test_a_state_that_changes_everywhere_is_one_record() -> None:
    """A chunk is a request or a file of its own, and each would be there for nothing."""
    state, store = StateStore("graph_state", small_values(300)), Store()
    for step in range(20):
        state.apply({f"key {number}": f"{step}".ljust(100) for number in range(300)}, writer="n")
        store.save(state.capture())

        assert not store.blobs


# what is stored is not trusted


def forged(section: Any, blobs: dict[str, bytes] | None = None) -> Record:
    tree = {name: {} for name in ("node_states", "execution_metadata", "config", "topology", "frontier")}
    content = json.dumps({"graph_state": section} | tree).encode()
    header = Store().save({}).header
    header.size = header.raw_size = len(content)
    header.checksum = checksum("sha256", header.canonical(), content)
    return Record(header, content).with_blobs(blobs or {})


@pytest.mark.parametrize(
    "section",
    [
        {"$parts": []},
        {"$parts": {"0": []}},
        {"$parts": {"0": {"values": []}}},
        {"$parts": {"0": {"values": {}, "more": 1}}},
        {"$parts": {"0": {"$blob": ["../x", 1, 1, "", ""]}}},
        {"$parts": {"0": {"$parts": {}}}},
        {"$chunks": []},
        {"$chunks": {}},
        {"$chunks": {"kind": ["list"]}},
        {"$chunks": {"kind": "set"}},
        {"$chunks": {"kind": "list", "more": 1}},
        {"$chunks": {"kind": "list", "tail": []}},
        {"$chunks": {"kind": "list", "tail": {"values": []}}},
        {"$chunks": {"kind": "list", "tail": {"values": {"x": 1}}}},
        {"$chunks": {"kind": "list", "tail": {"values": {"nan": 1}}}},
        {"$chunks": {"kind": "list", "tail": {"values": {"1e999": 1}}}},
        {"$chunks": {"kind": "list", "tail": {"values": {"01": 1}}}},
        {"$chunks": {"kind": "list", "tail": {"values": {"9" * 5000: 1}}}},
        {"$chunks": {"kind": "list", "tail": {"values": {"1": 1, "1.0": 2}}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1}, "places": [1, 2]}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1, "b": 2}, "places": [[1, 2**30]]}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1, "b": 2}, "places": [[1, -1], 1, 2]}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1, "b": 2}, "places": [5, 5]}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1}, "places": [True]}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1}, "places": {}}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1}, "removed": {"a": 1}}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1}, "removed": [1]}}},
        {"$chunks": {"kind": "mapping", "tail": {"values": {"a": 1}}, "apart": {"values": {"b": 1}, "places": [0]}}},
        {"$chunks": {"kind": "mapping", "apart": {"values": []}}},
        {"$chunks": {"kind": "list", "writer": 1}},
        {"$chunks": {"kind": "list", "writer": "w", "refs": {}}},
        {"$chunks": {"kind": "list", "writer": "w", "refs": [[1, 1, 1, 1]]}},
        {"$chunks": {"kind": "list", "writer": "w", "refs": [[1, True, 1, 1, ""]]}},
        {"$chunks": {"kind": "list", "writer": "w", "refs": [[-1, 1, 1, 1, ""]]}},
        {"$chunks": {"kind": "list", "writer": "a-b", "refs": [[1, 1, 1, 1, ""]]}},
        {"$chunks": {"kind": "list", "writer": "../", "refs": [[1, 1, 1, 1, ""]]}},
        {"$chunks": {"kind": "list", "codecs": [1], "writer": "w", "refs": [[1, 1, 1, 1, ""]]}},
        {"$chunks": {"kind": "list", "writer": "w", "refs": [[1, 1, 1, 1, ""], [1, 1, 1, 1, ""]]}},
        {"a": {"$chunks": {"kind": "list", "tail": {"values": {"x": 1}}}}},
    ],
    ids=lambda section: str(section)[:100],
)
def test_chunks_that_are_not_valid_are_damage(section: Any) -> None:
    with pytest.raises(CheckpointDamagedError):
        RecordCodec().decode(forged(section))


def chunked(*parts: Any, kind: str = "mapping", **more: Any) -> tuple[Any, dict[str, bytes]]:
    """A mapping of these chunks, and the blobs."""
    blobs, refs = {}, []
    for number, part in enumerate(parts):
        content = json.dumps(part).encode()
        name = f"000000000001-w-{number}"
        blobs[name] = content
        digest = checksum("sha256-128", b"", content).partition(":")[2]
        refs.append([1, number, len(content), len(content), digest])
    return {"$chunks": {"kind": kind, "writer": "w", "refs": refs, **more}}, blobs


def loaded(section: Any, blobs: dict[str, bytes]) -> Any:
    codec = RecordCodec()
    record = forged(section, blobs)
    return codec.read(codec.open(record), blobs).graph_state


def test_the_latest_of_several_copies_counts_and_places_order_them() -> None:
    section, blobs = chunked(
        {"values": {"a": "old", "b": 1, "gone": 1}, "places": [[5, 3]]},
        {"values": {"first": 0}, "places": [-1.5], "removed": ["gone"]},
        tail={"values": {"a": "new"}, "places": [5]},
        apart={
            "values": {"c": {"$chunks": {"kind": "list", "tail": {"values": {"2": "y", "1.5": "x"}}}}},
            "places": [9],
        },
    )

    assert list(loaded(section, blobs).items()) == [("first", 0), ("a", "new"), ("b", 1), ("c", ["x", "y"])]


@pytest.mark.parametrize(
    "parts",
    [
        [{"values": {"a": 1}}],
        [{"values": {"a": 1}, "places": [1]}, {"values": {"b": 1}, "places": [1]}],
        [{"values": {"a": 1}, "places": [1, 2]}],
        [{"values": {"a": 1, "b": 2}, "places": [[1, 10**12]]}],
        [[]],
        [{"values": {"a": 1}, "places": [1], "apart": {}}],
    ],
    ids=["no places", "one place twice", "too many places", "endless places", "no chunk", "unknown field"],
)
def test_chunks_that_do_not_fit_together_are_damage(parts: list[Any]) -> None:
    section, blobs = chunked(*parts)

    with pytest.raises(CheckpointDamagedError):
        loaded(section, blobs)


def test_a_chunk_with_another_content_is_damage() -> None:
    section, blobs = chunked({"values": {"a": 1}, "places": [1]})
    blobs = {name: content.replace(b"1", b"2") for name, content in blobs.items()}

    with pytest.raises(CheckpointDamagedError, match="is not what was written"):
        loaded(section, blobs)


def test_chunks_that_unpack_to_more_than_the_limits_allow_are_refused_unread() -> None:
    section, blobs = chunked({"values": {"a": 1}, "places": [1]})
    section["$chunks"]["refs"][0][3] = 2**40

    with pytest.raises(DeserializationError, match="max_bytes"):
        RecordCodec().open(forged(section, blobs))
