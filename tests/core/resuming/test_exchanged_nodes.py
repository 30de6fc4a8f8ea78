"""Nodes that stand elsewhere than when a checkpoint was made: resume runs the node that was pending, or none."""

from __future__ import annotations

import gc
import itertools
import sys
from types import ModuleType
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, GraphRestoreError
from spark.graphs import ExitNode, Graph, Node, NodeContext, node
from spark.graphs.checkpoint import (
    AfterNode,
    CheckpointConfig,
    EveryIterations,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    Trigger,
)
from tests.support.running import Failure, every_step, frontier_at, history


class Fetch(Node):
    async def process(self, context: NodeContext) -> Any:
        context.state["fetched"] = context.state.get("fetched", 0) + 1
        return {"by": type(self).__name__}


class Download(Node):
    async def process(self, context: NodeContext) -> Any:
        context.state["fetched"] = context.state.get("fetched", 0) + 1
        return {"by": type(self).__name__}


class Fails(Node):
    async def process(self) -> Any:
        raise Failure


class FetchFast(Fetch): ...


def function_of(module: str, *, calls: list[str], name: str = "run") -> Any:
    """A function that another module defines."""

    async def run(context: NodeContext) -> Any:
        calls.append(module)
        if calls == ["download", "upload"]:
            raise Failure
        return {"by": module}

    run.__module__, run.__qualname__ = module, name
    return run


def chain(*nodes: Node) -> Node:
    for one, other in itertools.pairwise(nodes):
        one >> other
    return nodes[0]


def graph_of(start: Node, backend: InMemoryCheckpointBackend, **more: Any) -> Graph:
    return Graph(start, id="exchanged", checkpoint_config=every_step(backend, **more))


async def pending(start: Node, backend: InMemoryCheckpointBackend) -> GraphCheckpoint:
    """What a run left behind that failed."""
    graph = graph_of(start, backend)
    with pytest.raises(Failure):
        await graph.run({"day": "monday"})
    checkpoint = (await history(graph))[-1]
    del graph, start
    gc.collect()
    return checkpoint


class TestTwoFunctionsOfOneName:
    """``[download.run, upload.run]``, put in another order."""

    @pytest.fixture
    def calls(self) -> list[str]:
        return []

    def in_order(self, *modules: str, calls: list[str]) -> Node:
        return chain(*(node(function_of(module, calls=calls)) for module in modules))

    async def test_the_one_that_was_pending_is_not_exchanged_for_the_other(self, calls: list[str]) -> None:
        backend = InMemoryCheckpointBackend()
        checkpoint = await pending(self.in_order("download", "upload", calls=calls), backend)
        assert checkpoint.frontier is not None
        assert [token["node"] for token in checkpoint.frontier["tokens"].values()] == ["run#2"]
        start = self.in_order("upload", "download", calls=calls)
        told = (
            r"node 'run#2' was upload:run when the checkpoint was made, and is download:run in this graph\. "
            r"upload:run is now node 'run': "
            r"pass rename=\{'run': 'run#2', 'run#2': 'run'\}"
        )

        with pytest.raises(GraphRestoreError, match=told):
            await graph_of(start, backend).run(resume=True)
        with pytest.raises(GraphRestoreError, match=told):
            await graph_of(start, backend).load()
        with pytest.raises(GraphRestoreError, match=told):
            await graph_of(start, backend).run(resume=checkpoint)
        with pytest.raises(GraphRestoreError, match=told):
            Graph.from_checkpoint(checkpoint, start=start)
        assert calls == ["download", "upload"]

    async def test_renamed_as_the_message_says_it_runs(self, calls: list[str]) -> None:
        backend = InMemoryCheckpointBackend()
        checkpoint = await pending(self.in_order("download", "upload", calls=calls), backend)
        start = self.in_order("upload", "download", calls=calls)
        rename = {"run": "run#2", "run#2": "run"}
        by_hand = Graph.from_checkpoint(checkpoint, start=start, checkpoint_config=CheckpointConfig(), rename=rename)

        await by_hand.run()
        assert calls == ["download", "upload", "upload", "download"]
        await graph_of(start, backend).run(resume=True, rename=rename)
        assert calls[4:] == ["upload", "download"]

    async def test_the_same_rename_a_second_time_is_refused_where_it_would_exchange_them_back(
        self, calls: list[str]
    ) -> None:
        backend = InMemoryCheckpointBackend()
        await pending(self.in_order("download", "upload", calls=calls), backend)
        start = self.in_order("upload", "download", calls=calls)
        rename = {"run": "run#2", "run#2": "run"}
        await graph_of(start, backend).run(resume=True, rename=rename)

        with pytest.raises(GraphRestoreError, match=r"node 'run' is still upload:run, as when.*Leave 'run' out"):
            await graph_of(start, backend).run(resume=True, rename=rename)

    async def test_a_graph_in_this_process_with_another_order_is_passed_by(self, calls: list[str]) -> None:
        """Without ``start=``, nodes that are what was recorded are made from what is loaded."""
        checkpoint = await pending(self.in_order("download", "upload", calls=calls), InMemoryCheckpointBackend())
        alive = Graph(self.in_order("upload", "download", calls=calls), id="exchanged")

        restored = Graph.from_checkpoint(checkpoint)
        await restored.run()

        assert calls[2:] == ["upload"]
        assert restored.start is not alive.start


