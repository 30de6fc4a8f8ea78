"""Checkpoint → graph: where the nodes come from, and what the next run does."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointVersionError, GraphDefinitionError, GraphRestoreError, SparkWarning
from spark.graphs import ExitNode, Graph, Node, NodeContext, node
from spark.graphs.checkpoint import (
    CURRENT_VERSION,
    CheckpointConfig,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    migrations,
    register_migration,
)
from spark.graphs.checkpoint.links import links_of
from tests.support.restorable import Branch, Made, wired
from tests.support.running import Does, FailsOnce, Failure, countdown, every_step, frontier_at, history

UNRECORDED = CheckpointConfig(enabled=False)


def by_hand(**more: Any) -> GraphCheckpoint:
    """The checkpoint of the page's tests: state, but neither nodes nor pending work."""
    values = {"graph_state": {"counter": 42}, "execution_metadata": {"iteration": 10}, "config": {"enable_state": True}}
    return GraphCheckpoint(
        **{"checkpoint_id": "test_ckpt", "graph_id": "test", "timestamp": datetime.now(), **values, **more}
    )


async def recorded(start: Node, **inputs: Any) -> list[GraphCheckpoint]:
    """A checkpoint of each boundary of a run, whose graph is gone afterwards."""
    graph = Graph(start, id="recorded", checkpoint_config=every_step(InMemoryCheckpointBackend()))
    await graph.run(inputs)
    found = await history(graph)
    del graph
    gc.collect()
    return found


class TestWhereNodesComeFrom:
    async def test_from_the_start_that_is_passed(self) -> None:
        (first, *_) = await recorded(countdown(), limit=3)
        graph = Graph.from_checkpoint(first, start=countdown(), checkpoint_config=UNRECORDED)

        assert (await graph.run()).content["count"] == 3

    async def test_from_a_graph_with_the_same_id_in_this_process(self) -> None:
        """It may have nodes that no other process could make, for instance with arguments."""
        start = Made(5)
        start >> FailsOnce(name="fails")
        graph = Graph(start, id="alive", checkpoint_config=CheckpointConfig())
        with pytest.raises(Failure):
            await graph.run()
        (checkpoint,) = await history(graph)
        restored = Graph.from_checkpoint(checkpoint)

        assert restored.start is start
        assert (await restored.run()).content == {"value": 5}

    async def test_it_goes_on_in_the_store_of_that_graph_even_when_that_is_its_own_in_memory(self) -> None:
        graph = Graph(FailsOnce(name="fails"), id="own store", checkpoint_config=CheckpointConfig())
        with pytest.raises(Failure):
            await graph.run()
        restored = Graph.from_checkpoint((await history(graph))[0])
        await restored.run()

        assert [(one.sequence, one.parent) for one in await history(graph)] == [(1, None), (2, 1)]

    async def test_it_goes_on_in_the_store_that_it_was_loaded_from_beside_a_graph_of_that_id_in_another_store(
        self,
    ) -> None:
        (first, *_) = await recorded(countdown(), limit=3)
        elsewhere = Graph(countdown(), id=first.graph_id, checkpoint_config=CheckpointConfig(trigger_on_iteration=2))

        graph = Graph.from_checkpoint(first)
        await graph.run()

        assert graph.checkpoint_backend is links_of(first).store
        assert graph.checkpoint_config is not None
        assert graph.checkpoint_config.trigger_on_iteration == 2
        assert await history(elsewhere) == []

    async def test_made_anew_from_classes_and_functions_that_are_imported(self) -> None:
        final, *_ = reversed(checkpoints := await recorded(wired()))
        for checkpoint in checkpoints:
            graph = Graph.from_checkpoint(checkpoint, checkpoint_config=UNRECORDED)
            assert list(graph.nodes) == ["Begin", "Branch", "named", "note", "meet", "ExitNode"]
            message = await graph.run()
            assert message.content == {"round": 3, "again": False, "success": True}
            assert sorted(await graph.get_state("log")) == sorted(final.graph_state["log"])
            assert graph.create_checkpoint().node_states == final.node_states

    async def test_in_a_new_process(self, tmp_path: Path) -> None:
        backend = FileCheckpointBackend(directory=str(tmp_path))
        await Graph(
            wired(), id="moved", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=6)
        ).run()
        script = (
            "import asyncio, tests.support.restorable\n"
            "from spark.graphs import Graph\n"
            "from spark.graphs.checkpoint import CheckpointManager, FileCheckpointBackend\n"
            "async def main():\n"
            f"    manager = CheckpointManager(FileCheckpointBackend(directory={str(tmp_path)!r}))\n"
            "    graph = Graph.from_checkpoint(await manager.load_checkpoint('ckpt_moved_000001'))\n"
            "    print(len(await graph.get_state('log')), (await graph.run()).content, len(await graph.get_state('log')))\n"
            "asyncio.run(main())\n"
        )
        root = Path(__file__).parents[3]
        child = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
        )

        await backend.close()
        assert child.stdout == "5 {'round': 3, 'again': False, 'success': True} 12\n", child.stderr

    async def test_nothing_is_imported_for_a_name_in_a_checkpoint(self) -> None:
        (first, *_) = await recorded(wired())
        assert first.topology is not None
        first.topology["nodes"][1]["class"] = "antigravity:Branch"

        with pytest.raises(GraphRestoreError, match="antigravity"):
            Graph.from_checkpoint(first)
        assert "antigravity" not in sys.modules


