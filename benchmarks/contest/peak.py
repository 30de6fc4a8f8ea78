"""The memory that a row's work takes at its peak, in a process that does nothing else.

The state counts, what the modules take does not: the same work, done once with little, comes before.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import resident
from benchmarks.contest.rows import Job

LITTLE = 100_000
"""Bytes of the state that the work is done with before."""


def bytes_at_peak(module: str, row: str, job: Job) -> int:
    """Do the work in a new process, and say what it took there."""
    orders = json.dumps(asdict(job) | {"folder": str(job.folder)})
    command = [sys.executable, "-m", "benchmarks.contest.peak", module, row, orders]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1])


def main() -> None:
    module, row, orders = sys.argv[1:]
    job = Job(**json.loads(orders))
    work = getattr(importlib.import_module(module), row)
    for name, size in (("little", LITTLE), ("all", job.size)):
        folder = Path(job.folder) / name
        folder.mkdir()
        before = resident.begin_again()
        _finish(work, replace(job, folder=folder, name=f"{job.name}_{name}", size=size))
    print(resident.peak() - before)


def _finish(work: Callable[[Job], Any], job: Job) -> None:
    outcome = work(job)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


if __name__ == "__main__":
    main()