class TestOtherClasses:
    @pytest.mark.parametrize("is_pending", [True, False])
    async def test_one_under_the_same_name_is_named_with_the_one_that_was(self, is_pending: bool) -> None:
        """A node that is not pending, but may still be reached, too."""
        backend = InMemoryCheckpointBackend()
        first: Node = ExitNode() if is_pending else Fails()
        await pending(chain(first, Fails(name="x"), Fetch(name="y")), backend)
        start = chain(type(first)(), Download(name="x"), Download(name="y"))

        with pytest.raises(
            GraphRestoreError, match=r"node 'x' was .*:Fails when the checkpoint was made, and is .*:Download in this"
        ):
            await graph_of(start, backend).run(resume=True)

    async def test_rename_says_that_it_takes_the_place(self) -> None:
        backend = InMemoryCheckpointBackend()
        await pending(chain(Fetch(), Fails(name="end")), backend)
        start = chain(Fetch(), ExitNode(name="end"))

        with pytest.raises(GraphRestoreError, match=r"pass rename=\{'end': 'end'\}"):
            await graph_of(start, backend).run(resume=True)
        message = await graph_of(start, backend).run({"day": "monday"}, resume=True, rename={"end": "end"})

        assert message.content == {"by": "Fetch", "success": True}

    async def test_state_and_pending_work_follow_a_new_key(self) -> None:
        backend = InMemoryCheckpointBackend()
        loop = Fetch()
        chain(loop, Fails(), loop)
        await pending(loop, backend)
        new_loop = Download()
        new_loop.on(never=True) >> new_loop
        end = ExitNode()
        chain(new_loop, end)
        end.on(never=True) >> new_loop
        rename = {"Fetch": "Download", f"{Fails.__module__}:Fails": "ExitNode"}
        graph = graph_of(new_loop, backend)

        message = await graph.run(resume=True, rename=rename)

        assert (message.node, message.content) == ("ExitNode", {"by": "Fetch", "success": True})
        last = (await history(graph))[-1]
        assert last.node_states == {"Download": {"fetched": 1}}
        assert last.execution_metadata["last_node"] == "ExitNode"

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"trigger_on_node": ["Fetch"]}, AfterNode("Download")),
            ({"trigger": AfterNode("Fetch")}, AfterNode("Download")),
            (
                {"trigger": AfterNode("Fetch", "Fails") & EveryIterations(2) | AfterNode("Fetch")},
                AfterNode("Download", "Fails") & EveryIterations(2) | AfterNode("Download"),
            ),
        ],
    )
    async def test_a_trigger_that_is_recorded_follows_too(self, given: dict[str, Any], expected: Trigger) -> None:
        backend = InMemoryCheckpointBackend()
        start = chain(Fetch(), Fails())
        graph = Graph(start, id="with a trigger", checkpoint_config=CheckpointConfig(backend=backend, **given))
        with pytest.raises(Failure):
            await graph.run()
        checkpoint = (await history(graph))[-1]
        del start, graph
        gc.collect()

        graph = Graph.from_checkpoint(checkpoint, start=chain(Download(), Fails()), rename={"Fetch": "Download"})

        assert graph.checkpoint_config is not None
        assert repr(graph.checkpoint_config.combined_trigger()) == repr(expected)

    async def test_a_recorded_trigger_whose_node_is_gone_says_what_to_pass(self) -> None:
        backend = InMemoryCheckpointBackend()
        config = CheckpointConfig(backend=backend, trigger_on_node="Fetch")
        graph = Graph(chain(Fetch(), Fails()), id="trigger is gone", checkpoint_config=config)
        with pytest.raises(Failure):
            await graph.run()
        checkpoint = (await history(graph))[-1]
        del graph
        gc.collect()

        with pytest.raises(GraphDefinitionError, match=r"pass checkpoint_config= to Graph\.from_checkpoint"):
            Graph.from_checkpoint(checkpoint, start=Fails())

    async def test_why_the_run_failed_is_told_of_the_node_under_its_new_key(self) -> None:
        backend = InMemoryCheckpointBackend()
        with pytest.raises(Failure):
            await graph_of(Fails(name="old"), backend).run()
        graph = graph_of(Fails(name="new"), backend)

        await graph.load(rename={"old": "new"})
        snapshot = graph.create_checkpoint()

        assert snapshot.execution_metadata["error"]["node"] == "new"

    async def test_a_subclass_may_stand_in_for_its_base(self) -> None:
        backend = InMemoryCheckpointBackend()
        await pending(chain(Fetch(name="x"), Fails()), backend)
        checkpoint = (await history(graph_of(Fetch(name="x"), backend)))[0]
        checkpoint.frontier = frontier_at("x")

        graph = Graph.from_checkpoint(checkpoint, start=FetchFast(name="x"))

        assert (await graph.run()).content == {"by": "FetchFast"}

    async def test_a_moved_class_is_the_same_where_an_alias_was_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        checkpoint = Graph(Fetch(), id="exchanged").create_checkpoint()
        assert checkpoint.topology is not None
        checkpoint.topology["nodes"][0]["class"] = "old_home:Fetch"
        with pytest.raises(GraphRestoreError, match=r"was old_home:Fetch when"):
            Graph.from_checkpoint(checkpoint, start=Fetch())
        old_home = ModuleType("old_home")
        old_home.Fetch = Fetch  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "old_home", old_home)

        assert (await Graph.from_checkpoint(checkpoint, start=Fetch()).run()).content == {"by": "Fetch"}

    @pytest.mark.parametrize("kind", ["class", "function"])
    async def test_a_script_and_its_import_are_the_same(self, kind: str) -> None:
        start: Node = Fetch() if kind == "class" else node(function_of(__name__, calls=[]))
        checkpoint = Graph(start, id="exchanged").create_checkpoint()
        assert checkpoint.topology is not None
        recorded = checkpoint.topology["nodes"][0]
        recorded[kind] = recorded[kind].replace(__name__, "__main__")

        assert (await Graph.from_checkpoint(checkpoint, start=start).run()).content["by"]

    async def test_the_state_of_a_node_is_not_handed_to_another(self) -> None:
        """The next turn: nothing is pending, but each node keeps what it knew."""
        backend = InMemoryCheckpointBackend()
        await graph_of(Fetch(name="x"), backend).run()

        with pytest.raises(GraphRestoreError, match="node 'x' was"):
            await graph_of(Download(name="x"), backend).run(resume="state")

    async def test_a_complete_run_gives_its_result_whatever_the_nodes_are_now(self) -> None:
        backend = InMemoryCheckpointBackend()
        await graph_of(Fetch(name="x"), backend).run()

        assert (await graph_of(Download(name="x"), backend).run(resume=True)).content == {"by": "Fetch"}