class TestWhatCanNotBeHad:
    async def test_a_node_made_with_arguments_is_named(self) -> None:
        start = Branch(name="start")
        start >> Made(5)
        (first, *_) = await recorded(start, round=1)

        with pytest.raises(
            GraphRestoreError,
            match=r"'ckpt_recorded_000001' of graph 'recorded'.*node 'Made', a Made that was made with arguments.*pass start=",
        ):
            Graph.from_checkpoint(first)

    async def test_a_class_that_is_not_loaded_is_named(self) -> None:
        (first, *_) = await recorded(wired())
        assert first.topology is not None
        first.topology["nodes"][2]["class"] = "tests.support.restorable:Gone"

        with pytest.raises(
            GraphRestoreError,
            match=r"'named', whose class tests\.support\.restorable:Gone is not loaded.*Import the module",
        ):
            Graph.from_checkpoint(first)

    async def test_a_condition_that_is_a_function_is_named(self) -> None:
        begin = Branch(name="begin")
        begin.on(lambda content: True) >> ExitNode()
        checkpoint = Graph(begin, id="conditional").create_checkpoint()
        checkpoint.frontier = frontier_at("begin")
        gc.collect()

        with pytest.raises(
            GraphRestoreError, match=r"'begin' leads to 'ExitNode' depends on the condition <lambda>.*Pass start="
        ):
            Graph.from_checkpoint(checkpoint)

    async def test_what_lies_behind_the_pending_work_is_not_missed(self) -> None:
        """A node with arguments that has run already must not stand in the way."""
        start = Made(5)
        start >> Branch()
        start.edges[0].target >> ExitNode()
        checkpoint = Graph(start, id="behind").create_checkpoint()
        checkpoint.frontier = frontier_at("Branch", {"round": 1})
        del start
        gc.collect()
        graph = Graph.from_checkpoint(checkpoint)

        assert (await graph.run()).content == {"round": 1, "success": True}

    async def test_a_pending_node_that_no_longer_exists_is_named(self) -> None:
        (first, *_) = await recorded(countdown(), limit=3)

        with pytest.raises(
            GraphRestoreError, match=r"node 'Countdown', which this graph does not have; its nodes are 'new'"
        ):
            Graph.from_checkpoint(first, start=ExitNode(name="new"))

    async def test_one_lambda_is_not_taken_for_another(self) -> None:
        first, second = node(lambda: "first"), node(lambda: "second")
        first >> second
        checkpoint = Graph(first, id="lambdas").create_checkpoint()
        checkpoint.frontier = frontier_at("<lambda>")
        gc.collect()

        with pytest.raises(GraphRestoreError, match="is not the name of one function"):
            Graph.from_checkpoint(checkpoint)

    @pytest.mark.parametrize(
        "frontier",
        [
            {},
            {"tokens": 5},
            {"next_token": 2, "tokens": {"1": {"node": "Countdown"}}, "contents": {}},
            {"next_token": "x", "tokens": {}, "contents": {}},
            {"next_token": 2, "tokens": {"1": 5}, "contents": {}},
            {"next_token": 1, "tokens": [5], "contents": []},
            {"next_token": 1, "tokens": [], "contents": {}},
        ],
        ids=str,
    )
    def test_a_frontier_that_no_run_writes_is_refused(self, frontier: dict[str, Any]) -> None:
        with pytest.raises(GraphRestoreError, match="has an invalid frontier"):
            Graph.from_checkpoint(by_hand(frontier=frontier), start=countdown())

    @pytest.mark.parametrize(
        "topology", [{}, {"start": "x", "nodes": [], "edges": []}, {"start": "x", "nodes": [5], "edges": []}], ids=str
    )
    def test_a_topology_that_no_run_writes_is_refused(self, topology: dict[str, Any]) -> None:
        with pytest.raises(GraphRestoreError, match="has an invalid topology"):
            Graph.from_checkpoint(by_hand(graph_id="malformed", topology=topology))


