"""Cases of the proof: each is a program, and what happens to the processes that run it, all by one number."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from spark.graphs.checkpoint import InMemoryCheckpointBackend, backend_class
from spark.graphs.checkpoint.storage import CheckpointBackend
from tests.waiting.model import Expected, expected_of
from tests.waiting.programs import Chain, random_program, steps_of
from tests.waiting.real import Real
from tests.waiting.running import Ran, run_program
from tests.waiting.world import Disturbance, Kind

S3: Final = "SPARK_TEST_S3_ENDPOINT"
_URLS: Final = {"sqlite": "sqlite:///{}/checkpoints.db", "file": "file://{}/store"}
KINDS: Final[dict[Kind, int]] = {"kill": 6, "drain": 1, "stop": 1, "cancel": 1}
"""What happens to processes, each with how often it is chosen."""


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
    store: str = "memory"
    """``"sqlite"``, ``"file"`` or ``"s3"``: a new one for each run."""

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

    async def complaints(self) -> AsyncIterator[str]:
        """Each run that did not come to what the model says; the first run is without disturbances."""
        expected = expected_of(self.program)
        first = await self._run(expected, 0, [])
        if isinstance(first, str):
            yield first
            return
        cancels = any(op.kind in ("break", "hang") for step in steps_of(self.program) for op in step.ops)
        if first.ledger.may_repeat() and not cancels:
            yield f"{self}, undisturbed: calls were left under way: {first.ledger.may_repeat()}"
        for run in range(1, self.runs + 1):
            ran = await self._run(expected, run, self.disturbances(run, first.moments))
            if isinstance(ran, str):
                yield ran
        for moment in range(1, max(first.moments) + 1 if self.is_swept else 0):
            ran = await self._run(expected, 0, [Disturbance("kill", moment)])
            if isinstance(ran, str):
                yield ran

    async def _run(self, expected: Expected, run: int, disturbances: list[Disturbance]) -> Ran | str:
        """How one run went, or what was wrong with it."""
        try:
            async with opened(self.store) as store:
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


def case_of(seed: int) -> Case:
    """The case with this number: one in four is deep, one in three asynchronous, and one in ten killed at every moment."""
    random = Random(f"case {seed}")
    is_swept = random.random() < 0.1
    depth = 1 if is_swept or random.random() < 0.75 else 2
    durability = random.choice(["sync", "sync", "async"])
    store = "memory" if is_swept else random.choices(["memory", "sqlite", "file", "s3"], [70, 10, 10, 2])[0]
    if store == "s3" and S3 not in os.environ:
        store = "memory"
    return Case(seed, depth, 1 if store == "s3" else 3, is_swept, durability, store)


@asynccontextmanager
async def opened(store: str) -> AsyncIterator[CheckpointBackend]:
    """A new, empty store of this kind."""
    with TemporaryDirectory() as folder:
        async with _backend(store, folder) as backend:
            yield backend


def _backend(store: str, folder: str) -> CheckpointBackend:
    if store == "memory":
        return InMemoryCheckpointBackend()
    if store == "s3":
        from tests.plugins.support.s3.servers import given_server  # slow to import
        from tests.plugins.support.s3.stores import open_store

        server = given_server()
        assert server is not None
        return open_store(server, server.new_bucket())
    url = _URLS[store].format(folder)
    return backend_class(url).from_url(url)


def complaints_of_real(seed: int) -> list[str]:
    """What is wrong with a program that real processes ran, whose number this is."""
    random = Random(f"real {seed}")
    program, durability = random_program(random), random.choice(["sync", "sync", "async"])
    kinds = random.choices([*KINDS], [*KINDS.values()], k=random.randint(0, 3))
    disturbances = [Disturbance(kind, random.randint(1, 60)) for kind in kinds]
    shots = [random.uniform(0.0, 0.15) for _ in range(random.randint(1, 4))]
    with TemporaryDirectory() as folder:
        url = random.choice([*_URLS.values()]).format(folder)
        real = Real(program, Path(folder), url, str(seed), durability)
        try:
            wrong = real.run(disturbances, shots=shots).differences(expected_of(program))
        except AssertionError as error:
            wrong = [str(error)]
    return [f"real seed {seed}, {_shown(disturbances)}, then {len(shots)} shots: {each}" for each in wrong]
