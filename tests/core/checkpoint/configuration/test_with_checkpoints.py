"""The same graph, checkpointed in another way; and how far a run is."""

from __future__ import annotations

import pytest

from spark.errors import RunError, SerializationError
from spark.graphs import Graph, NodeContext, Progress
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from tests.support.running import Does, countdown, every_step, history


class Unsaveable:
    """Can be copied, and nothing else."""


async def test_it_has_the_nodes_the_id_and_the_state_and_other_checkpoints() -> None:
    backend = InMemoryCheckpointBackend()
    plain = Graph(countdown(), id="g", state={"count": 2})

    kept = plain.with_checkpoints(every_step(backend))
    await kept.run({"limit": 4})

    assert (kept.graph_id, kept.nodes) == ("g", plain.nodes)
    assert kept.get_state_snapshot() == {"count": 4}
    assert plain.get_state_snapshot() == {"count": 2}
    assert len(await history(kept)) == 2
    assert plain.checkpoint_backend is None


async def test_nodes_keep_the_states_that_they_have() -> None:
    def count(context: NodeContext) -> dict[str, object]:
        context.state["runs"] = context.state.get("runs", 0) + 1
        return {"runs": context.state["runs"]}

    plain = Graph(Does(count, name="counts"), id="g")
    await plain.run()
    kept = plain.with_checkpoints(every_step(InMemoryCheckpointBackend()))

    assert (await kept.run()).content == {"runs": 2}
    assert (await plain.run()).content == {"runs": 2}


async def test_a_state_of_a_node_that_can_not_be_saved_is_refused_at_once() -> None:
    def keep(context: NodeContext) -> dict[str, object]:
        context.state["made"] = Unsaveable()
        return {}

    plain = Graph(Does(keep, name="keeps"), id="g")
    await plain.run()

    with pytest.raises(SerializationError, match=r"node_states\['keeps'\]\['made'\]"):
        plain.with_checkpoints(every_step(InMemoryCheckpointBackend()))


async def test_a_graph_without_a_name_stays_without_one() -> None:
    plain = Graph(countdown())

    assert plain.with_checkpoints(CheckpointConfig()).graph_id != plain.graph_id


async def test_it_is_refused_while_a_run_is_under_way() -> None:
    graph = Graph(Does(lambda context: {"it": graph.with_checkpoints(None)}, name="asks"))

    with pytest.raises(RunError, match="with_checkpoints"):
        await graph.run()


async def test_progress_is_seen_from_within_a_run() -> None:
    seen: list[Progress | None] = []

    def look(context: NodeContext) -> dict[str, object]:
        seen.append(graph.progress)
        return {}

    first = Does(lambda context: {}, name="first")
    first >> [Does(look, name="looks"), Does(lambda context: {}, name="waits")]
    graph = Graph(first, id="g", checkpoint_config=every_step(InMemoryCheckpointBackend()), max_concurrency=1)
    assert graph.progress is None

    await graph.run()

    assert seen == [Progress(iteration=1, last_node="first", running=("looks",), waiting=1, checkpoint=1)]
    assert graph.progress == Progress(iteration=3, last_node="waits", running=(), waiting=0, checkpoint=3)