class TestCheckpointsMadeByHand:
    async def test_without_nodes_the_run_completes_at_once_and_says_why(self) -> None:
        graph = Graph.from_checkpoint(by_hand(graph_id="nobody's"))

        assert await graph.get_state("counter") == 42
        with pytest.warns(SparkWarning, match="records neither nodes nor pending work.*pass start="):
            message = await graph.run()
        assert message.content == {"success": True}

    async def test_with_a_start_it_begins_there(self) -> None:
        graph = Graph.from_checkpoint(by_hand(), start=Does(lambda context: "ran", name="start"))

        assert (await graph.run()).content == "ran"
        assert await graph.get_state("counter") == 42

    def test_the_graph_does_not_share_its_state(self) -> None:
        checkpoint = by_hand(graph_state={"list": [1]})
        graph = Graph.from_checkpoint(checkpoint, start=countdown())
        checkpoint.graph_state["list"].append(2)

        assert graph.get_state_snapshot() == {"list": [1]}


class TestWhatTheNextRunDoes:
    async def test_a_new_start_keeps_the_state_and_drops_the_pending_work(self) -> None:
        (first, *_) = await recorded(countdown(), limit=3)
        graph = Graph.from_checkpoint(first, start=countdown(), checkpoint_config=UNRECORDED)
        graph.start = Does(lambda context: context.inputs, name="other")

        assert (await graph.run({"x": 1})).content == {"x": 1}
        assert await graph.get_state("count") == 1

    async def test_the_second_run_starts_afresh_with_the_state_kept(self) -> None:
        (first, *_) = await recorded(countdown(), limit=3)
        graph = Graph.from_checkpoint(first, start=countdown(), checkpoint_config=UNRECORDED)
        await graph.run()
        message = await graph.run({"limit": 5, "second": True})

        assert message.content == {"limit": 5, "second": True, "count": 4 + 1, "done": True}

    async def test_a_completed_checkpoint_gives_its_stored_result_without_running_anything(self) -> None:
        executions: list[str] = []

        def work(context: NodeContext) -> Any:
            executions.append(context.node)
            return {"result": (1, {2})}

        start = Does(work, name="start")
        (last,) = await recorded(start)
        message = await Graph.from_checkpoint(last, start=start).run()

        assert (message.content, message.node, message.status) == ({"result": (1, {2})}, "start", "completed")
        assert executions == ["start"]

    async def test_a_mistake_in_the_call_does_not_lose_the_pending_work(self) -> None:
        (first, *_) = await recorded(countdown(), limit=3)
        graph = Graph.from_checkpoint(first, start=countdown(), checkpoint_config=UNRECORDED)
        with pytest.raises(GraphDefinitionError):
            await graph.run(5)  # type: ignore[arg-type]

        assert (await graph.run()).content["count"] == 3

    async def test_the_last_result_so_far_is_remembered(self) -> None:
        """A branch that finished before the checkpoint was made may be the last that finishes at all."""
        start, early, late = (
            Does(lambda context: {"from": context.node}, name=name) for name in ("start", "early", "late")
        )
        early.on(never=True) >> start
        start >> [early, late]
        _, second, _ = await recorded(start)

        assert second.frontier is not None
        assert second.frontier["result"] == {"content": {"from": "early"}, "node": "early"}


