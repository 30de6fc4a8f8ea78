"""Three real workers on one SQLite file, one of them killed: every run completes, and no step takes effect twice."""

from __future__ import annotations

import subprocess
import sys


def share(*options: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because it forks, and pytest's may have threads.
    command = [sys.executable, "-m", "tests.crash.sharing_workers", "--url", "sqlite:///{directory}/runs.db", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_every_run_is_completed_although_a_worker_is_killed() -> None:
    """The short run of `make share STORE=sqlite`."""
    done = share("--runs", "30", "--kills", "1", "--pauses", "0", "--seed", "16")

    assert done.returncode == 0, done.stderr[-2000:]
    assert "30 runs of 4 steps are complete" in done.stdout


def test_workers_that_claim_nothing_are_found_out() -> None:
    """They pay twice for what nobody disturbed."""
    done = share("--runs", "6", "--kills", "0", "--pauses", "0", "--seed", "16", "--without-claims")

    assert done.returncode != 0
    assert "none of which was killed or paused" in done.stderr
