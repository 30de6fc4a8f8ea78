# /// script
# dependencies = ["apache-burr==0.43.0", "aiosqlite==0.22.1", "asyncpg==0.32.0"]
# ///
"""As durable as ours: SQLite with `synchronous=FULL`, and with WAL, which the benchmark turns on for it; PostgreSQL with
`synchronous_commit=on`. The whole state is written as one JSON text in each step. Its persister in memory keeps a reference to
the state and copies nothing.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

from burr.core import ApplicationBuilder, Condition, State, action
from burr.core.persistence import AsyncBaseStatePersister, AsyncInMemoryPersister
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister
from burr.integrations.persisters.b_asyncpg import AsyncPostgreSQLPersister

from benchmarks.contest.rows import Job, Laps, next_value
from benchmarks.state import CHANGING

NAME = "Burr"
IMPORTS = "import burr.core"
_PARTITION = "bench"
LEFT_OUT = {
    "files": "it has no persister that writes files",
    "newest": "its persisters load one state, and list none of a history",
    "fan_out": "its parallel actions are applications of their own, run by an action that collects them",
    "change": "it writes the whole state in each step, as `sqlite` and `large_sqlite` show",
    "short": "it writes the whole state in each step, as `sqlite` and `large_sqlite` show",
    "append": "it writes the whole state in each step, as `sqlite` and `large_sqlite` show",
    "rewrite": "it writes the whole state in each step, as `sqlite` and `large_sqlite` show",
    "peak_memory": "it writes the whole state in each step, as `sqlite` and `large_sqlite` show",
    "peak_sqlite": "it writes the whole state in each step, as `sqlite` and `large_sqlite` show",
    "branches_memory": "its parallel actions are applications of their own, run by an action that collects them",
    "branches_sqlite": "its parallel actions are applications of their own, run by an action that collects them",
    "map_memory": "its parallel actions are applications of their own, run by an action that collects them",
    "map_sqlite": "its parallel actions are applications of their own, run by an action that collects them",
    "graphs": "its `sqlite` has one application at a time",
}


async def loop(job: Job) -> float:
    return await _run(job, None)


async def memory(job: Job) -> float:
    return await _run(job, AsyncInMemoryPersister())


async def sqlite(job: Job) -> float:
    async with AsyncSQLitePersister.from_values(_file(job)) as persister:
        await persister.initialize()
        return await _run(job, persister)


async def postgresql(job: Job) -> float:
    url = urlsplit(job.postgresql)
    host = parse_qs(url.query)["host"][0]
    async with AsyncPostgreSQLPersister.from_values(
        url.path.lstrip("/"), url.username or "postgres", url.password or "", host, url.port or 5432
    ) as persister:
        await persister.initialize()
        return await _run(job, persister)


large_sqlite = sqlite
large_postgresql = postgresql


async def fill(job: Job) -> None:
    await sqlite(job.of(job.history))


async def latest(job: Job) -> float:
    async with AsyncSQLitePersister.from_values(_file(job)) as persister:
        assert await persister.load(_PARTITION, job.name)
        began = time.perf_counter()
        for _ in range(job.times):
            await persister.load(_PARTITION, job.name)
        return (time.perf_counter() - began) / job.times


async def _run(job: Job, persister: AsyncBaseStatePersister | None) -> float:
    laps = Laps()

    @action(reads=[CHANGING], writes=[CHANGING])
    async def step(state: State) -> State:
        laps.mark()
        return state.update(**{CHANGING: next_value(state[CHANGING])})

    @action(reads=[], writes=[])
    async def end(state: State) -> State:
        return state

    is_done: Any = Condition([CHANGING], lambda state: job.is_done(state[CHANGING]), name="done")
    builder = (
        ApplicationBuilder()
        .with_actions(step=step, end=end)
        .with_transitions(("step", "end", is_done), ("step", "step"))
        .with_identifiers(app_id=job.name, partition_key=_PARTITION)
        .with_state(**job.state)
        .with_entrypoint("step")
    )
    application = await (builder.with_state_persister(persister) if persister else builder).abuild()
    await application.arun(halt_after=["end"])
    return laps.seconds()


def _file(job: Job) -> str:
    file = str(job.folder / "checkpoints.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return file
