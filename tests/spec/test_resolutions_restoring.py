"""What the page leaves open about restoring and failing, row by row."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, GraphRestoreError, InputConflictError, SparkWarning
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.stand_ins import Count, FailingNode, Flaky, WorkingNode, checkpoints_of, looping


class Step(Node):
    """Writes down in the state that it ran, and fails when it is told to."""

    fails = False

    async def process(self, context: NodeContext) -> dict[str, Any]:
        if self.fails:
            raise ConnectionError("the service hung up")
        await context.graph_state.update("ran", lambda ran: [*ran, context.node], [])
        return {"by": context.node}


class First(Step): ...


class Second(Step): ...


class Third(Step): ...


class WithArguments(Step):
    def __init__(self, limit: int) -> None:
        self.limit = limit


async def interrupted(graph_id: str) -> GraphCheckpoint:
    """A checkpoint of First >> Second >> Third, made as Second failed; its graph is gone."""
    first, second = First(), Second()
    second.fails = True
    first >> second >> Third()
    graph = Graph(start=first, id=graph_id, checkpoint_config=CheckpointConfig())
    with pytest.raises(ConnectionError):
        await graph.run()
    return (await checkpoints_of(graph))[-1]


# Row 1


async def test_a_given_start_supplies_the_nodes() -> None:
    """Row 1: first of all, nodes come from ``start=``."""

    class Other(Second):
        async def process(self, context: NodeContext) -> dict[str, Any]:
            return {"by": "the given one"}

    checkpoint = await interrupted("row 1 a")
    first, other = First(), Other(name="Second")
    first >> other

    graph = Graph.from_checkpoint(checkpoint, start=first)

    assert (await graph.run()).content == {"by": "the given one"}


async def test_a_graph_alive_in_this_process_supplies_the_nodes() -> None:
    """Row 1: else from a graph with the same id; so that nodes with arguments need no ``start=``."""
    alive = Graph(start=looping(Flaky(limit=9, fails_at=4)), id="row 1 b", checkpoint_config=CheckpointConfig())
    with pytest.raises(ConnectionError):
        await alive.run()
    (checkpoint,) = await checkpoints_of(alive)

    graph = Graph.from_checkpoint(checkpoint)

    assert graph.start is alive.start
    assert (await graph.run()).content["count"] == 9


async def test_a_graph_alive_is_found_again_after_a_restored_one_is_gone() -> None:
    """Row 1: a recovery that is tried a second time must find what the first one found."""
    alive = Graph(start=looping(Count(4)), id="row 1 h", checkpoint_config=CheckpointConfig())
    await alive.run()
    (checkpoint,) = await checkpoints_of(alive)

    Graph.from_checkpoint(checkpoint)
    again = Graph.from_checkpoint(checkpoint)

    assert again.start is alive.start


async def test_classes_that_are_loaded_supply_the_nodes() -> None:
    """Row 1: else from the recorded topology and the classes that this program has imported."""
    checkpoint = await interrupted("row 1 c")

    graph = Graph.from_checkpoint(checkpoint)

    assert (await graph.run()).content == {"by": "Third"}
    assert await graph.get_state("ran") == ["First", "Second", "Third"]


async def test_a_class_named_in_a_checkpoint_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 1: a checkpoint can name any module; importing one would run its code."""
    (tmp_path / "named_in_a_checkpoint.py").write_text("raise SystemExit('it was imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = await interrupted("row 1 d")
    assert checkpoint.topology is not None
    checkpoint.topology["nodes"][1]["class"] = "named_in_a_checkpoint:Second"

    with pytest.raises(GraphRestoreError, match=r"node 'Second'.*named_in_a_checkpoint:Second.*start="):
        Graph.from_checkpoint(checkpoint)

    assert "named_in_a_checkpoint" not in sys.modules


async def test_a_node_that_nobody_can_supply_is_an_error() -> None:
    """Row 1: which node, and what to pass; never a silent success."""
    node = WithArguments(3)
    graph = Graph(start=node, id="row 1 e")
    checkpoint = graph.create_checkpoint()
    del graph

    with pytest.raises(GraphRestoreError, match=r"node 'WithArguments'.*start="):
        Graph.from_checkpoint(checkpoint)


async def test_a_start_that_lacks_a_pending_node_is_an_error() -> None:
    """Row 1: also when ``start=`` is given."""
    checkpoint = await interrupted("row 1 f")

    with pytest.raises(GraphRestoreError, match=r"node 'Second'.*'First'.*start="):
        Graph.from_checkpoint(checkpoint, start=First())


async def test_only_nodes_that_may_still_run_are_asked_for() -> None:
    """Row 1: a node that can't be supplied does no harm behind the pending work."""
    checkpoint = await interrupted("row 1 g")
    assert checkpoint.topology is not None
    checkpoint.topology["nodes"][0]["class"] = "nowhere:First"

    graph = Graph.from_checkpoint(checkpoint)

    assert (await graph.run()).content == {"by": "Third"}


# Row 2


def hand_made(graph_id: str, **parts: Any) -> GraphCheckpoint:
    return GraphCheckpoint(
        checkpoint_id="by_hand", graph_id=graph_id, timestamp=datetime.now(), graph_state={"counter": 42}, **parts
    )


async def test_a_hand_made_checkpoint_completes_at_once_and_says_why() -> None:
    """Row 2: ``{'success': True}``, and a warning."""
    graph = Graph.from_checkpoint(hand_made("row 2 a"))

    with pytest.warns(SparkWarning, match="neither nodes nor pending work"):
        result = await graph.run()

    assert result.content == {"success": True}
    assert await graph.get_state("counter") == 42


async def test_a_hand_made_checkpoint_runs_the_given_start() -> None:
    """Row 2: with ``start=`` nothing is made up."""
    graph = Graph.from_checkpoint(hand_made("row 2 b"), start=First())

    assert (await graph.run()).content == {"by": "First"}
    assert graph.get_state_snapshot() == {"counter": 42, "ran": ["First"]}


def test_pending_work_without_nodes_is_no_silent_success() -> None:
    """Row 2: only a checkpoint that records neither completes at once."""
    token = {"id": 1, "node": "First", "lineage": 1, "source": None, "joined": False, "content": 0}
    frontier = {"next_token": 2, "tokens": [token], "contents": [{}]}

    with pytest.raises(GraphRestoreError, match="pending work but no nodes"):
        Graph.from_checkpoint(hand_made("row 2 c", frontier=frontier))


# Row 3


async def test_a_new_start_keeps_the_state_and_drops_the_pending_work() -> None:
    """Row 3: ``recovered_graph.start = WorkingNode()``."""
    graph = Graph.from_checkpoint(await interrupted("row 3"))

    graph.start = WorkingNode()
    result = await graph.run()

    assert list(graph.nodes) == ["WorkingNode"]
    assert result.content == {"success": True}
    assert await graph.get_state("ran") == ["First"]


# Row 4


async def test_the_second_run_of_a_restored_graph_starts_afresh() -> None:
    """Row 4: from ``start``, with the state as it is."""
    graph = Graph.from_checkpoint(await interrupted("row 4 a"))

    await graph.run()
    await graph.run()

    assert await graph.get_state("ran") == ["First", "Second", "Third", "First", "Second", "Third"]


async def test_resuming_a_completed_run_returns_its_stored_result() -> None:
    """Row 4: without running anything."""
    graph = Graph(start=First(), id="row 4 b", checkpoint_config=CheckpointConfig())
    await graph.run()
    (checkpoint,) = await checkpoints_of(graph)

    restored = Graph.from_checkpoint(checkpoint)
    result = await restored.run()

    assert result.content == {"by": "First"}
    assert result.node == "First"
    assert await restored.get_state("ran") == ["First"]


# Rows 5, 6 and 7


async def test_a_run_ends_with_a_final_checkpoint() -> None:
    """Row 5: also when no trigger is set."""
    graph = Graph(start=looping(Count()), checkpoint_config=CheckpointConfig(enabled=True))

    await graph.run()

    assert [each.execution_metadata["reason"] for each in await checkpoints_of(graph)] == ["completed"]


async def test_a_failing_run_leaves_its_last_boundary_with_the_failed_work_pending() -> None:
    """Row 6: also when it fails before the first trigger is due."""
    graph = Graph(start=FailingNode(), checkpoint_config=CheckpointConfig(trigger_on_iteration=5))

    with pytest.raises(RuntimeError):
        await graph.run()
    (checkpoint,) = await checkpoints_of(graph)

    assert checkpoint.execution_metadata["reason"] == "failed"
    assert checkpoint.frontier is not None
    assert [token["node"] for token in checkpoint.frontier["tokens"].values()] == ["FailingNode"]


async def test_the_exception_of_a_node_is_raised_unchanged_with_a_note_that_names_the_checkpoint() -> None:
    """Row 6."""
    failure = RuntimeError("mine")

    class Raising(Node):
        async def process(self) -> None:
            raise failure

    graph = Graph(start=Raising(), checkpoint_config=CheckpointConfig())
    with pytest.raises(RuntimeError) as raised:
        await graph.run()
    (checkpoint,) = await checkpoints_of(graph)

    assert raised.value is failure
    assert failure.args == ("mine",)
    assert any(checkpoint.checkpoint_id in note for note in failure.__notes__)


async def test_a_failure_leaves_nothing_when_the_trigger_is_switched_off() -> None:
    """Row 6: ``trigger_on_failure=False``."""
    graph = Graph(start=FailingNode(), checkpoint_config=CheckpointConfig(trigger_on_failure=False))

    with pytest.raises(RuntimeError):
        await graph.run()

    assert await checkpoints_of(graph) == []


async def test_parallel_work_that_was_running_is_pending_again_after_a_failure() -> None:
    """Row 6: the boundary is consistent also while branches run in parallel."""
    first, second, join = First(), Second(), JoinNode()
    second.fails = True
    first >> [second, Third()] >> join >> ExitNode()
    graph = Graph(start=first, id="row 6", checkpoint_config=CheckpointConfig())
    with pytest.raises(ConnectionError):
        await graph.run()

    second.fails = False
    result = await graph.run(resume=True)

    assert result.content == {"results": [{"by": "Second"}, {"by": "Third"}], "success": True}
    assert sorted(await graph.get_state("ran")) == ["First", "Second", "Third"]


async def test_without_a_backend_each_graph_has_a_memory_backend_of_its_own() -> None:
    """Row 7."""
    config = CheckpointConfig(enabled=True)

    graphs = [Graph(start=First(), checkpoint_config=config), Graph(start=First(), checkpoint_config=config)]

    backends = [graph.checkpoint_backend for graph in graphs]
    assert all(isinstance(backend, InMemoryCheckpointBackend) for backend in backends)
    assert backends[0] is not backends[1]
    assert config.backend is None


# Rows 11 and 12


async def test_a_manual_checkpoint_is_isolated_and_carries_metadata() -> None:
    """Row 11: the id is optional, ``metadata`` is found again under its own key."""
    metadata = {"tags": ["before"]}
    graph = Graph(start=First(), id="row 11 a", state={"list": [1]})

    checkpoint = graph.create_checkpoint(metadata=metadata)
    metadata["tags"].append("changed")
    await graph.set_state("list", [1, 2])

    assert checkpoint.checkpoint_id != graph.create_checkpoint().checkpoint_id
    assert checkpoint.execution_metadata["metadata"] == {"tags": ["before"]}
    assert checkpoint.graph_state == {"list": [1]}


async def test_a_manual_checkpoint_during_a_run_stands_at_the_last_boundary() -> None:
    """Row 11: what the running node has written is not committed, and the node is still to be done."""
    taken: list[GraphCheckpoint] = []

    class Taking(Node):
        async def process(self, context: NodeContext) -> None:
            await context.graph_state.set("half", "done")
            taken.append(graph.create_checkpoint())

    first = First()
    first >> Taking()
    graph = Graph(start=first, id="row 11 b")
    await graph.run()

    assert taken[0].graph_state == {"ran": ["First"]}
    assert taken[0].frontier is not None
    assert [token["node"] for token in taken[0].frontier["tokens"].values()] == ["Taking"]


async def test_a_manual_checkpoint_of_a_graph_that_never_ran_starts_at_the_start() -> None:
    """Row 11: nothing is pending, yet it must not pass for a completed run."""
    checkpoint = Graph(start=First(), id="row 11 c").create_checkpoint("unused")

    result = await Graph.from_checkpoint(checkpoint).run()

    assert result.content == {"by": "First"}


def test_id_and_graph_id_mean_the_same() -> None:
    """Row 12."""
    graphs = [Graph(start=First(), id="mine"), Graph(start=First(), graph_id="mine")]

    assert [(graph.id, graph.graph_id) for graph in graphs] == [("mine", "mine")] * 2
    with pytest.raises(GraphDefinitionError, match="both mean the same"):
        Graph(start=First(), id="mine", graph_id="other")


async def test_a_random_id_with_a_persistent_backend_warns(files: FileCheckpointBackend) -> None:
    """Row 12: another process could not find it again."""
    with pytest.warns(SparkWarning, match="another process could not find again"):
        graph = Graph(start=First(), checkpoint_config=CheckpointConfig(backend=files))

    await graph.run()

    assert len(await CheckpointManager(files).list_checkpoints(graph.graph_id)) == 1


# Rows 29 and 32


async def test_inputs_that_differ_from_the_recorded_ones_are_refused() -> None:
    """Row 29: never dropped; ``"state"`` begins a new run with them, and a checkpoint says which one goes on."""
    graph = Graph(start=First(), id="row 29", checkpoint_config=CheckpointConfig())
    first = await graph.run({"day": "monday"})

    with pytest.raises(InputConflictError):
        await graph.run({"day": "tuesday"}, resume=True)
    second = await graph.run({"day": "tuesday"}, resume="state")
    (checkpoint, _) = await checkpoints_of(graph)
    again = await graph.run(resume=checkpoint)

    assert await graph.get_state("ran") == ["First"]
    assert first.run_id == again.run_id != second.run_id


async def test_wiring_counts_when_a_graph_is_built() -> None:
    """Row 32: and the same edge declared twice is one edge."""
    first, third = First(), Third()
    for _ in range(2):
        first >> third
    graph = Graph(start=first, id="row 32")
    first >> Second()

    await graph.run()

    assert await graph.get_state("ran") == ["First", "Third"]
