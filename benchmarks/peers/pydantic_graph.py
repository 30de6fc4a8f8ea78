# /// script
# dependencies = ["pydantic-graph==1.107.10"]
# ///
"""The last major release that has persistence. In memory it keeps a deep copy of the state for each node. Its file is one JSON
text with the whole history, which each step reads and writes again several times, with no fsync: what was saved last survives
the process, but not the machine, and a crash while it is written leaves half a file.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from statistics import median
from typing import Any

from pydantic_graph import BaseNode, End, Graph, GraphRunContext
from pydantic_graph.graph_builder import GraphBuilder
from pydantic_graph.join import reduce_list_append
from pydantic_graph.persistence import BaseStatePersistence
from pydantic_graph.persistence.file import FileStatePersistence
from pydantic_graph.persistence.in_mem import FullStatePersistence
from pydantic_graph.step import StepContext

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value

# Its next major release renames half of these.
warnings.simplefilter("ignore", DeprecationWarning)

NAME = "pydantic-graph"
IMPORTS = "import pydantic_graph"
LEFT_OUT = {
    "sqlite": "it has no persistence in databases",
    "postgresql": "it has no persistence in databases",
    "large_sqlite": "it has no persistence in databases",
    "large_postgresql": "it has no persistence in databases",
    "latest": "it has no persistence in databases",
    "newest": "it has no persistence in databases",
    "change": "it has no persistence in databases",
    "short": "it has no persistence in databases",
    "graphs": "it has no persistence in databases",
    "append": "it has no persistence in databases",
    "rewrite": "it has no persistence in databases",
    "branches_sqlite": "it has no persistence in databases",
    "map_sqlite": "it has no persistence in databases",
    "peak_sqlite": "it has no persistence in databases",
    "branches_memory": "its graphs with parallel steps have no persistence",
    "map_memory": "its graphs with parallel steps have no persistence",
    "peak_memory": "it keeps a deep copy of the state for each node, as `memory` shows",
}


@dataclass
class Values:
    values: dict[str, Any]


@dataclass
class Run:
    """What the node needs beside the state."""

    job: Job
    laps: Laps


@dataclass
class Step(BaseNode[Values, Run, None]):
    async def run(self, ctx: GraphRunContext[Values, Run]) -> Step | End[None]:
        ctx.deps.laps.mark()
        value = ctx.state.values[state.CHANGING] = next_value(ctx.state.values[state.CHANGING])
        return End(None) if ctx.deps.job.is_done(value) else Step()


async def loop(job: Job) -> float:
    return await _run(job, None)


async def memory(job: Job) -> float:
    return await _run(job, FullStatePersistence())


async def files(job: Job) -> float:
    return await _run(job, FileStatePersistence(job.folder / "history.json"))


async def fan_out(job: Job) -> float:
    builder = GraphBuilder(output_type=list[int])

    @builder.step
    async def start(ctx: StepContext[None, None, None]) -> list[int]:
        return list(range(job.size))

    @builder.step
    async def echo(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs

    join = builder.join(reduce_list_append, initial_factory=list[int])
    builder.add(
        builder.edge_from(builder.start_node).to(start),
        builder.edge_from(start).map().to(echo),
        builder.edge_from(echo).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    graph = builder.build()

    async def once() -> float:
        began = time.perf_counter()
        await graph.run()
        return time.perf_counter() - began

    return median([await once() for _ in range(job.times)])


async def _run(job: Job, persistence: BaseStatePersistence[Values, None] | None) -> float:
    graph = Graph(nodes=(Step,), auto_instrument=False)
    run = Run(job, Laps())
    await graph.run(Step(), state=Values(job.state), deps=run, persistence=persistence)
    return run.laps.seconds()
