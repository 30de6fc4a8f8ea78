"""Stores of older releases, whose frontiers have lists of tokens and contents: what was pending goes on all the same."""

from __future__ import annotations

from typing import Any

import pytest

from spark.errors import GraphRestoreError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, GraphCheckpoint, InMemoryCheckpointBackend
from tests.support.running import every_step, history


class Branch(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"from": context.node, "of": context.inputs["of"]}


class Begin(Node):
    async def process(self) -> Any:
        return {"of": "begin"}


class Gather(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return [one["from"] for one in context.inputs]


def wired(*names: str) -> Node:
    start = Begin()
    start >> [Branch(name=name) for name in names] >> Gather()
    return start


def as_lists(frontier: dict[str, Any]) -> dict[str, Any]:
    """A frontier as older releases wrote it."""
    places = {id: place for place, id in enumerate(frontier["contents"])}
    tokens = []
    for id, token in frontier["tokens"].items():
        order = [token["generation"], token["path"][-1]] if "path" in token else None
        old = {name: value for name, value in token.items() if name not in ("generation", "path")}
        tokens.append(
            {"id": int(id), "joined": False, **old, "content": places[old["content"]]}
            | ({"order": order} if order else {})
        )
    return {**frontier, "tokens": tokens, "contents": [*frontier["contents"].values()]}


@pytest.fixture
async def old() -> GraphCheckpoint:
    """Made after one of three branches has arrived at the join."""
    graph = Graph(wired("a", "b", "c"), id="g", checkpoint_config=every_step(InMemoryCheckpointBackend()))
    await graph.run()
    checkpoint = (await history(graph))[1]
    assert checkpoint.frontier is not None
    checkpoint.frontier = as_lists(checkpoint.frontier)
    return checkpoint


async def test_a_stored_one_is_resumed(old: GraphCheckpoint) -> None:
    backend = InMemoryCheckpointBackend()
    await old.save(backend)
    graph = Graph(wired("a", "b", "c"), id="g", checkpoint_config=every_step(backend))
    message = await graph.run(resume=True)

    assert message.content == ["a", "b", "c"]
    newer = (await history(graph))[1].frontier
    assert newer is not None
    assert type(newer["tokens"]) is dict


async def test_one_is_restored(old: GraphCheckpoint) -> None:
    graph = Graph.from_checkpoint(old, start=wired("a", "b", "c"), checkpoint_config=CheckpointConfig())

    assert (await graph.run()).content == ["a", "b", "c"]


async def test_its_nodes_may_be_renamed(old: GraphCheckpoint) -> None:
    graph = Graph.from_checkpoint(
        old, start=wired("a", "second", "c"), checkpoint_config=CheckpointConfig(), rename={"b": "second"}
    )

    assert (await graph.run()).content == ["a", "second", "c"]


async def test_it_names_the_node_that_is_missing(old: GraphCheckpoint) -> None:
    with pytest.raises(GraphRestoreError, match="still has to run node 'c'"):
        Graph.from_checkpoint(old, start=wired("a", "b"))


async def test_a_checkpoint_of_it_made_by_hand_has_its_work(old: GraphCheckpoint) -> None:
    graph = Graph.from_checkpoint(old, start=wired("a", "b", "c"), checkpoint_config=CheckpointConfig())
    frontier = graph.create_checkpoint().frontier

    assert frontier is not None
    assert [token["node"] for token in frontier["tokens"].values()] == ["b", "c", "Gather"]


@pytest.mark.parametrize(
    ("place", "name", "wrong", "what"),
    [
        (0, "id", {}, "a token's id is of type dict"),
        (0, "id", 0, "a token's id is 0"),
        (0, "id", 4, "two tokens have the same id"),
        (0, "id", 99, "a token has the id '99', and next_token is 6"),
        (0, "content", -1, "content of token 3 is -1"),
        (0, "content", 10**400, "content of token 3 is a number with many digits"),
        (0, "lineage", "x", "lineage of token 3 is 'x'"),
        (0, "order", [1], "order of token 3 is of type list"),
        (0, "order", [1, "x"], "path of token 3 is of type list"),
    ],
)
async def test_a_damaged_one_is_refused(old: GraphCheckpoint, place: int, name: str, wrong: Any, what: str) -> None:
    assert old.frontier is not None
    old.frontier["tokens"][place][name] = wrong

    with pytest.raises(GraphRestoreError, match=f"has an invalid frontier: {what}"):
        Graph.from_checkpoint(old, start=wired("a", "b", "c"))
