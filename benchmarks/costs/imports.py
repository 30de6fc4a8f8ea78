"""What ``import spark.graphs`` costs a program that imports asyncio and pydantic anyway, and one that does not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns


def compare(effort: Effort) -> Iterator[Comparison]:
    yield in_turns(
        lambda: _seconds("import spark.graphs") * 1e3,
        lambda: _seconds("import asyncio, pydantic") * 1e3,
        rounds=effort.rounds * 3 if effort.is_full else effort.rounds,
        work="a process that does `import spark.graphs`",
        unit="ms",
        floor_is="import asyncio, pydantic",
    )


def _seconds(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began
