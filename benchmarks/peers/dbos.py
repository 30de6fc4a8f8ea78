# /// script
# dependencies = ["dbos==3.4.0", "psycopg[binary]==3.3.9"]
# ///
"""As durable as ours: SQLite with `synchronous=FULL`, and with WAL, which the benchmark turns on for it; PostgreSQL with
`synchronous_commit=on`. It stores what each step returns and restores by replaying the workflow: a step returns the whole state
of 10 KB, but of 10 MB only the value that it changed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbos import DBOS

from benchmarks import state
from benchmarks.contest.rows import Job, Laps, next_value

NAME = "DBOS"
IMPORTS = "import dbos"
LEFT_OUT = {
    "loop": "every step of a workflow is stored",
    "memory": "it stores in databases only",
    "files": "it stores in databases only",
    "latest": "it keeps outputs of steps, not states",
    "newest": "it keeps outputs of steps, not states",
    "fan_out": "every step of a workflow is stored",
    "change": "it keeps outputs of steps, not states",
    "short": "it keeps outputs of steps, not states",
    "append": "it keeps outputs of steps, not states",
    "rewrite": "it keeps outputs of steps, not states",
    "peak_sqlite": "it keeps outputs of steps, not states",
    "branches_memory": "every step of a workflow is stored",
    "branches_sqlite": "every step of a workflow is stored",
    "map_memory": "every step of a workflow is stored",
    "map_sqlite": "every step of a workflow is stored",
    "peak_memory": "it stores in databases only",
    "graphs": "its `sqlite` has one workflow at a time",
}


async def sqlite(job: Job) -> float:
    file = job.folder / "checkpoints.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return await _run(job, f"sqlite:///{file}")


async def postgresql(job: Job) -> float:
    return await _run(job, job.postgresql)


large_sqlite = sqlite
large_postgresql = postgresql


@DBOS.step()
async def _step(values: dict[str, Any], is_large: bool) -> Any:
    changed = next_value(values[state.CHANGING])
    return changed if is_large else values | {state.CHANGING: changed}


@DBOS.workflow()
async def _workflow(times: int, is_large: bool) -> float:
    laps = Laps()
    values = _job(times, is_large).state
    for _ in range(times):
        laps.mark()
        returned = await _step(values, is_large)
        values = values | {state.CHANGING: returned} if is_large else returned
    return laps.seconds()


async def _run(job: Job, url: str) -> float:
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "CRITICAL"})
    DBOS.launch()
    try:
        handle = await DBOS.start_workflow_async(_workflow, job.times, job.is_large)
        return await handle.get_result()
    finally:
        DBOS.destroy()


def _job(times: int, is_large: bool) -> Job:
    """As much of the job as a workflow is told, in plain values."""
    return replace(Job(times, Path(), "bench"), is_large=is_large)