class TestResume:
    async def test_it_goes_on_from_the_latest(self) -> None:
        graph = Graph(FailsOnce(name="fails"), checkpoint_config=CheckpointConfig())
        with pytest.raises(Failure):
            await graph.run({"x": 1}, resume=True)

        assert (await graph.run(resume=True)).content == {"x": 1}

    async def test_with_nothing_to_resume_it_begins_at_the_start(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig())

        assert (await graph.run({"limit": 2}, resume=True)).content["count"] == 2

    async def test_after_completion_it_gives_the_stored_result(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig())
        await graph.run({"limit": 2})

        assert (await graph.run(resume=True)).content["count"] == 2

    async def test_without_a_backend_it_says_what_to_give(self) -> None:
        with pytest.raises(GraphDefinitionError, match=r"has nothing to resume from: give it a checkpoint_config"):
            await Graph(countdown()).run(resume=True)

    async def test_a_node_that_is_gone_is_named_and_the_graph_stays_as_it_was(self) -> None:
        backend = InMemoryCheckpointBackend()
        config = CheckpointConfig(backend=backend)
        with pytest.raises(Failure):
            await Graph(FailsOnce(name="old"), id="g", checkpoint_config=config).run()
        graph = Graph(ExitNode(name="new"), id="g", state={"mine": 1}, checkpoint_config=config)

        with pytest.raises(GraphRestoreError, match="node 'old', which this graph does not have"):
            await graph.run(resume=True)

        assert graph.get_state_snapshot() == {"mine": 1}


class TestVersions:
    @pytest.fixture(autouse=True)
    def forget_migrations(self) -> Iterator[None]:
        yield
        migrations._MIGRATIONS.clear()

    @pytest.mark.parametrize("version", ["1.0.0", "1.99.3"])
    def test_the_same_major_version_is_understood(self, version: str) -> None:
        Graph.from_checkpoint(by_hand(version=version), start=countdown())

    @pytest.mark.parametrize("version", ["2.0.0", "0.9", "", "x"])
    def test_an_unknown_major_version_is_refused_with_what_to_do(self, version: str) -> None:
        with pytest.raises(
            CheckpointVersionError, match=f"format version '{version}'; this release restores 1.x.*register_migration"
        ):
            Graph.from_checkpoint(by_hand(version=version), start=countdown())

    async def test_migrations_lead_here_step_by_step(self) -> None:
        @register_migration(8)
        def from_eight(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
            checkpoint.graph_state["path"] = ["8"]
            checkpoint.version = "9.0.0"
            return checkpoint

        @register_migration("9")
        def from_nine(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
            checkpoint.graph_state["path"].append("9")
            checkpoint.version = CURRENT_VERSION
            return checkpoint

        old = by_hand(version="8.1.0")
        graph = Graph.from_checkpoint(old, start=countdown())

        assert await graph.get_state("path") == ["8", "9"]
        assert "path" not in old.graph_state

    def test_a_migration_that_leads_nowhere_is_noticed(self) -> None:
        @register_migration("8")
        def stays(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
            return checkpoint

        with pytest.raises(CheckpointVersionError):
            Graph.from_checkpoint(by_hand(version="8.0.0"), start=countdown())


class TestRandomIds:
    def test_a_random_id_with_a_persistent_backend_warns(self, tmp_path: Path) -> None:
        config = CheckpointConfig(backend=FileCheckpointBackend(directory=str(tmp_path)))

        with pytest.warns(SparkWarning, match=r"another process could not find again. Give it one: Graph\(id='…'\)"):
            Graph(countdown(), checkpoint_config=config)
        Graph(countdown(), id="named", checkpoint_config=config)
