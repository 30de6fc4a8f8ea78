"""The least that the work can cost: an await in a loop, one `to_json`, one bare durable write of the bytes that changed.

SQLite with WAL and `synchronous=FULL`, PostgreSQL with `synchronous_commit=on`, files with an fsync of file and folder: as
durable as spark-graphs, and nothing else that a checkpoint needs.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Any

from pydantic_core import to_json

from benchmarks import floors, state
from benchmarks.contest.rows import Job

NAME = "floor"
IMPORTS = "import asyncio, pydantic"
_SMALL = 10_000
_CHANGED = 101_000
"""One value of 100 KB, and a line about it."""
_CHANGE = 100
"""Bytes: a small value and its key."""


async def loop(job: Job) -> float:
    return await floors.bare_loop(job.times)


def memory(job: Job) -> float:
    return floors.bare_encode(job.state, job.times)


def sqlite(job: Job) -> float:
    return floors.bare_sqlite(job.folder / "bare.db", os.urandom(_SMALL), job.times)


def change(job: Job) -> float:
    return floors.bare_sqlite(job.folder / "bare.db", os.urandom(_CHANGE), job.times)


def short(job: Job) -> float:
    return floors.bare_sqlite(job.folder / "bare.db", os.urandom(1_000), job.times)


def graphs(job: Job) -> float:
    """So many INSERTs in each transaction."""
    seconds = floors.bare_sqlite(job.folder / "bare.db", os.urandom(_SMALL), job.times, rows=job.size)
    return seconds / job.size


def append(job: Job) -> float:
    return floors.bare_sqlite(job.folder / "bare.db", os.urandom(state.MESSAGE), job.size)


rewrite = append


async def branches_memory(job: Job) -> float:
    return await floors.bare_fan_out(job.size) / job.size


async def branches_sqlite(job: Job) -> float:
    """The tasks, and a commit for each."""
    gathered = await floors.bare_fan_out(job.size) / job.size
    return gathered + floors.bare_sqlite(job.folder / "bare.db", os.urandom(_CHANGE), job.size)


map_memory = branches_memory
map_sqlite = branches_sqlite


def peak_memory(job: Job) -> dict[str, Any]:
    """Make the state, and keep it."""
    return job.state


peak_sqlite = peak_memory


def postgresql(job: Job) -> float:
    return floors.bare_postgresql(job.postgresql, os.urandom(_SMALL), job.times, table=job.name)


def files(job: Job) -> float:
    return floors.bare_files(job.folder, os.urandom(_SMALL), job.times)


def large_sqlite(job: Job) -> float:
    whole = to_json(job.state)
    return floors.bare_sqlite(job.folder / "bare.db", os.urandom(_CHANGED), job.times, first=whole)


def large_postgresql(job: Job) -> float:
    whole = to_json(job.state)
    return floors.bare_postgresql(job.postgresql, os.urandom(_CHANGED), job.times, first=whole, table=job.name)


def fill(job: Job) -> None:
    floors.bare_sqlite(job.folder / "bare.db", os.urandom(_SMALL), job.history)


def latest(job: Job) -> float:
    return floors.bare_latest(job.folder / "bare.db", job.times)


def newest(job: Job) -> float:
    return floors.bare_newest(job.folder / "bare.db", job.times)


async def fan_out(job: Job) -> float:
    return median([await floors.bare_fan_out(job.size) for _ in range(job.times)])
