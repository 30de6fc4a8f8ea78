"""Random programs come out as the model says, wherever the processes that run them are killed."""

from __future__ import annotations

from random import Random

import pytest

from tests.waiting.model import expected_of
from tests.waiting.programs import random_program
from tests.waiting.running import run_program


@pytest.mark.parametrize("seed", range(100))
async def test_a_program_ends_as_the_model_says_wherever_it_is_killed(seed: int) -> None:
    program = random_program(Random(seed))
    expected = expected_of(program)
    undisturbed = await run_program(program, Random(seed), kills=[])
    assert not undisturbed.differences(expected)
    assert not undisturbed.world.may_repeat

    random = Random(seed)
    for _ in range(4):
        kills = [random.randint(1, max(undisturbed.moments) + 1) for _ in range(random.randint(1, 4))]
        ran = await run_program(program, random, kills=kills)
        assert not ran.differences(expected), f"killed at {kills}"
