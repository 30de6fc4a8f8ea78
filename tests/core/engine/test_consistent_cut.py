"""State exactly once: whichever boundary a run is continued from, it ends as though nothing had happened."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from tests.support.random_graphs import Pauses, Peril, Perils, Shape, map_shapes, shapes, wire
from tests.support.variants import in_full, tries

UNRECORDED = CheckpointConfig(enabled=False)


async def run_recorded(shape: Shape, seed: int) -> tuple[dict[str, Any], list[GraphCheckpoint]]:
    """The final state of an uninterrupted run, and a checkpoint of each of its boundaries."""
    backend = InMemoryCheckpointBackend()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    graph = Graph(wire(shape, Pauses(seed)), id="cut", checkpoint_config=config, max_concurrency=shape.max_concurrency)
    await graph.run({"fuel": shape.fuel, "trail": 0})
    manager = CheckpointManager(backend)
    infos = await manager.list_checkpoints("cut")
    return graph.get_state_snapshot(), [await manager.load_checkpoint(info.checkpoint_id) for info in infos]


async def run_from(checkpoint: GraphCheckpoint, shape: Shape, seed: int) -> dict[str, Any]:
    graph = Graph.from_checkpoint(checkpoint, start=wire(shape, Pauses(seed)), checkpoint_config=UNRECORDED)
    await graph.run()
    return graph.get_state_snapshot()


def outcome(state: dict[str, Any]) -> dict[str, Any]:
    """The state, with the idempotency keys in an order that does not depend on the interleaving."""
    return {**state, "keys": sorted(state["keys"])}


@in_full
@settings(max_examples=tries(80), deadline=None)
@given(shape=shapes() | map_shapes(), seed=st.integers(0, 1000))
def test_a_run_continued_from_any_boundary_ends_as_the_uninterrupted_one(shape: Shape, seed: int) -> None:
    """The central promise: every boundary is a consistent cut, even while branches are running, waiting, or at a join."""

    async def check() -> None:
        final, checkpoints = await run_recorded(shape, seed)
        iterations = [checkpoint.execution_metadata["iteration"] for checkpoint in checkpoints]
        assert iterations == list(range(1, len(checkpoints) + 1))
        assert len(checkpoints) >= len(final["trace"])
        assert len(set(final["keys"])) == len(final["keys"]), "two executions had one idempotency key"

        for checkpoint in checkpoints:
            continued = await run_from(checkpoint, shape, seed=seed + checkpoint.sequence)
            assert outcome(continued) == outcome(final), f"from sequence {checkpoint.sequence}"

    asyncio.run(check())


@in_full
@settings(max_examples=tries(40), deadline=None)
@given(shape=shapes() | map_shapes(keys=["items"]), seed=st.integers(0, 1000), every=st.integers(1, 5))
def test_a_run_whose_nodes_fail_again_and_again_ends_as_the_uninterrupted_one(
    shape: Shape, seed: int, every: int
) -> None:
    """Failing in the middle of parallel work, and going on in another graph object, as after a crash."""

    async def check() -> None:
        final, _ = await run_recorded(shape, seed)
        config = CheckpointConfig(backend=InMemoryCheckpointBackend(), trigger_on_iteration=every, max_checkpoints=2)
        for attempt in range(1000):
            graph = Graph(wire(shape, Perils(seed + attempt)), id="cut", checkpoint_config=config)
            try:
                await graph.run({"fuel": shape.fuel, "trail": 0}, resume=True)
                break
            except Peril:
                continue

        continued = graph.get_state_snapshot()
        assert continued["trace"] == final["trace"]
        assert len(set(continued["keys"])) == len(continued["keys"]) == len(final["keys"])

    asyncio.run(check())
