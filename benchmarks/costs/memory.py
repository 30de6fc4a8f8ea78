"""What a run keeps in memory: its peak beside the state's size, and what 100,000 steps leave behind.

Each figure is taken in a process of its own, by the kernel's count of resident memory, so that nothing escapes it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import resident, state
from benchmarks.curves.growth import Step
from benchmarks.curves.stores import LOCAL
from benchmarks.effort import Effort
from benchmarks.measure import Comparison
from benchmarks.workload import disk
from spark.graphs import ExitNode, Graph, NodeContext
from spark.graphs.checkpoint import CheckpointConfig

SIZE = 50_000_000
STEPS = 20
"""Of a run over a large state."""
BEFORE, AFTER = 10_000, 100_000
"""Steps before the first look at the memory, and from there to the second."""


def compare(effort: Effort) -> Iterator[Comparison]:
    if not resident.is_counted():
        print("Memory is left out: it is read from /proc, which this system lacks.", file=sys.stderr)
        return
    size = effort.of(SIZE)
    for keys, what in ((100, f"100 values of {size / 1e8:g} MB, one of which changes"), (10, "10 values, likewise")):
        for store in LOCAL:
            yield _compared(
                ["peak", store, size, keys],
                rounds=min(effort.rounds, 3),
                work=f"memory at the peak of a run with checkpoints in {_place(store)}: {what}",
                floor_is="the values",
            )
    before, after = effort.of(BEFORE), effort.of(AFTER)
    yield _compared(
        ["growth", "memory", before, after],
        rounds=min(effort.rounds, 3),
        work=f"memory of a process after {after:,} more steps, with a checkpoint each, ten kept",
        floor_is=f"after the first {before:,}",
    )


def peak(store: str, size: int, keys: int) -> tuple[float, float]:
    """What a run added at its peak to the process that held nothing but the modules, and the size of the values."""
    before = resident.begin_again()
    values = state.large(size, keys)
    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk()) as folder:
        asyncio.run(_run(store, Path(folder), values, Step(STEPS), keep=10))
    return resident.peak() - before, sum(map(len, values.values()))


def growth(store: str, before: int, after: int) -> tuple[float, float]:
    """The process's memory after all steps, and after the first of them."""
    step = Watched(before, after)
    with tempfile.TemporaryDirectory(prefix="spark-bench-", dir=disk()) as folder:
        asyncio.run(_run(store, Path(folder), dict(state.SMALL), step, keep=10))
    return step.seen[1], step.seen[0]


class Watched(Step):
    """Looks at the process's memory at two of its steps."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before + after)
        self.looks = (before, before + after)
        self.seen: list[float] = []

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.laps.marks.clear()  # which would be the growth
        output = await super().process(context)
        if await context.graph_state.get(state.CHANGING) in self.looks:
            self.seen.append(resident.begin_again())
        return output


async def _run(store: str, folder: Path, values: dict[str, Any], step: Step, *, keep: int) -> None:
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    async with LOCAL[store](folder) as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=keep)
        await Graph(start=step, id="bench", state=values, checkpoint_config=config).run()


def _compared(orders: list[Any], *, rounds: int, work: str, floor_is: str) -> Comparison:
    command = [sys.executable, "-m", "benchmarks.costs.memory", json.dumps(orders)]
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        found.append([figure / 1e6 for figure in json.loads(done.stdout)])
    return Comparison(work, "MB", [pair[0] for pair in found], [pair[1] for pair in found], floor_is)


def _place(store: str) -> str:
    return "memory, ten kept" if store == "memory" else store


if __name__ == "__main__":
    which, *arguments = json.loads(sys.argv[1])
    print(json.dumps({"peak": peak, "growth": growth}[which](*arguments)))
