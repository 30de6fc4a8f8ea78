"""Pending work changes key by key too: of many tokens, a checkpoint costs those that changed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spark.errors import SerializationError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.records.blobs import NewBlobs
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage import Format, Record, RecordCodec
from spark.graphs.state.frontier import Frontier
from spark.graphs.values.item_mapping import Captured
from spark.graphs.values.tracked import TrackedMapping
from spark_format_pickle import PickleFormat
from tests.support.variants import in_full, tries

SMALL: Final = Thresholds(500, worth=50, nested=200, compared=300, each=1, largest=1_000)
MOMENT: Final = datetime(2024, 5, 1, tzinfo=UTC)


def made(frontier: dict[str, Any]) -> GraphCheckpoint:
    return GraphCheckpoint("c", "g", MOMENT, frontier=frontier)


def encode(frontier: dict[str, Any], codec: RecordCodec, **options: Any) -> Record:
    return codec.encode(made(frontier), sequence=1, manual=False, nonce="n", **options)


keys = st.integers(1, 30).map(str)
values = st.one_of(st.integers(0, 5), st.sampled_from(["x" * 90, "large " * 50, {"$blob": [1]}, {"values": 1}]))
changes = st.lists(st.tuples(keys, st.one_of(values, st.none())), max_size=10)
many: Final = [(str(number), "y" * 90) for number in range(1, 31)]


@in_full
@settings(max_examples=tries(150), deadline=None)
@given(st.lists(st.tuples(changes, changes, st.booleans()), min_size=1, max_size=10))
@example([(many, many, True), ([("1", None), ("31", 1)], [("2", None)], True), ([("31", None)], [("5", 1)], False)])
@example([(many, [], True), ([(key, None) for key, _ in many[1:]], [], True), ([("1", 2)], [("$parts", 1)], True)])
def test_what_is_remembered_never_changes_what_is_loaded(history: list[tuple[Any, Any, bool]]) -> None:
    codec, blobs = RecordCodec(), NewBlobs("w")
    cache = EncodingCache(SMALL)
    tokens, contents = TrackedMapping[Any](), TrackedMapping[Any]()
    stored: dict[str, bytes] = {}
    for tokens_change, contents_change, is_tracked in history:
        apply(tokens, tokens_change)
        apply(contents, contents_change)
        frontier = {"next_token": 40, "tokens": tokens.capture(), "contents": contents.capture()}
        if not is_tracked:
            frontier = {name: dict(value) if isinstance(value, dict) else value for name, value in frontier.items()}
        record = encode(frontier, codec, cache=cache, blobs=blobs)
        stored |= record.blobs
        for name in cache.retired:
            stored.pop(name)
        cache.retired.clear()
        blobs.unstored.clear()

        loaded = codec.read(codec.open(record), stored).frontier
        assert loaded is not None
        assert loaded == frontier
        assert [*loaded["tokens"]] == [*tokens.values]
        assert stored.keys() == {ref.name for ref in codec.references(record)}


def apply(mapping: TrackedMapping[Any], changed: list[tuple[str, Any]]) -> None:
    for key, value in changed:
        if value is not None:
            mapping.put(key, value)
        elif key in mapping.values:
            mapping.remove(key)


def test_only_what_changed_is_encoded() -> None:
    class Watching(CheckpointSerializer):
        pass

    codec, cache, tokens = RecordCodec(serializer=Watching(), checksum="crc32"), EncodingCache(), TrackedMapping[Any]()
    apply(tokens, [(str(number), {"node": f"n{number}"}) for number in range(1, 1001)])
    encode({"tokens": tokens.capture(), "contents": Captured({})}, codec, cache=cache)

    assert "frontier" not in cache.sections, "a serializer has to be asked about the mapping itself"

    codec, cache, written = RecordCodec(checksum="crc32"), EncodingCache(), list[Any]()
    encode({"tokens": tokens.capture(), "contents": {}}, codec, cache=cache)
    dumps, codec.format.dumps = codec.format.dumps, lambda tree: written.append(tree) or dumps(tree)  # type: ignore
    apply(tokens, [("1", None), ("1001", {"node": "n1001"})])
    record = encode({"tokens": tokens.capture(), "contents": {}}, codec, cache=cache)

    assert [tree for tree in written if isinstance(tree, dict) and tree] == [{"node": "n1001"}]
    assert codec.decode(record).frontier == {"tokens": tokens.values, "contents": {}}


def pending(number: int) -> Frontier:
    """So many branches, each with inputs of its own."""
    frontier = Frontier()
    frontier.add("start", {})
    frontier.finish(frontier.start(), {}, ["branch"] * number)
    for own in range(number):
        frontier.finish(frontier.start(), own, ["next"])
    return frontier


def plain(value: Any) -> Any:
    """A copy that says nothing about changes."""
    return {key: plain(part) for key, part in value.items()} if isinstance(value, dict) else value


def test_what_can_t_be_written_is_named_and_the_rest_is_written_the_next_time() -> None:
    codec, cache, frontier = RecordCodec(), EncodingCache(), pending(20)
    encode(frontier.capture(), codec, cache=cache)
    frontier.finish(frontier.start(), {"can": 1}, ["next"])
    frontier.finish(frontier.start(), {"cannot": object()}, ["next"])
    with pytest.raises(SerializationError) as caught:
        encode(frontier.capture(), codec, cache=cache)
    while frontier.waiting[0].content != "43":
        frontier.finish(frontier.start(), {}, ["next"])
    frontier.finish(frontier.start(), {"can": 2}, ["next"])
    captured = frontier.capture()

    assert caught.value.path == "frontier['contents']['43']['cannot']"
    assert encode(captured, codec, cache=cache) == encode(plain(captured), codec)


def test_what_was_too_much_for_the_event_loop_is_written_by_a_thread_from_where_it_stopped() -> None:
    codec, cache, frontier = RecordCodec(), EncodingCache(), pending(20)
    encode(frontier.capture(), codec, cache=cache)
    for size in (10, 5_000, 10):
        frontier.finish(frontier.start(), [[]] * size, ["next"])
    captured = frontier.capture()
    with pytest.raises(CostExceededError):
        encode(captured, codec, cache=cache, cost_budget=CostBudget(last_cost=0))

    assert encode(captured, codec, cache=cache) == encode(plain(captured), codec)


def test_nothing_is_kept_of_many_tokens_once_there_are_few() -> None:
    codec, cache, frontier, content = RecordCodec(), EncodingCache(), pending(20), {"large"}
    frontier.finish(frontier.start(), content, ["next"])
    encode(frontier.capture(), codec, cache=cache)
    kept = weakref.ref(content)
    del content
    while len(frontier.pending()) > 1:
        frontier.finish(frontier.start(), None, [])
    frontier.finish(frontier.start(), None, ["last"])
    encode(frontier.capture(), codec, cache=cache)

    assert kept() is None


@pytest.mark.parametrize(
    "make", [JsonFormat, lambda: JsonFormat(pretty_print=True), lambda: PickleFormat(signing_key="k")]
)
async def test_every_format_brings_back_every_checkpoint_of_a_large_fan_out(make: Callable[[], Format]) -> None:
    backend = InMemoryCheckpointBackend(format=make())
    await fan_out(backend).run()

    manager = CheckpointManager(backend)
    for step in range(1, 22):
        frontier = (await manager.load_checkpoint(f"ckpt_g_{step:06d}")).frontier
        assert frontier is not None
        assert len(frontier["tokens"]) == (20 if step < 21 else 1)
        assert frontier["contents"].keys() == {token["content"] for token in frontier["tokens"].values()}
        assert type(frontier["tokens"]) is type(frontier["contents"]) is dict


class Fan(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"large": "x" * 20_000}


class Branch(Node):
    async def process(self, context: NodeContext) -> str:
        return f"{self.name} " * 2_000


def fan_out(backend: CheckpointBackend) -> Graph:
    start, join = Fan(), JoinNode()
    for number in range(20):
        start >> Branch(name=f"branch{number}") >> join
    join >> ExitNode()
    backend.blob_cost = 8192
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    return Graph(start, id="g", checkpoint_config=config, max_concurrency=1)


async def test_many_pending_tokens_load_and_resume_from_any_step(backend: CheckpointBackend) -> None:
    expected = (await fan_out(InMemoryCheckpointBackend()).run()).content
    await fan_out(backend).run()
    manager = CheckpointManager(backend)

    for step in (1, 2, 12, 21):
        checkpoint = await manager.load_checkpoint(f"ckpt_g_{step:06d}")
        resumed = await fan_out(InMemoryCheckpointBackend()).run(resume=checkpoint)

        assert resumed.content == expected
    assert (await manager.verify()).is_fine


async def test_what_tokens_carry_is_stored_once_where_it_is_large(backend: CheckpointBackend) -> None:
    await fan_out(backend).run()
    sizes = [info.size for info in (await backend.list("g")).infos]

    assert max(sizes[:15]) < 15_000, "each branch has brought 18,000 bytes to the join"
