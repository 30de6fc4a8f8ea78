"""Random programs come out as the model says, wherever the processes that run them are killed."""

from __future__ import annotations

import pytest

from tests.waiting.cases import Case, OpenStore

PROGRAMS = 100


@pytest.mark.parametrize("lane", range(5))
async def test_a_program_ends_as_the_model_says_whatever_happens_to_its_processes(lane: int) -> None:
    """The short run of `make prove-waiting`."""
    for seed in range(lane, PROGRAMS, 5):
        case = Case(seed, durability="async" if seed % 4 == 0 else "sync")

        assert not [complaint async for complaint in case.complaints(OpenStore())]
