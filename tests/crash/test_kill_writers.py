"""The crash harness itself, in short: it accepts the file backend, and refuses each planted bug."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run_harness(*options: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because it forks, and pytest's may have threads.
    command = [sys.executable, "-m", "tests.crash.kill_writers", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


SQLITE = ("--url", "sqlite:///{directory}/checkpoints.db")


@pytest.mark.parametrize("store", [(), SQLITE], ids=["file", "sqlite"])
def test_nothing_acknowledged_is_lost_when_writers_are_killed(store: tuple[str, ...]) -> None:
    """The short run of `make crash`."""
    done = run_harness("--kills", "40", "--seed", "20261123", *store)

    assert done.returncode == 0, done.stderr[-2000:]
    assert "40 kills (seed 20261123)" in done.stdout


def test_nothing_acknowledged_is_lost_where_checkpoints_are_saved_beside_the_run() -> None:
    done = run_harness("--kills", "20", "--seed", "20261124", *SQLITE, "--durability", "async")

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "bug", ["AcknowledgesEarly", "WritesInPlace", "DropsSome", "WritesValuesLast", "CollectsTooMuch"]
)
def test_harness_finds_a_planted_bug(bug: str) -> None:
    """A harness that passes a wrong backend would prove nothing about a right one."""
    done = run_harness("--kills", "150", "--seed", "5", "--backend", f"tests.crash.planted_bugs:{bug}")

    assert done.returncode != 0
    assert "AssertionError: after kill" in done.stderr


@pytest.mark.parametrize("bug", ["AcknowledgesEarly", "CommitsTwice", "PrunesFirst"])
def test_harness_finds_a_planted_bug_in_a_database(bug: str) -> None:
    done = run_harness("--kills", "150", "--seed", "5", *SQLITE, "--backend", f"tests.crash.planted_sql_bugs:{bug}")

    assert done.returncode != 0
    assert "AssertionError: after kill" in done.stderr