class TestRename:
    @pytest.mark.parametrize(
        ("rename", "message"),
        [
            ({"Gone": "Download"}, r"'Gone' is not one of its nodes, which are 'Fetch', 'Fails'"),
            ({"Fetch": "Gone"}, r"this graph has no node 'Gone'; its nodes are 'Download', 'Fails'"),
            ({"Fetch": "Fails"}, r"'Fetch' and 'Fails' would both be 'Fails'"),
        ],
        ids=str,
    )
    async def test_a_name_that_is_unknown_or_taken_is_refused(self, rename: dict[str, str], message: str) -> None:
        backend = InMemoryCheckpointBackend()
        await pending(chain(Fetch(), Fails()), backend)

        with pytest.raises(GraphRestoreError, match=message):
            await graph_of(chain(Download(), Fails()), backend).run(resume=True, rename=rename)

    @pytest.mark.parametrize(
        "rename", ["Fetch", ["Fetch"], {"Fetch": 5}, {"Fetch": ["Download"]}, {5: "Download"}], ids=str
    )
    async def test_what_names_no_nodes_is_refused(self, rename: Any) -> None:
        graph = graph_of(Fetch(), InMemoryCheckpointBackend())
        await graph.run()
        (checkpoint,) = await history(graph)

        with pytest.raises(GraphDefinitionError, match="give a mapping of recorded node keys to present ones"):
            await graph.run(resume=True, rename=rename)
        with pytest.raises(GraphDefinitionError, match="give a mapping"):
            await graph.load(rename=rename)
        with pytest.raises(GraphDefinitionError, match="give a mapping"):
            Graph.from_checkpoint(checkpoint, rename=rename)

    async def test_it_goes_with_what_is_resumed(self) -> None:
        with pytest.raises(GraphDefinitionError, match="give resume= as well"):
            await Graph(Fetch()).run(rename={"a": "b"})

    async def test_it_is_not_dropped_where_the_checkpoint_is_there_already(self) -> None:
        checkpoint = await pending(chain(Fetch(), Fails()), InMemoryCheckpointBackend())
        restored = Graph.from_checkpoint(checkpoint, start=chain(Fetch(), Fails()))

        with pytest.raises(GraphDefinitionError, match="has its checkpoint already"):
            await restored.run(resume=True, rename={"Fetch": "Fetch"})

    async def test_alone_it_can_not_say_which_nodes_are_meant(self) -> None:
        checkpoint = await pending(chain(Fetch(), Fails()), InMemoryCheckpointBackend())

        with pytest.raises(GraphRestoreError, match="pass start="):
            Graph.from_checkpoint(checkpoint, rename={"Fetch": "Download"})
