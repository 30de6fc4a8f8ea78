"""A participant's process: ``python -m benchmarks.contest.serve MODULE ROW ORDERS``, one figure as JSON for each line it reads.

Runs in the participant's own environment, so it imports the standard library only, and the one module.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from benchmarks.contest.peak import bytes_at_peak
from benchmarks.contest.rows import ROWS, Job, Row


def main() -> None:
    module_name, row_name, orders = sys.argv[1:]
    answers = _private_stdout()
    row = next(row for row in ROWS if row.name == row_name)
    job = _job(json.loads(orders))
    try:
        turn = _turns(importlib.import_module(module_name), row, job)
    except Exception as error:
        _answer(answers, _failure(error))
        return
    for line in sys.stdin:
        try:
            _answer(answers, turn(int(line)))
        except Exception as error:
            _answer(answers, _failure(error))


def _turns(module: ModuleType, row: Row, job: Job) -> Callable[[int], dict[str, Any]]:
    """What takes one turn with the work of a size, and says what it found."""
    if row.name == "imports":
        return lambda size: {"found": _seconds_of_import(module.IMPORTS)}
    work = getattr(module, row.name)
    if row.history:
        _finish(module.fill(job))
        return lambda size: {"found": _finish(work(job))}
    numbers = itertools.count(1)
    if row.is_of_memory:
        work = partial(bytes_at_peak, module.__name__, row.name)
    return lambda size: _in_new_folder(work, replace(job, name=f"bench_{next(numbers)}", size=size))


def _in_new_folder(work: Callable[[Job], Any], job: Job) -> dict[str, Any]:
    folder = job.folder / job.name
    folder.mkdir()
    found = _finish(work(replace(job, folder=folder)))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return {"found": found, "on_disk": size}


def _finish(outcome: Any) -> Any:
    return asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome


def _seconds_of_import(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


def _job(orders: dict[str, Any]) -> Job:
    return Job(**orders | {"folder": Path(orders["folder"])})


def _failure(error: Exception) -> dict[str, Any]:
    traceback.print_exc()
    first_line = (str(error).splitlines() or [""])[0]
    return {"error": f"{type(error).__name__}: {first_line}"[:300]}


def _private_stdout() -> TextIO:
    """Answers go where stdout went; what a peer prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, content: dict[str, Any]) -> None:
    print(json.dumps(content), file=answers, flush=True)


if __name__ == "__main__":
    main()
