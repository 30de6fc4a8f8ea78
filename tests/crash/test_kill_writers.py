"""The crash harness itself, in short: it accepts the file backend, and refuses each planted bug."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.plugins.support.s3.servers import S3Server
from tests.support.variants import first_of


def run_harness(*options: str, server: S3Server | None = None) -> subprocess.CompletedProcess[str]:
    # In a process of its own, because it forks, and pytest's may have threads.
    command = [sys.executable, "-m", "tests.crash.kill_writers", *options]
    environment = {**os.environ, **(server.environment if server else {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)


SQLITE = ("--url", "sqlite:///{directory}/checkpoints.db")


@pytest.mark.parametrize("store", first_of([pytest.param(SQLITE, id="sqlite"), pytest.param((), id="file")]))
def test_nothing_acknowledged_is_lost_when_writers_are_killed(store: tuple[str, ...]) -> None:
    """The short run of `make crash`."""
    done = run_harness("--kills", "6", "--seed", "20261123", *store)

    assert done.returncode == 0, done.stderr[-2000:]
    assert "6 kills (seed 20261123)" in done.stdout


@pytest.mark.thorough
def test_nothing_acknowledged_in_s3_is_lost_when_writers_are_killed(s3_server: S3Server) -> None:
    """The short run of `make crash STORE=s3`."""
    url = s3_server.url(s3_server.new_bucket())

    done = run_harness(
        "--kills", "3", "--seed", "20261124", "--url", url, "--longest", "0.2", "--acks", "15", server=s3_server
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "3 kills (seed 20261124)" in done.stdout


@pytest.mark.thorough
def test_nothing_acknowledged_is_lost_where_checkpoints_are_saved_beside_the_run() -> None:
    done = run_harness("--kills", "8", "--seed", "20261124", *SQLITE, "--durability", "async")

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "bug", ["AcknowledgesEarly", "WritesInPlace", "DropsSome", "WritesValuesLast", "CollectsTooMuch"]
)
def test_harness_finds_a_planted_bug(bug: str) -> None:
    """A harness that passes a wrong backend would prove nothing about a right one."""
    done = run_harness("--kills", "150", "--seed", "6", "--backend", f"tests.crash.planted_bugs:{bug}")

    assert done.returncode != 0
    assert "AssertionError: after kill" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("bug", "seed"),
    [
        ("RetiresTooEarly", 6),
        ("KeepsReferences", 6),
        ("CollectsWhatIsBeingWritten", 6),
        ("DeletesChunksFirst", 6),
        ("MixesWriters", 6),
        # Neither needs a kill to do harm: histories that nobody interrupts find both by default.
        ("ForgetsRemoved", 8),  # shows in a few only, in which it shows at once
        ("LosesOneOfMany", 6),
    ],
)
def test_harness_finds_a_mistake_with_chunks(bug: str, seed: int) -> None:
    """Mistakes of the core: the store does what it is told."""
    done = run_harness("--kills", "60", "--seed", str(seed), "--backend", f"tests.crash.planted_chunk_bugs:{bug}")

    assert done.returncode != 0
    assert "AssertionError: after kill" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("bug", ["AcknowledgesEarly", "CommitsTwice", "PrunesFirst"])
def test_harness_finds_a_planted_bug_in_a_database(bug: str) -> None:
    planted = f"tests.crash.planted_sql_bugs:{bug}"

    done = run_harness("--kills", "150", "--seed", "2", "--alone", *SQLITE, "--backend", planted)

    assert done.returncode != 0
    assert "AssertionError: after kill" in done.stderr
