"""A graph's nodes and edges are those that were there when it was built; what counts is which node, not what it equals."""

from __future__ import annotations

import copy
import gc
import time
from dataclasses import dataclass
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.definition.edges import Edge
from tests.support.running import Does, every_step, history


def counting(name: str) -> Node:
    async def count(context: NodeContext) -> Any:
        await context.graph_state.update(name, lambda n: n + 1, 0)
        return {"by": name}

    return Does(count, name=name)


class TestASharedNode:
    async def test_wiring_it_for_a_second_graph_does_not_change_the_first(self) -> None:
        shared, one, two = counting("shared"), counting("one"), counting("two")
        shared >> one
        config = CheckpointConfig(trigger_on_node="one")
        first = Graph(shared, id="first", checkpoint_config=config)
        drawn = first.mermaid()
        shared >> two
        second = Graph(shared, id="second")
        shared >> Does(lambda context: {}, name="one")  # of the same name: no graph could be built of this

        await first.run()
        again = first.with_checkpoints(every_step(InMemoryCheckpointBackend()))
        await again.run()
        checkpoint = (await history(again))[0]
        restored = Graph.from_checkpoint(checkpoint)
        await restored.run()

        for graph in (first, again, restored):
            assert list(graph.nodes) == ["shared", "one"]
            assert graph.mermaid() == drawn
        assert first.get_state_snapshot() == {"shared": 1, "one": 1}
        assert restored.get_state_snapshot() == {"shared": 2, "one": 2}
        assert checkpoint.topology is not None
        assert len(checkpoint.topology["edges"]) == 1
        assert list(second.nodes) == ["shared", "one", "two"]

    def test_setting_the_start_builds_the_graph_anew(self) -> None:
        start = JoinNode(name="start")
        graph = Graph(start)
        start >> ExitNode()

        assert list(graph.nodes) == ["start"]
        graph.start = graph.start
        assert list(graph.nodes) == ["start", "ExitNode"]

    def test_a_start_that_can_not_be_set_leaves_the_graph_as_it_was(self) -> None:
        start = JoinNode(name="start")
        graph = Graph(start, checkpoint_config=CheckpointConfig(trigger_on_node="start"))

        with pytest.raises(GraphDefinitionError, match="no node 'start' to make a checkpoint after"):
            graph.start = ExitNode()
        assert graph.start is start


class TestTheSameEdgeAgain:
    async def test_a_cell_of_a_notebook_that_is_run_twice_wires_once(self) -> None:
        start, plain, keyed, asked = (counting(name) for name in ("start", "plain", "keyed", "asked"))
        limit = 1
        cell = (
            "start >> plain\n"
            "start.on(by='start') >> keyed\n"
            "start.on(lambda content: len(content) == limit, priority=2) >> asked\n"
        )
        names = {"start": start, "plain": plain, "keyed": keyed, "asked": asked, "limit": limit, "__name__": "__main__"}
        for _ in range(2):
            exec(compile(cell, "<cell>", "exec"), names)
        graph = Graph(start)

        await graph.run()

        assert graph.get_state_snapshot() == {"start": 1, "plain": 1, "keyed": 1, "asked": 1}
        assert len(start.edges) == 3

    async def test_edges_that_differ_in_anything_are_two(self) -> None:
        start, end = counting("start"), counting("end")

        def at_least(length: int) -> Any:
            return lambda content: len(content) >= length

        start >> end
        start.on(priority=1) >> end
        start.on(by="start") >> end
        for length in (0, 1):
            start.on(at_least(length)) >> end
            start.on(lambda content, length=length: len(content) >= length) >> end
        graph = Graph(start)

        await graph.run()

        assert await graph.get_state("end") == 7

    def test_what_can_not_be_compared_is_no_obstacle(self) -> None:
        class Array:
            def __eq__(self, other: object) -> Any:
                return self

            def __bool__(self) -> bool:
                raise ValueError("the truth of an array is ambiguous")

        start, end = JoinNode(name="start"), JoinNode(name="end")
        for _ in range(2):
            start.on(value=Array()) >> end

        assert len(start.edges) == 2

    def test_wiring_shared_nodes_for_each_of_many_graphs_leaves_no_more_than_once(self) -> None:
        first, last = counting("first"), counting("last")
        ways = [{"more": True}, {"more": [1]}, {}]

        def size() -> int:
            gc.collect()
            return sum(isinstance(each, Edge) for each in gc.get_objects())

        sizes = []
        for _ in range(3):
            for way in ways:
                first.on(**way) >> last
            Graph(first)
            sizes.append(size())

        assert sizes[0] == sizes[1] == sizes[2]
        assert [edge.equals for edge in first.edges] == ways

    def test_an_edge_of_a_copied_node_is_still_the_same_when_declared_again(self) -> None:
        loop, end = counting("loop"), counting("end")
        loop.on(more=True) >> loop
        loop >> end
        copied, copied_end = copy.deepcopy((loop, end))

        copied.on(more=True) >> copied
        copied >> copied_end

        assert [edge.target for edge in copied.edges] == [copied, copied_end]

    def test_many_ways_to_one_node_are_wired_at_once(self) -> None:
        router, end = counting("router"), counting("end")
        began = time.process_time()
        for code in range(10_000):
            router.on(code=code) >> end
        Graph(router)

        assert time.process_time() - began < 2
        assert len(router.edges) == 10_000

    def test_a_fan_out_to_many_nodes_is_built_at_once(self) -> None:
        start = JoinNode(name="start")
        for number in range(5000):
            start >> JoinNode(name=f"n{number}")

        assert len(Graph(start).nodes) == 5001


