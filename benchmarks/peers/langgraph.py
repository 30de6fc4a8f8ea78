# /// script
# dependencies = [
#     "langgraph==1.2.22",
#     "langgraph-checkpoint-sqlite==3.1.2",
#     "langgraph-checkpoint-postgres==3.2.0",
#     "aiosqlite==0.22.1",
#     "psycopg[binary]==3.3.9",
# ]
# ///
"""As durable as ours: `durability="sync"`, SQLite with WAL and `synchronous=FULL`, PostgreSQL with `synchronous_commit=on`.

One channel for each key. Its SQLite saver writes every channel again in each checkpoint, its PostgreSQL saver those that
hold texts and numbers, as these do; both make a second commit in each step, for what the node wrote.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Annotated, Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value

NAME = "LangGraph"
IMPORTS = "import langgraph.graph"
LEFT_OUT = {"files": "it has no checkpoints in files"}


class Branches(TypedDict):
    done: Annotated[list[int], operator.add]


async def loop(job: Job) -> float:
    return await _run(job, None)


async def memory(job: Job) -> float:
    return await _run(job, InMemorySaver())


async def sqlite(job: Job) -> float:
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        return await _run(job, saver)


async def postgresql(job: Job) -> float:
    async with AsyncPostgresSaver.from_conn_string(job.postgresql) as saver:
        await saver.setup()
        return await _run(job, saver)


large_sqlite = sqlite
large_postgresql = postgresql


async def fill(job: Job) -> None:
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        await _run(job.of(job.history), saver)


async def latest(job: Job) -> float:
    return await _read(job, lambda saver: saver.aget_tuple(_config(job)))


async def newest(job: Job) -> float:
    async def ten(saver: AsyncSqliteSaver) -> list[Any]:
        return [found async for found in saver.alist(_config(job), limit=10)]

    return await _read(job, ten)


async def fan_out(job: Job) -> float:
    names = [f"echo_{number}" for number in range(job.branches)]
    builder = StateGraph(Branches)
    builder.add_node("join", lambda values: {"done": []})
    for name in names:
        builder.add_node(name, lambda values: {"done": [1]})
        builder.add_edge(START, name)
    builder.add_edge(names, "join")
    graph = builder.compile()
    return median([await _seconds(lambda: graph.ainvoke({"done": []})) for _ in range(job.times)])


async def _run(job: Job, saver: BaseCheckpointSaver[Any] | None) -> float:
    laps = Laps()

    async def step(values: dict[str, Any]) -> dict[str, Any]:
        laps.mark()
        return {state.CHANGING: next_value(values[state.CHANGING])}

    builder = StateGraph(TypedDict("Values", dict.fromkeys(job.state, Any)))  # type: ignore[operator]
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda values: END if job.is_done(values[state.CHANGING]) else "step")
    graph = builder.compile(checkpointer=saver)
    options: dict[str, Any] = {} if saver is None else {"durability": "sync"}
    await graph.ainvoke(job.state, _config(job) | {"recursion_limit": job.times + 10}, **options)
    return laps.seconds()


async def _read(job: Job, read: Callable[[AsyncSqliteSaver], Awaitable[Any]]) -> float:
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        assert await read(saver)

        async def again() -> None:
            for _ in range(job.times):
                await read(saver)

        return await _seconds(again) / job.times


async def _seconds(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _config(job: Job) -> dict[str, Any]:
    return {"configurable": {"thread_id": job.name}}


def _file(job: Job) -> str:
    return str(job.folder / "checkpoints.db")
