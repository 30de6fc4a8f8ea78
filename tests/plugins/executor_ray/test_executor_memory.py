"""Ray's memory monitor kills what takes too much: that costs an attempt, which says so; and a whole run continues."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.executor_ray.cluster import ROOT, ClusterProcess, environment_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
HERE = Path(__file__).parent
ROOM = 3_000_000_000
"""Bytes that everything on this machine may take more than now before Ray kills a worker."""


@pytest.fixture
def cluster() -> Iterator[ClusterProcess]:
    """One that tolerates little more than what this machine uses now."""
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    threshold = (get_used_memory() + ROOM) / get_system_memory()
    settings = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    process = ClusterProcess(2, paths=[HERE, ROOT], settings=settings)
    yield process
    process.close()


def test_a_worker_that_is_killed_for_its_memory_costs_one_attempt_that_says_so(
    cluster: ClusterProcess, tmp_path: Path
) -> None:
    program = f"import asyncio, hungry_app; asyncio.run(hungry_app.main({str(tmp_path)!r}))"

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=HERE,
        env=environment_for(cluster.address),
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for node in ("Eats", "EatsInActor"):
        said = f"failed 1 WorkerLostError Ray killed the worker that executed node '{node}' (attempt 1)"
        assert any(line.startswith(said) and "ran out of memory" in line for line in lines), done.stdout
        assert f"{node} done" in lines
    assert lines[-1] == "run completed"
