"""Intact checkpoints with maps that no run ever wrote: they are refused, or run to an end; nothing else comes of them."""

from __future__ import annotations

import asyncio
import random
from copy import deepcopy
from typing import Any, Final

import pytest

from spark.errors import GraphRestoreError, SparkError
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Task
from spark.graphs.checkpoint import CheckpointConfig, GraphCheckpoint, InMemoryCheckpointBackend
from tests.core.resuming.test_impossible_checkpoints import MISSING, WRONG, changed, places
from tests.support.running import Does, every_step, history
from tests.support.variants import in_full, tries

FAILED: Final = set[Any]()
"""The items that have failed."""


class Gather(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return {"got": context.inputs}


class Inner(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"inner": [1, 2, 3]}


class Leaf(Node):
    """Fails once for each second item, so that tokens of items that failed are stored."""

    async def process(self, context: NodeContext) -> Any:
        await asyncio.sleep(0)
        if context.inputs == 2 and context.path not in FAILED:
            FAILED.add(context.path)
            raise SparkError("for once")
        return context.inputs


def wired() -> Node:
    start, inner = Does(lambda context: {"items": ["a", "b"]}, name="start"), Inner()
    start.each("items") >> inner
    inner.each("inner", limit=2) >> Leaf() >> [Does(lambda c: 1, name="x"), Does(lambda c: 2, name="y")] >> Gather()
    return start


@pytest.fixture
async def intact() -> GraphCheckpoint:
    """Made by a run that failed within two maps: with results, tokens of items, and first tokens that failed."""
    FAILED.clear()
    graph = Graph(wired(), id="impossible", checkpoint_config=every_step(InMemoryCheckpointBackend()))
    with pytest.raises(SparkError, match="for once"):
        await graph.run()
    checkpoint = (await history(graph))[-1]
    assert checkpoint.frontier is not None
    assert {len(id.split(".")) for id in checkpoint.frontier["tokens"]} == {1, 2}
    return checkpoint


async def outcome(mutant: GraphCheckpoint) -> None:
    graph = Graph.from_checkpoint(mutant, start=wired(), checkpoint_config=CheckpointConfig())
    await asyncio.wait_for(graph.run(Task(budget=Budget(max_iterations=60))), timeout=60)


@in_full
async def test_whatever_stands_anywhere_in_one_only_our_errors_come_of_it(intact: GraphCheckpoint) -> None:
    await outcome(intact)
    drawn = [(path, wrong) for path in places(intact.frontier) if path for wrong in (*WRONG, MISSING)]
    for path, wrong in random.Random(5).sample(drawn, tries(500)):
        FAILED.clear()
        try:
            await outcome(changed(intact, "frontier", path, wrong))
        except SparkError as error:
            str(error)
        except Exception as error:
            pytest.fail(f"{path} = {wrong!r}: {type(error).__name__}: {error}")


TOKEN: Final = {"node": "work", "lineage": 1, "source": "start", "content": "2"}
FRONTIER: Final[dict[str, Any]] = {
    "next_token": 5,
    "tokens": {
        "2": {**TOKEN, "over": "items"},
        "2.1": {**TOKEN, "failures": 1, "scope": [2, 1]},
        "4": {**TOKEN, "node": "more", "content": "4", "scope": [2, 2]},
    },
    "contents": {"2": [7, 8, 9, 10], "2.0": {"join": [7]}, "4": 9},
}


def mapping() -> Node:
    start = Does(lambda context: {"items": []}, name="start")
    (
        start.each("items")
        >> Does(lambda context: context.inputs, name="work")
        >> Does(lambda context: context.inputs, name="more")
        >> Gather(name="join")
    )
    return start


@pytest.fixture
async def small() -> GraphCheckpoint:
    graph = Graph(mapping(), id="impossible")
    checkpoint = graph.create_checkpoint()
    checkpoint.frontier = deepcopy(FRONTIER)
    return checkpoint


async def test_the_one_that_is_changed_below_is_possible(small: GraphCheckpoint) -> None:
    graph = Graph.from_checkpoint(small, start=mapping(), checkpoint_config=CheckpointConfig())

    assert (await graph.run()).content["got"] == [7, 8, 9, 10]


@pytest.mark.parametrize(
    ("path", "wrong", "said"),
    [
        (("contents", "2"), 5, "token 2 is a map, and its inputs are 5"),
        (("contents", "2"), [], "token 2 is a map"),
        (("contents", "2"), "text", "token 2 is a map"),
        (("contents", "2"), [7, 8], "token 4 is of the item '2.2', which no map still has to run"),
        (("tokens", "2", "content"), "4", "token 2 is a map"),
        (("tokens", "2", "over"), MISSING, "contents has '2.0', which is no item of a map"),
        (("tokens", "2", "joined"), True, "token 2 is a map of other inputs"),
        (("contents", "2.4"), {}, "contents has '2.4', which is no item of a map"),
        (("contents", "2.00"), {}, "contents has '2.00'"),
        (("contents", "2.x"), {}, "contents has '2.x'"),
        (("contents", "2.0.1"), {}, "contents has '2.0.1'"),
        (("contents", "9.0"), {}, "contents has '9.0'"),
        (("contents", "2.0"), 5, "the result 2.0 is 5, not a mapping"),
        (("contents", "2.0"), {"join": 5}, "the result 2.0 is no list"),
        (("contents", "2.1"), {}, "token 2.1 is of the item '2.1', which no map still has to run"),
        (("contents", "2"), [7], "contents has|all items of the map 2 have ended|which no map"),
        (("tokens", "2.1", "scope"), [2, 2], "token 2.1 is not the first one of item 2.2"),
        (("tokens", "2.1", "scope"), MISSING, "a token has the id '2.1'"),
        (("tokens", "2.1", "node"), "more", "token 2.1 is not the first one of item 2.1"),
        (("tokens", "2.1", "over"), "items", "token 2.1"),
        (("tokens", "4", "scope"), [2], "token 4 is of the item '2'"),
        (("tokens", "4", "scope"), [4, 0], "token 4 is of the item '4.0'"),
        (("tokens", "4", "scope"), [2, 4], "token 4 is of the item '2.4'"),
        (("tokens", "4", "scope"), "2.2", "scope of token 4"),
        (("tokens", "1"), {**TOKEN, "scope": [2, 3]}, "token 1 is older than its map"),
        (("tokens", "3"), {**TOKEN, "node": "join", "gathered": True, "content": "4"}, "token 3 was gathered by a map"),
    ],
    ids=str,
)
async def test_what_no_map_writes_is_named(
    small: GraphCheckpoint, path: tuple[Any, ...], wrong: Any, said: str
) -> None:
    with pytest.raises(GraphRestoreError, match=f"has an invalid frontier: .*({said})"):
        Graph.from_checkpoint(changed(small, "frontier", path, wrong), start=mapping())


@pytest.mark.parametrize(
    "each",
    [5, {}, {"key": ""}, {"key": "a", "limit": 0}, {"key": "a", "on_error": "x"}, {"key": "a", "more": 1}],
    ids=str,
)
async def test_what_no_edge_maps_over_is_named(small: GraphCheckpoint, each: Any) -> None:
    with pytest.raises(GraphRestoreError, match="has an invalid topology: the map of an edge"):
        Graph.from_checkpoint(changed(small, "topology", ("edges", 0, "each"), each), start=mapping())


async def test_a_map_whose_items_have_all_ended_is_no_pending_work(small: GraphCheckpoint) -> None:
    small.frontier = {"next_token": 3, "tokens": {"2": {**TOKEN, "over": "items"}}, "contents": {"2": [1], "2.0": {}}}
    with pytest.raises(GraphRestoreError, match="all items of the map 2 have ended, and the map has not"):
        Graph.from_checkpoint(small, start=mapping())
