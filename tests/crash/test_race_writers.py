"""The race itself, in short: each sequence has one winner, and a store that lets two win is found out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.plugins.support.s3.servers import S3Server


def run_race(server: S3Server, *options: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because it forks, and pytest's may have threads.
    store = ["--url", server.url(server.new_bucket()), "--sequences", "12"]
    command = [sys.executable, "-m", "tests.crash.race_writers", *store, *options]
    environment = {**os.environ, **server.environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)


def test_each_sequence_has_one_winner(s3_server: S3Server) -> None:
    """The short run of `make race STORE=s3`."""
    done = run_race(s3_server)

    assert done.returncode == 0, done.stderr[-2000:]
    assert "12 sequences, one winner each" in done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("bug", ["OverwritesWhenInDoubt", "SharesLargeValues"])
def test_two_winners_are_found_out(s3_server: S3Server, bug: str) -> None:
    """A harness that passes a wrong backend would prove nothing about a right one."""
    done = run_race(s3_server, "--backend", f"tests.crash.planted_s3_bugs:{bug}")

    assert done.returncode != 0
    assert "AssertionError: sequence " in done.stderr
