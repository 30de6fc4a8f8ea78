"""Random programs come out as the model says, wherever the processes that run them are killed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.planting import Bug, source_with
from tests.support.variants import first_of
from tests.waiting.cases import Case, complaints_of_real
from tests.waiting.planted_bugs import BUGS

PROGRAMS = 100


@pytest.mark.parametrize("lane", first_of(range(5)))
async def test_a_program_ends_as_the_model_says_whatever_happens_to_its_processes(lane: int) -> None:
    """The short run of `make prove-waiting`."""
    for seed in range(lane, PROGRAMS, 5):
        case = Case(seed, durability="async" if seed % 4 == 0 else "sync")

        assert not [complaint async for complaint in case.complaints()]


@pytest.mark.parametrize("seed", first_of([22, 13]))
def test_so_does_one_whose_processes_really_are_killed(seed: int) -> None:
    assert not complaints_of_real(seed)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """Whoever changes a line that one of them changes finds out at once, and not when all of them are planted."""
    compile(source_with(bug), bug.module, "exec")


@pytest.mark.parametrize(
    "name",
    first_of(["the journal of a step is kept when it has committed", "attempts are given anew when the run fails"]),
)
def test_the_proof_finds_a_planted_bug(name: str) -> None:
    """The cheapest ones; `make prove-waiting` plants all of them."""
    command = [sys.executable, "-m", "tests.waiting.prove", "--programs", "10", "--jobs", "1", "--plant", name]
    found = subprocess.run(command, capture_output=True, text=True)

    assert found.returncode == 1, found.stderr
    assert "Case(seed=" in found.stdout, found.stderr