@dataclass
class Compared(Node):
    """Two of these are equal, and have no hash."""

    path: str = "same"

    async def process(self, context: NodeContext) -> Any:
        return {"nodes": [*context.inputs.get("nodes", []), context.node]}


@dataclass(frozen=True)
class Frozen(Node):
    """Two of these are equal, have one hash, and can't be assigned to."""

    path: str = "same"
    name: str | None = None

    async def process(self, context: NodeContext) -> Any:
        return {"nodes": [*context.inputs.get("nodes", []), context.node]}


class TestNodesComparedByValue:
    @pytest.mark.parametrize("kind", [Compared, Frozen])
    async def test_equal_nodes_are_still_two(self, kind: Any) -> None:
        first, second, third = kind(), kind(), kind()
        first >> second >> third
        graph = Graph(first, id="g", nodes=[first, second, third], checkpoint_config=CheckpointConfig())

        message = await graph.run()

        name = kind.__name__
        assert message.content == {"nodes": [name, f"{name}#2", f"{name}#3"]}
        assert graph.nodes[f"{name}#2"] is second

    @pytest.mark.parametrize("kind", [Compared, Frozen])
    async def test_one_that_is_not_in_the_graph_is_missed_though_an_equal_one_is(self, kind: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="No edge leads from the start"):
            Graph(kind(), nodes=[kind()])

    async def test_a_frozen_one_is_made_anew_from_a_checkpoint_under_its_name(self) -> None:
        start = Frozen()
        object.__setattr__(start, "name", "named")
        checkpoint = Graph(start, id="frozen").create_checkpoint()
        del start

        assert (await Graph.from_checkpoint(checkpoint).run()).node == "named"

    async def test_a_condition_made_by_a_class_that_compares_by_value_is_the_same_edge(self) -> None:
        @dataclass(frozen=True)
        class Longer:
            than: int

            def __call__(self, content: Any) -> bool:
                return len(content) > self.than

        start, end = counting("start"), counting("end")
        for than in (0, 0, -1):
            start.on(Longer(than)) >> end
        graph = Graph(start)
        await graph.run()

        assert await graph.get_state("end") == 2


async def test_a_function_that_is_one_node_at_the_top_of_a_module_gathers_edges() -> None:
    """Each build() that wires it adds to it; what was built before stays as it was."""

    @node
    async def shared(context: NodeContext) -> Any:
        return {}

    def build() -> Graph:
        shared >> ExitNode()
        return Graph(shared)

    first, second = build(), build()

    assert (len(first.nodes), len(second.nodes)) == (2, 3)
