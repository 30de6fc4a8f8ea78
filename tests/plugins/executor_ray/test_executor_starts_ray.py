"""A Ray that an executor starts by itself: at once, whatever ran here before, for this machine alone, and gone in the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.executor_ray.cluster import MARK, QUIET, ROOT, STARTS, processes_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PROGRAM = """
import asyncio
import os
import threading
import ray  # which reads its variables now
from ray.dag import compiled_dag_node
from spark.graphs import Graph
from spark_executor_ray import RayExecutor
from spark_testing.suites.executors import nodes
from tests.plugins.executor_ray.cluster import MARK, processes_of
from tests.plugins.support.listening import addresses_of

executor = RayExecutor(init={"num_cpus": 1, "object_store_memory": 80_000_000})  # nobody closes it

async def main():
    for start in (nodes.Echo(), nodes.Work()):
        print("ran", (await Graph(start, executor=executor).run({"a": 1})).status)
    print("listens", *addresses_of([os.getpid(), *processes_of(os.environ[MARK])]))

def ray_is_shut_down():
    print("mail", *(thread.name for thread in threading.enumerate() if "mail" in thread.name))

compiled_dag_node._shutdown_all_compiled_dags = ray_is_shut_down  # what Ray does first

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where Ray keeps its files, among them a note of a cluster that is gone."""
    with tempfile.TemporaryDirectory(prefix="sr", ignore_cleanup_errors=True) as name:
        Path(name, "ray").mkdir()
        Path(name, "ray", "ray_current_cluster").write_text("127.0.0.1:1")
        yield Path(name)


def test_without_an_address_ray_is_started_for_this_machine_alone(folder: Path) -> None:
    """By a program of ``uv run``, whose command workers would repeat in a copy of the folder, where there is no such uv."""
    variables = {name: value for name, value in os.environ.items() if name not in {*QUIET, "RAY_ADDRESS"}}
    variables |= {"RAY_TMPDIR": str(folder), MARK: str(folder), "PYTHONPATH": str(ROOT)}

    uv = os.path.relpath(shutil.which("uv", path=f"{ROOT}/.tools/bin{os.pathsep}{os.environ['PATH']}") or "uv", ROOT)
    command = [uv, "run", "--no-project", "--python", sys.executable, "python", "-c", PROGRAM]

    for _ in range(STARTS):
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
        if "timed out during startup" not in done.stderr:
            break

    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith(("ran", "listens", "mail"))]
    assert said[:3] == ["ran completed", "ran completed", "listens 127.0.0.1"]
    assert {*said[3:]} == {"mail"}  # Ray ends a process in which a thread still uses it
    assert processes_of(str(folder)) == {}
