"""What the first use of a backend by URL costs more than by instance, where 300 other distributions are installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns

PROGRAM = """
import sys, time
sys.path.append({site!r})
import asyncio
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint import open_backend
{first}
exit_node = ExitNode()
began = time.process_time()
{use}
print((time.process_time() - began) * 1e3)
"""
"""Prints milliseconds of the processor, which other programs of the machine disturb less than the clock's."""

FILES = ("spark_backend_file", "FileCheckpointBackend")
DATABASE = ("spark_backend_sql", "DatabaseCheckpointBackend")


def compare(effort: Effort) -> Iterator[Comparison]:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        _install(site, effort.of(300))
        yield _first_use(site, effort, f'open_backend("file://{folder}/files")', f'Backend("{folder}/files")', FILES)
        yield _first_use(site, effort, *_graphs(f"sqlite:///{folder}/runs.db"), DATABASE)


def _graphs(url: str) -> tuple[str, str]:
    graph = "Graph(start=exit_node, id='x', checkpoint_config=CheckpointConfig(backend={}))"
    return graph.format(repr(url)), graph.format(f"Backend({url!r})")


def _first_use(site: Path, effort: Effort, by_url: str, by_instance: str, home: tuple[str, str]) -> Comparison:
    module, name = home
    # The class is imported in both before the clock starts: both need it, and SQLAlchemy's import would drown the rest.
    first = f"from {module} import {name} as Backend"
    return in_turns(
        lambda: _milliseconds(PROGRAM.format(site=str(site), first=first, use=by_url)),
        lambda: _milliseconds(PROGRAM.format(site=str(site), first=first, use=by_instance)),
        rounds=effort.rounds * 3 if effort.is_full else effort.rounds,
        work=f"the first {name} of a process by URL, among 300 other distributions",
        unit="ms",
        floor_is="by instance",
    )


def _milliseconds(program: str) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _install(site: Path, count: int) -> None:
    """So many distributions that have nothing to do with us, as pip leaves them; every other one has entry points."""
    for number in range(count):
        name = f"other_{number:03}"
        folder = site / f"{name}-1.{number}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.{number}\n\n{'word ' * 1_000}"
        )
        (folder / "RECORD").write_text("".join(f"{name}/module_{file}.py,sha256=0,1\n" for file in range(50)))
        if number % 2:
            (folder / "entry_points.txt").write_text(
                f"[console_scripts]\n{name} = {name}:main\n\n[other.group]\nx = {name}\n"
            )
