"""Cases of the proof: each is a program, and what happens to the processes that run it, all by one number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from spark.graphs.checkpoint.storage import CheckpointBackend
from tests.waiting.model import Expected, expected_of
from tests.waiting.programs import Chain, random_program
from tests.waiting.running import Ran, run_program
from tests.waiting.world import Disturbance, Kind

KINDS: Final[dict[Kind, int]] = {"kill": 6, "drain": 1, "stop": 1, "cancel": 1}
"""What happens to processes, each with how often it is chosen."""


class OpenStore:
    """Makes a new, empty store for each run: in memory, as long as nobody says otherwise."""

    def __call__(self) -> AbstractAsyncContextManager[CheckpointBackend | None]:
        return nullcontext()


@dataclass(frozen=True)
class Case:
    """One program, run again and again."""

    seed: int
    depth: int = 1
    """How deeply it is nested."""
    runs: int = 1
    """How often it is run with random disturbances."""
    is_swept: bool = False
    """Whether it is also killed at each moment at which that is possible, one after the other."""
    durability: str = "sync"

    @property
    def program(self) -> Chain:
        """What is run."""
        return random_program(Random(self.seed), depth=self.depth)

    def disturbances(self, run: int, moments: Sequence[int]) -> list[Disturbance]:
        """What happens to the first process, the second…

        :param moments: how many each process had when nothing happened.
        """
        random, last = Random(f"{self.seed}/{run}"), max(moments) + 1
        kinds = random.choices([*KINDS], [*KINDS.values()], k=random.randint(1, 4))
        return [Disturbance(kind, random.randint(1, last)) for kind in kinds]

    async def complaints(self, open_store: OpenStore) -> AsyncIterator[str]:
        """Each run that did not come to what the model says; the first run is without disturbances."""
        expected = expected_of(self.program)
        first = await self._run(open_store, expected, 0, [])
        if isinstance(first, str):
            yield first
            return
        if first.ledger.may_repeat():
            yield f"{self}, undisturbed: calls were left under way: {first.ledger.may_repeat()}"
        for run in range(1, self.runs + 1):
            ran = await self._run(open_store, expected, run, self.disturbances(run, first.moments))
            if isinstance(ran, str):
                yield ran
        for moment in range(1, max(first.moments) + 1 if self.is_swept else 0):
            ran = await self._run(open_store, expected, 0, [Disturbance("kill", moment)])
            if isinstance(ran, str):
                yield ran

    async def _run(
        self, open_store: OpenStore, expected: Expected, run: int, disturbances: list[Disturbance]
    ) -> Ran | str:
        """How one run went, or what was wrong with it."""
        try:
            async with open_store() as store:
                random = Random(f"{self.seed}/{run}/run")
                ran = await run_program(
                    self.program, random, disturbances=disturbances, store=store, durability=self.durability
                )
        except Exception as error:
            return f"{self}, {_shown(disturbances)}: {type(error).__name__}: {error}"
        wrong = ran.differences(expected)
        return f"{self}, {_shown(disturbances)}: {'; '.join(wrong)}" if wrong else ran


def _shown(disturbances: Sequence[Any]) -> str:
    return ", ".join(f"{each.kind} at {each.moment}" for each in disturbances) or "undisturbed"
