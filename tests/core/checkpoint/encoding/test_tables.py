"""The tables of a frontier: written as if nothing was remembered, at the price of what changed."""

from __future__ import annotations

import random
import weakref
from datetime import UTC, datetime
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.codec import Codec
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.serialization.cost import CostBudget, CostExceededError
from spark.graphs.checkpoint.storage import Format, Record
from spark.graphs.state.frontier import Frontier
from spark_serializer_pickle import PickleFormat


class Counting(JsonFormat):
    """Counts what it is given to write."""

    def __init__(self, *, pretty_print: bool = False) -> None:
        super().__init__(pretty_print=pretty_print)
        self.written = 0

    def dumps(self, tree: Any) -> bytes:
        self.written += 1
        return super().dumps(tree)


CODEC = Codec(JsonFormat())


def encoded(
    frontier: dict[str, Any],
    cache: EncodingCache | None,
    codec: Codec = CODEC,
    *,
    cost_budget: CostBudget | None = None,
) -> Record:
    checkpoint = GraphCheckpoint("ckpt_g_000001", "g", datetime(2024, 5, 1, tzinfo=UTC), frontier=frontier)
    return codec.encode(checkpoint, sequence=1, manual=False, nonce="n", cache=cache, cost_budget=cost_budget)


def plain(value: Any) -> Any:
    """A copy that says nothing about changes."""
    return {key: plain(part) for key, part in value.items()} if isinstance(value, dict) else value


def fan_out(branches: int) -> Frontier:
    frontier = Frontier()
    frontier.add("start", {})
    frontier.finish(frontier.start(), {"of": "start"}, ["branch"] * branches)
    return frontier


@pytest.mark.parametrize("seed", range(5))
def test_a_cache_writes_what_would_be_written_without_one(seed: int) -> None:
    """While there are few tokens and while there are many, and where captures are left out."""
    drawn, frontier, cache = random.Random(seed), fan_out(30), EncodingCache()
    for step in range(200):
        token = frontier.start()
        if drawn.random() < 0.2:
            frontier.count_failure(token)
        branches = drawn.choices([0, 1, 2, 20], weights=[9, 6, 3, 1])[0]
        frontier.finish(token, drawn.choice([{"é": step}, None, (1, {2})]), ["branch"] * branches)
        captured = frontier.capture()
        if drawn.random() < 0.1:
            continue

        assert bytes(encoded(captured, cache).payload) == bytes(encoded(plain(captured), None).payload)
        if not frontier:
            break


def test_a_thousand_pending_tokens_cost_only_what_a_step_changed() -> None:
    format = Counting()
    codec, cache, frontier = Codec(format), EncodingCache(), fan_out(1_000)
    encoded(frontier.capture(), cache, codec)
    frontier.finish(frontier.start(), {"of": "branch"}, ["next"])
    format.written = 0
    encoded(frontier.capture(), cache, codec)

    assert format.written < 10  # a token, its content, and what is beside the tables


def test_what_failed_half_way_is_not_taken_for_what_was_written() -> None:
    cache, frontier = EncodingCache(), fan_out(20)
    encoded(frontier.capture(), cache)
    frontier.finish(frontier.start(), {"of": "first"}, ["next"])
    frontier.finish(frontier.start(), {"cannot": object()}, ["next"])
    with pytest.raises(SerializationError, match=r"frontier\['contents'\]\['23'\]\['cannot'\]") as caught:
        encoded(frontier.capture(), cache)
    while frontier.waiting[0].id != "23":
        frontier.finish(frontier.start(), {}, ["branch"])
    frontier.finish(frontier.start(), {"of": "second"}, ["next"])
    captured = frontier.capture()

    assert caught.value.path == "frontier['contents']['23']['cannot']"
    assert bytes(encoded(captured, cache).payload) == bytes(encoded(plain(captured), None).payload)


def test_what_was_too_much_for_the_event_loop_is_written_by_a_thread_from_where_it_stopped() -> None:
    cache, frontier = EncodingCache(), fan_out(20)
    for number in range(20):
        frontier.finish(frontier.start(), number, ["next"])
    encoded(frontier.capture(), cache)
    for size in (10, 5_000, 10):
        frontier.finish(frontier.start(), [[]] * size, ["next"])
    captured = frontier.capture()
    with pytest.raises(CostExceededError):
        encoded(captured, cache, cost_budget=CostBudget(last_cost=0))

    assert bytes(encoded(captured, cache).payload) == bytes(encoded(plain(captured), None).payload)


def test_nothing_is_kept_of_many_tokens_once_there_are_few() -> None:
    cache, frontier, content = EncodingCache(), fan_out(20), {"large"}
    frontier.finish(frontier.start(), content, ["next"])
    encoded(frontier.capture(), cache)
    kept = weakref.ref(content)
    del content
    while len(frontier.pending()) > 1:
        frontier.finish(frontier.start(), None, [])
    frontier.finish(frontier.start(), None, ["last"])
    encoded(frontier.capture(), cache)

    assert kept() is None


class Branch(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"from": context.node}


@pytest.mark.parametrize(
    "make", [JsonFormat, lambda: PickleFormat(signing_key="k"), lambda: JsonFormat(pretty_print=True)]
)
async def test_every_format_brings_back_every_checkpoint_of_a_large_fan_out(make: Any) -> None:
    format: Format = make()
    start = Branch(name="start")
    start >> [Branch() for _ in range(25)] >> JoinNode()
    backend = InMemoryCheckpointBackend(format=format)
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(start, id="g", checkpoint_config=config).run()

    manager = CheckpointManager(backend)
    for number in range(1, 27):
        frontier = (await manager.load_checkpoint(f"ckpt_g_{number:06}")).frontier
        assert frontier is not None
        assert len(frontier["tokens"]) == (25 if number < 26 else 1)
        named = {token["content"] for token in frontier["tokens"].values()}
        assert frontier["contents"].keys() == named
        assert type(frontier["tokens"]) is type(frontier["contents"]) is dict
