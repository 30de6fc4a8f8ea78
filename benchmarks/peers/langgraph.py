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
hold texts and numbers, as these do; both make a second commit in each step, for what the node wrote. `append` uses its
`DeltaChannel`, which is in beta, with a snapshot every 100 updates, its default; `rewrite` a list with a reducer. A fan-out
with checkpoints, and a map, is `Send`: what each branch wrote is stored when it ends, and a checkpoint when all have.
"""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Annotated, Any

from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value

NAME = "LangGraph"
IMPORTS = "import langgraph.graph"
LEFT_OUT = {"files": "it has no checkpoints in files", "change": "it is `sqlite`, where it writes the whole state"}
LIMITS = {"rewrite": 400}
"""Each step writes the whole list: 2,000 of them are 2 GB, and 5,000 are 12 GB."""


def _extended(messages: list[Any], batches: Sequence[list[Any]]) -> list[Any]:
    return [*messages, *(message for batch in batches for message in batch)]


class Branches(TypedDict):
    done: Annotated[list[int], operator.add]


class Deltas(TypedDict):
    messages: Annotated[list[Any], DeltaChannel(_extended)]


class Whole(TypedDict):
    messages: Annotated[list[Any], operator.add]


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


async def short(job: Job) -> float:
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        return await _run(job, saver, values=dict(state.SHORT))


async def graphs(job: Job) -> float:
    """All at once, in one store."""
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        await _run(replace(job, name="warm", times=3), saver)
        began = time.perf_counter()
        await asyncio.gather(*(_run(replace(job, name=f"{number}"), saver) for number in range(job.size)))
        return (time.perf_counter() - began) / (job.size * job.times)


async def append(job: Job) -> float:
    return await _grow(job, Deltas)


async def rewrite(job: Job) -> float:
    return await _grow(job, Whole)


async def branches_memory(job: Job) -> float:
    return await _spread(job, InMemorySaver())


async def branches_sqlite(job: Job) -> float:
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        return await _spread(job, saver)


map_memory = branches_memory
map_sqlite = branches_sqlite
peak_memory = memory
peak_sqlite = sqlite
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
    names = [f"echo_{number}" for number in range(job.size)]
    builder = StateGraph(Branches)
    builder.add_node("join", _join)
    for name in names:
        builder.add_node(name, _echo)
        builder.add_edge(START, name)
    builder.add_edge(names, "join")
    graph = builder.compile()
    return median([await _seconds(lambda: graph.ainvoke({"done": []})) for _ in range(job.times)])


async def _grow(job: Job, values: type) -> float:
    laps = Laps()

    async def step(found: dict[str, Any]) -> dict[str, Any]:
        laps.mark()
        return {"messages": [state.message(len(laps.marks))]}

    builder = StateGraph(values)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda found: END if len(laps.marks) >= job.size else "step")
    async with AsyncSqliteSaver.from_conn_string(_file(job)) as saver:
        graph = builder.compile(checkpointer=saver)
        limits = _config(job) | {"recursion_limit": job.size + 10}
        found = await graph.ainvoke({"messages": []}, limits, durability="sync")
    assert len(found["messages"]) == job.size
    return laps.seconds_at_the_end()


async def _echo(values: Any) -> dict[str, Any]:
    return {"done": [1]}


async def _join(values: Any) -> dict[str, Any]:
    return {"done": []}


async def _spread(job: Job, saver: BaseCheckpointSaver[Any]) -> float:
    builder = StateGraph(Branches)
    builder.add_node("echo", _echo)
    builder.add_node("join", _join)
    builder.add_conditional_edges(START, lambda values: [Send("echo", {"item": item}) for item in range(job.size)])
    builder.add_edge("echo", "join")
    graph = builder.compile(checkpointer=saver)
    began = time.perf_counter()
    found = await graph.ainvoke({"done": []}, _config(job), durability="sync")
    seconds = time.perf_counter() - began
    assert len(found["done"]) == job.size
    return seconds / job.size


async def _run(job: Job, saver: BaseCheckpointSaver[Any] | None, *, values: dict[str, Any] | None = None) -> float:
    laps = Laps()
    values = job.state if values is None else values

    async def step(values: dict[str, Any]) -> dict[str, Any]:
        laps.mark()
        return {state.CHANGING: next_value(values[state.CHANGING])}

    builder = StateGraph(TypedDict("Values", dict.fromkeys(values, Any)))  # type: ignore[operator]
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges("step", lambda values: END if job.is_done(values[state.CHANGING]) else "step")
    graph = builder.compile(checkpointer=saver)
    options: dict[str, Any] = {} if saver is None else {"durability": "sync"}
    await graph.ainvoke(values, _config(job) | {"recursion_limit": job.times + 10}, **options)
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
