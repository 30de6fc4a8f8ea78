"""What is drawn of a graph, and of what checkpoints record of one."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree

from spark.graphs import ExitNode, Graph, JoinNode, Node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark_drawing import Shape, ShapeEdge, ShapeNode


class Work(Node):
    async def process(self, context: Any) -> dict[str, Any]:
        return {"items": [1], "kind": "many", "score": 5}


class Meet(JoinNode):
    """A join by its base alone."""


def is_good(content: dict[str, Any]) -> bool:
    return bool(content["score"] > 3)


def graph_of_everything() -> Graph:
    work, item, meet = Work(name="work"), Work(name="item"), Meet(name="meet")
    work.on(kind="many").each("items") >> item >> meet
    work.on(is_good) >> meet
    work.on_error(OSError) >> ExitNode(name="gave up")
    work.on(kind=None, score=0) >> work
    return Graph(work, id="everything", checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()))


NODES = {
    ShapeNode("work", is_start=True),
    ShapeNode("item", is_map=True),
    ShapeNode("meet", is_end=True, is_join=True),
    ShapeNode("gave up", is_end=True),
}
EDGES = {
    ShapeEdge("work", "item", "kind='many', each items", is_map=True),
    ShapeEdge("item", "meet"),
    ShapeEdge("work", "meet", "is_good"),
    ShapeEdge("work", "gave up", "on OSError", is_error=True),
    ShapeEdge("work", "work", "kind=None, score=0"),
}


def test_a_graph_has_a_shape() -> None:
    shape = Shape.of_graph(graph_of_everything())

    assert set(shape.nodes) == NODES
    assert set(shape.edges) == EDGES


def test_a_stored_checkpoint_has_the_same_shape() -> None:
    async def stored() -> Shape:
        graph = graph_of_everything()
        backend = graph.checkpoint_backend
        assert backend is not None
        await graph.create_checkpoint("one").save(backend)
        return Shape.of_topology((await CheckpointManager(backend).load_checkpoint("one")).topology)

    assert asyncio.run(stored()) == Shape.of_graph(graph_of_everything())


def test_edges_that_came_after_the_graph_was_built_are_not_drawn() -> None:
    graph = graph_of_everything()
    graph.nodes["item"] >> Work(name="late")

    assert set(Shape.of_graph(graph).nodes) == NODES


def test_labels_are_worded_as_in_mermaid() -> None:
    graph = graph_of_everything()

    mermaid = graph.mermaid()

    for edge in Shape.of_graph(graph).edges:
        assert edge.label in mermaid


def test_a_notebook_draws_a_shape_and_a_program_prints_it() -> None:
    shape = Shape.of_graph(graph_of_everything())

    assert shape._repr_svg_() == shape.svg()
    assert ElementTree.fromstring(shape.svg()).tag == "{http://www.w3.org/2000/svg}svg"
