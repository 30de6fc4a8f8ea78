"""One step's cost, in microseconds, for one size of state, history, or crowd; the state itself does not grow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import floors, state
from benchmarks.contest.rows import Laps
from benchmarks.costs.engine import seconds_of_fan_out
from benchmarks.curves.stores import Place
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    InMemoryCheckpointBackend,
)

STEPS = 100
"""For one figure, where the state is small."""
BYTES = 400_000_000
"""The state that all steps of one figure work over, where it is large: so many bytes in all."""
CHECKPOINTS = 2_000
"""Of all graphs that run at once."""
READS = 50

Figures = dict[str, float]
"""Microseconds, by the name of the line that they belong to; none where the work can't be done, or takes too long."""

Measure = Callable[[int, Place], Awaitable[Figures]]
"""What was found for one size."""


class Step(Node):
    """Sets the key that changes, so many times."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.laps = Laps()

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.laps.mark()
        value = await context.graph_state.get(state.CHANGING)
        step = state.step_of(value) + 1
        await context.graph_state.set(state.CHANGING, state.value_of(step, value))
        return {"done": step >= self.steps}


def by_size(store: str) -> Measure:
    """Over a state of so many bytes in 100 keys."""
    return lambda size, place: _steps(store, place, state.large(size), max(6, min(STEPS, BYTES // size)))


def by_keys(store: str) -> Measure:
    """Over so many keys of 100 bytes."""
    return lambda keys, place: _steps(store, place, state.large(100 * keys, keys), STEPS)


def by_history(store: str) -> Measure:
    """The last steps of a run that keeps so many checkpoints, and loading the latest of them."""

    async def measure(length: int, place: Place) -> Figures:
        async with place.store(store) as backend:
            laps = await _run(backend, "bench", dict(state.SMALL), length - 1)
            last = Laps(laps.marks[-max(5, min(length // 5, 200)) :])
            manager = CheckpointManager(backend)
            assert await manager.load_latest("bench")
            began = time.perf_counter()
            for _ in range(READS):
                await manager.load_latest("bench")
            latest = (time.perf_counter() - began) / READS
        return {f"step, {store}": last.seconds() * 1e6, f"latest, {store}": latest * 1e6}

    return measure


def by_graphs(store: str) -> Measure:
    """So many graphs at once, all in one store; what all took, for each of their steps."""

    async def measure(graphs: int, place: Place) -> Figures:
        steps = max(4, min(STEPS, CHECKPOINTS // graphs))
        async with place.store(store) as backend:
            await _run(backend, "warm", dict(state.SMALL), 3)
            began = time.perf_counter()
            await asyncio.gather(*(_run(backend, f"{number}", dict(state.SMALL), steps) for number in range(graphs)))
            return {store: (time.perf_counter() - began) / (graphs * steps) * 1e6}

    return measure


async def by_branches(branches: int, place: Place) -> Figures:
    """A fan-out to so many branches and their join, for each branch: without checkpoints, with one each step, and the floor."""
    found = {}
    measures: dict[str, Callable[[int], Awaitable[float]]] = {
        "fan-out, join": seconds_of_fan_out,
        "each step saved in memory": seconds_of_saved_fan_out,
        "floor: gather": floors.bare_fan_out,
    }
    for name, measure in measures.items():
        await measure(branches)
        found[name] = await measure(branches) / branches * 1e6
    return found


async def seconds_of_saved_fan_out(branches: int) -> float:
    """The whole graph with a checkpoint of each step, of which the last ten are kept."""
    backend = InMemoryCheckpointBackend()
    return await seconds_of_fan_out(branches, CheckpointConfig(backend=backend, trigger_on_iteration=1))


async def _steps(store: str, place: Place, values: dict[str, Any], steps: int) -> Figures:
    async with place.store(store) as backend:
        return {store: (await _run(backend, "bench", values, steps)).seconds() * 1e6}


async def _run(backend: CheckpointBackend, graph_id: str, values: dict[str, Any], steps: int) -> Laps:
    step = Step(steps)
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)
    await Graph(start=step, id=graph_id, state=values, checkpoint_config=config).run()
    return step.laps
