"""A graph is checked when it is built, and each mistake has its message."""

from __future__ import annotations

from typing import Any

import pytest

from spark.errors import GraphDefinitionError, InvalidIdError
from spark.graphs import Budget, ExitNode, Graph, JoinNode, Node, Task, node
from spark.graphs.checkpoint import AfterNode, CheckpointConfig, CheckpointHandler, EveryIterations, KeepLast
from tests.support.running import Does, countdown
from tests.support.variants import first_of


class Idling(Node):
    async def process(self) -> None: ...


def idle() -> None: ...


def star(nodes: list[Node]) -> Node:
    hub = Does(lambda context: None, name="hub")
    for one in nodes:
        hub >> one
    return hub


class TestNodes:
    @pytest.mark.parametrize(
        ("start", "message"),
        [
            (ExitNode, r"the start is a node\. This is the class; add \(\) to make a node"),
            (None, "the start is a node"),
        ],
    )
    def test_the_start_is_a_node(self, start: Any, message: str) -> None:
        with pytest.raises(GraphDefinitionError, match=message):
            Graph(start)

    def test_two_nodes_with_one_name_are_refused(self) -> None:
        start = ExitNode(name="twice")
        start >> JoinNode(name="twice")

        with pytest.raises(GraphDefinitionError, match="Two nodes are named 'twice': a ExitNode and a JoinNode"):
            Graph(start)

    @pytest.mark.parametrize("name", ["", 5])
    def test_a_name_is_a_string_with_something_in_it(self, name: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="a name is printable text"):
            Graph(ExitNode(name=name))

    def test_a_node_without_process_is_refused(self) -> None:
        class Idle(Node):
            pass

        with pytest.raises(GraphDefinitionError, match=r"Idle has no process\(self, context\)\. Write it"):
            Graph(Idle())

    def test_a_process_that_yields_is_refused(self) -> None:
        @node
        async def yields() -> Any:
            yield 1

        with pytest.raises(GraphDefinitionError, match="The process of node 'yields' is a generator"):
            Graph(yields)

    def test_a_process_with_more_arguments_is_refused(self) -> None:
        @node
        def takes(context: Any, more: Any) -> None: ...

        with pytest.raises(GraphDefinitionError, match=r"'takes' takes \(context, more\)"):
            Graph(takes)

    @pytest.mark.parametrize(("make", "count"), first_of([(lambda: node(idle), 1_000), (Idling, 40_000)]))
    def test_nodes_without_a_name_are_numbered_in_time_that_grows_with_their_number(
        self, make: Any, count: int
    ) -> None:
        """Numbers that are tried one by one would take minutes for so many."""
        nodes = [make() for _ in range(count)]
        nodes[count // 2].name = f"{nodes[0].kind()}#3"
        keys = list(Graph(star(nodes)).nodes)

        assert keys[:4] == ["hub", nodes[0].kind(), f"{nodes[0].kind()}#2", f"{nodes[0].kind()}#4"]
        assert len(set(keys)) == count + 1

    def test_a_node_that_no_edge_leads_to_is_named(self) -> None:
        start, lost = ExitNode(name="start"), ExitNode(name="lost")

        with pytest.raises(GraphDefinitionError, match="No edge leads from the start 'start' to 'lost'"):
            Graph(start, nodes=[start, lost])

    def test_a_mistake_in_a_new_start_leaves_the_graph_as_it_was(self) -> None:
        graph = Graph(ExitNode(name="old"), checkpoint_config=CheckpointConfig(trigger_on_node="old"))
        with pytest.raises(GraphDefinitionError, match="no node 'old'"):
            graph.start = ExitNode(name="new")

        assert graph.start.name == "old"
        assert list(graph.nodes) == ["old"]


class TestIds:
    def test_both_ids_mean_the_same(self) -> None:
        assert Graph(ExitNode(), id="x").graph_id == "x"
        assert Graph(ExitNode(), graph_id="x").id == "x"
        assert Graph(ExitNode(), id="x", graph_id="x").id == "x"

    def test_two_different_ids_are_refused(self) -> None:
        with pytest.raises(GraphDefinitionError, match="both mean the same; give one"):
            Graph(ExitNode(), id="x", graph_id="y")

    def test_without_an_id_each_graph_gets_its_own(self) -> None:
        assert Graph(ExitNode()).id != Graph(ExitNode()).id

    @pytest.mark.parametrize("graph_id", ["", "a\0b", "a\nb", "x" * 5000, "\ud800", 5])
    def test_an_unusable_id_is_refused(self, graph_id: Any) -> None:
        with pytest.raises(InvalidIdError):
            Graph(ExitNode(), id=graph_id)


class TestConfig:
    @pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
    def test_max_concurrency_is_a_whole_number(self, limit: Any) -> None:
        with pytest.raises(GraphDefinitionError, match=r"max_concurrency=.*whole number of at least 1"):
            Graph(ExitNode(), max_concurrency=limit)

    @pytest.mark.parametrize("config", [{"trigger_on_iteration": 1}, CheckpointConfig])
    def test_a_checkpoint_config_is_one(self, config: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="give a CheckpointConfig"):
            Graph(ExitNode(), checkpoint_config=config)

    def test_a_backend_is_one(self) -> None:
        with pytest.raises(GraphDefinitionError, match="give a CheckpointBackend, its URL or name"):
            Graph(ExitNode(), checkpoint_config=CheckpointConfig(backend=5))  # type: ignore[arg-type]

    @pytest.mark.parametrize("handler", [CheckpointHandler, print, [CheckpointHandler(), 5]])
    def test_a_handler_is_one(self, handler: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="an instance of a CheckpointHandler subclass"):
            Graph(ExitNode(), checkpoint_config=CheckpointConfig(handler=handler))

    @pytest.mark.parametrize(
        "arguments",
        [
            {"enabled": 1},
            {"auto_cleanup": None},
            {"trigger_on_failure": "yes"},
            {"trigger_on_iteration": 0},
            {"trigger_on_iteration": 1.5},
            {"trigger_on_iteration": True},
            {"trigger_on_seconds": 0},
            {"trigger_on_seconds": float("nan")},
            {"trigger_on_seconds": "5"},
            {"trigger_on_node": [5]},
            {"trigger_on_node": 5},
            {"trigger_on_node": [""]},
            {"max_checkpoints": 0},
            {"max_checkpoints": 2.5},
            {"handler_errors": "ignore"},
            {"trigger": 5},
            {"trigger": EveryIterations},
            {"retention": AfterNode("x")},
            {"trigger": KeepLast(5)},
        ],
        ids=str,
    )
    def test_a_bad_setting_is_refused_where_it_is_written(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(GraphDefinitionError):
            CheckpointConfig(**arguments)

    @pytest.mark.parametrize(
        "settings", [{"trigger_on_node": ["nope"]}, {"trigger": EveryIterations(2) & AfterNode("nope")}]
    )
    def test_an_unknown_trigger_node_lists_the_known_ones(self, settings: dict[str, Any]) -> None:
        start = ExitNode(name="first")
        start >> JoinNode()

        with pytest.raises(
            GraphDefinitionError, match=r"no node 'nope'.*Its nodes are 'ExitNode', 'JoinNode', 'first'"
        ):
            Graph(start, checkpoint_config=CheckpointConfig(**settings))


class TestTasks:
    @pytest.mark.parametrize("task", [5, "text", [1]])
    async def test_what_is_no_task_is_refused(self, task: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="A run takes a Task, a mapping of inputs, or nothing"):
            await Graph(ExitNode()).run(task)

    @pytest.mark.parametrize("arguments", [{"inputs": 5}, {"inputs": [1]}, {"budget": 5}], ids=str)
    def test_a_task_is_checked_where_it_is_written(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(GraphDefinitionError, match=f"Task\\({next(iter(arguments))}="):
            Task(**arguments)

    @pytest.mark.parametrize(
        "limits",
        [
            {"max_seconds": 0},
            {"max_seconds": -1},
            {"max_seconds": float("nan")},
            {"max_seconds": "5"},
            {"max_iterations": 0},
            {"max_iterations": 1.5},
            {"max_iterations": True},
        ],
        ids=str,
    )
    def test_a_limit_is_a_positive_number(self, limits: dict[str, Any]) -> None:
        with pytest.raises(GraphDefinitionError, match="give a positive number, or None"):
            Budget(**limits)

    async def test_a_mapping_and_a_task_give_the_start_its_inputs(self) -> None:
        graph = Graph(Does(lambda context: context.inputs, name="start"))

        assert (await graph.run({"x": 1})).content == {"x": 1}
        assert (await graph.run(Task(inputs={"x": 2}))).content == {"x": 2}
        assert (await graph.run()).content == {}

    async def test_changing_the_inputs_during_the_run_changes_nothing(self) -> None:
        inputs = {"list": [1]}
        start = Does(lambda context: inputs["list"].append(2) or context.inputs, name="start")

        assert (await Graph(start).run(inputs)).content == {"list": [1]}


class TestMermaid:
    def test_it_draws_nodes_conditions_and_joins(self) -> None:
        start = countdown()
        start.on(lambda content: True) >> JoinNode(name="gather")
        start.on(kind="<x>") >> ExitNode(name='say "bye"')

        assert Graph(start).mermaid() == (
            "flowchart TD\n"
            '    n0["Countdown"]\n'
            '    n1{{"gather"}}\n'
            '    n2(["say &quot;bye&quot;"])\n'
            '    n0 -->|"done=False"| n0\n'
            '    n0 -->|"&lt;lambda&gt;"| n1\n'
            "    n0 -->|\"kind='&lt;x&gt;'\"| n2\n"
        )
