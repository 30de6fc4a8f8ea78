"""What users write: nodes of every kind, and the arrows between them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from spark.errors import ConditionError, GraphDefinitionError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext, node
from tests.support.running import Does


async def goes(output: Any, condition: Any = None, **equals: Any) -> bool:
    """Whether an edge with this condition fires for this output."""
    start = Does(lambda context: output, name="start")
    start.on(condition, **equals) >> Does(lambda context: "reached", name="target")
    return (await Graph(start).run()).node == "target"


class TestProcess:
    async def test_it_may_be_async_or_plain_and_take_the_context_or_nothing(self) -> None:
        class AsyncContext(Node):
            async def process(self, context: NodeContext) -> Any:
                return context.node

        class AsyncNothing(Node):
            async def process(self) -> Any:
                return "AsyncNothing"

        class PlainContext(Node):
            def process(self, context: NodeContext) -> Any:
                return context.node

        class PlainNothing(Node):
            def process(self) -> Any:
                return "PlainNothing"

        for kind in (AsyncContext, AsyncNothing, PlainContext, PlainNothing):
            assert (await Graph(kind()).run()).content == kind.__name__

    async def test_a_plain_process_may_return_something_to_await(self) -> None:
        async def later() -> str:
            return "later"

        assert (await Graph(node(lambda: later())).run()).content == "later"

    async def test_a_subclass_need_not_call_the_constructor_of_node(self) -> None:
        class Own(Node):
            def __init__(self, value: int) -> None:
                self.value = value

            async def process(self) -> Any:
                return self.value

        assert (await Graph(Own(5)).run()).content == 5

    async def test_functions_become_nodes(self) -> None:
        @node
        async def first(context: NodeContext) -> Any:
            """What it does."""
            return context.inputs

        @node(name="renamed")
        def second() -> Any:
            return "second"

        first >> second
        graph = Graph(first)

        assert list(graph.nodes) == ["first", "renamed"]
        assert first.__doc__ == "What it does."
        assert (await graph.run()).content == "second"

    async def test_a_partial_function_becomes_a_node(self) -> None:
        def work(value: int, context: NodeContext) -> Any:
            return value

        assert (await Graph(node(functools.partial(work, 5))).run()).content == 5

    async def test_the_context_tells_where_it_is(self) -> None:
        seen: dict[str, Any] = {}

        @node
        def looks(context: NodeContext) -> None:
            seen.update(node=context.node, graph=context.graph_id, iteration=context.iteration, inputs=context.inputs)

        Does(lambda context: {"x": 1}, name="start") >> looks
        start = Does(lambda context: {"x": 1}, name="start")
        start >> looks
        await Graph(start, id="g").run()

        assert seen == {"node": "looks", "graph": "g", "iteration": 1, "inputs": {"x": 1}}

    @pytest.mark.parametrize(
        ("given", "passed_on"),
        [({"a": 1}, {"a": 1, "success": True}), (None, {"success": True}), (5, {"content": 5, "success": True})],
    )
    async def test_an_exit_passes_its_input_on_and_adds_success(self, given: Any, passed_on: Any) -> None:
        start = Does(lambda context: given, name="start")
        start >> ExitNode()

        assert (await Graph(start).run()).content == passed_on


class TestKeys:
    def test_a_key_is_the_name_or_else_the_class_name_numbered(self) -> None:
        start = JoinNode()
        start >> [JoinNode(), JoinNode(name="mine"), JoinNode()]

        assert list(Graph(start).nodes) == ["JoinNode", "JoinNode#2", "mine", "JoinNode#3"]

    def test_a_name_that_looks_like_a_class_does_not_collide(self) -> None:
        start = JoinNode()
        start >> JoinNode(name="JoinNode") >> JoinNode(name="JoinNode#2")

        assert list(Graph(start).nodes) == ["JoinNode#3", "JoinNode", "JoinNode#2"]

    def test_keys_follow_the_order_of_declaration_not_the_priority(self) -> None:
        start = JoinNode(name="start")
        start >> JoinNode()
        urgent = JoinNode()
        start.on(priority=9) >> urgent

        assert Graph(start).nodes["JoinNode#2"] is urgent


class TestWiring:
    def test_a_chain_a_fan_out_and_a_fan_in(self) -> None:
        a, b, c, d = (JoinNode(name=name) for name in "abcd")
        a >> [b, c] >> d

        assert [(edge.source.name, edge.target.name) for one in (a, b, c, d) for edge in one.edges] == [
            ("a", "b"),
            ("a", "c"),
            ("b", "d"),
            ("c", "d"),
        ]

    def test_a_list_may_begin_a_chain_and_a_condition_lead_to_a_list(self) -> None:
        a, b, c, d = (JoinNode(name=name) for name in "abcd")
        [a, b] >> c
        c.on(x=1) >> [a, d] >> b

        assert [edge.target.name for edge in c.edges] == ["a", "d"]
        assert [edge.target.name for edge in a.edges] == ["c", "b"]

    async def test_an_edge_added_after_the_graph_was_built_counts_once_it_is_built_anew(self) -> None:
        start = Does(lambda context: {}, name="start")
        graph = Graph(start)
        start >> Does(lambda context: "late", name="late")

        assert (await graph.run()).content == {}
        graph.start = graph.start
        assert (await graph.run()).content == "late"

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (ExitNode, r"a >> …: <class '.*ExitNode'> is not a node\. This is the class; add \(\) to make a node"),
            ([], "a >> …: the list of nodes is empty"),
            (None, "None is not a node"),
            ([JoinNode(), "b"], "'b' is not a node"),
        ],
    )
    def test_only_nodes_are_targets(self, target: Any, message: str) -> None:
        with pytest.raises(GraphDefinitionError, match=message):
            JoinNode(name="a") >> target


class TestConditions:
    async def test_keys_are_compared_for_equality_and_all_must_hold(self) -> None:
        assert await goes({"a": 1, "b": "x"}, a=1, b="x")
        assert not await goes({"a": 1, "b": "y"}, a=1, b="x")

    @pytest.mark.parametrize("output", [{}, None, 5, "text", [1]])
    async def test_a_missing_key_equals_nothing_but_none(self, output: Any) -> None:
        assert await goes(output, done=None)
        assert not await goes(output, done=False)
        assert not await goes(output, done=0)

    async def test_a_callable_is_given_the_content(self) -> None:
        assert await goes({"n": 5}, lambda content: content["n"] > 4)
        assert not await goes({"n": 4}, lambda content: content["n"] > 4)

    async def test_a_condition_that_raises_fails_the_run_with_the_edge_named(self) -> None:
        def is_big(content: Any) -> bool:
            return bool(content["missing"] > 1)

        with pytest.raises(
            ConditionError, match=r"edge 'start' -> 'target' on is_big raised KeyError.*\{'n': 1\}"
        ) as caught:
            await goes({"n": 1}, is_big)

        assert isinstance(caught.value.__cause__, KeyError)

    async def test_an_answer_that_is_neither_true_nor_false_fails_the_run_with_the_edge_named(self) -> None:
        """As the comparison of arrays does."""
        with pytest.raises(ConditionError, match=r"edge 'start' -> 'target'.* raised ValueError"):
            await goes({"n": Undecided()}, lambda content: content["n"])

    async def test_a_comparison_that_raises_fails_the_run_with_the_edge_named(self) -> None:
        with pytest.raises(ConditionError, match=r"edge 'start' -> 'target' on n=1 raised ValueError"):
            await goes({"n": Undecided()}, n=1)

    async def test_an_async_condition_fails_the_run_with_the_edge_named(self) -> None:
        async def later(content: Any) -> bool:
            return True

        with pytest.raises(ConditionError, match="edge 'start' -> 'target' on later is async"):
            await goes({}, later)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"condition": True}, r"start\.on\(True\): a condition is a function.*node\.on\(done=True\)"),
            ({"condition": bool, "done": True}, "give either a condition or keys to compare, not both"),
            ({"priority": 1.5}, r"on\(priority=1\.5\): a priority is a whole number"),
            ({"priority": True}, "a priority is a whole number"),
        ],
    )
    def test_a_condition_is_checked_where_it_is_written(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(GraphDefinitionError, match=message):
            JoinNode(name="start").on(**arguments)


class Undecided:
    """Compares as an array does: to something that has no truth."""

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth of an array is ambiguous")


def test_a_function_is_made_a_node_with_the_same_arguments_in_either_form() -> None:
    def work() -> None: ...

    policies: dict[str, Any] = {"name": "w", "retry": None, "timeout": 5, "idle_timeout": 6}

    called, decorated = node(work, **policies), node(**policies)(work)

    for each in (called, decorated):
        assert (each.name, each.retry, each.timeout, each.idle_timeout) == ("w", None, 5, 6)
