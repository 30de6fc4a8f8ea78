"""What a Ray cluster has to do while its processes are killed: whole runs, or the map of one; and what must be true then."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from spark.graphs.checkpoint import CheckpointManager
from tests.plugins.executor_ray.map_app import BETWEEN_CHECKPOINTS, IN_FLIGHT
from tests.plugins.executor_ray.paying_app import STEPS

TARGET = "paying_app:paying"
OPTIONS: dict[str, Any] = {"poll": 1.0, "claim_ttl": 2.0, "max_running": 8, "max_restarts": 5, "num_cpus": 0.5}


_OF_A_RAYLET = 4
"""So many plain steps are with the workers of a raylet that has one CPU, at most."""


class Work(Protocol):
    """What drivers begin, one after the other."""

    program: str
    """What a driver executes once it is connected."""
    total: int
    """So many lines of progress there are, if nothing is repeated."""

    def progress(self) -> int:
        """How many there are now."""

    async def is_complete(self) -> bool:
        """Whether all is done, once a driver has ended by itself."""

    async def complaint(self, killed: set[int], counts: dict[str, int]) -> str:
        """What went wrong, or ``""``.

        :param killed: processes; ``counts``: how many of each kind.
        """


class Ledger:
    """Who paid for what, in the order in which it was paid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def payments(self) -> Iterator[tuple[str, int, int]]:
        """Graph id, number of the step, process."""
        for line in self.path.read_text().splitlines():
            graph_id, number, process, _ = line.split()
            yield graph_id, int(number), int(process)

    def complaint(self, *, runs: int, killed: set[int]) -> str:
        """What is wrong with it, or ``""``."""
        payers = defaultdict[tuple[str, int], list[int]](list)
        for graph_id, number, process in self.payments():
            payers[graph_id, number].append(process)
        if len(payers) != runs * STEPS:
            return f"{len(payers)} of {runs * STEPS} steps were paid for"
        for (graph_id, number), processes in payers.items():
            for process in processes[:-1]:
                if process not in killed:
                    return f"step {number} of {graph_id} was paid for by {processes}, and {process} was not killed"
                if process in payers.get((graph_id, number + 1), ()):
                    return f"step {number} of {graph_id} was paid for by {processes}, after {process} had committed it"
        return ""


class Runs:
    """Whole runs, each of which pays in each of its steps."""

    def __init__(self, folder: Path, count: int) -> None:
        self.url = f"sqlite:///{folder}/runs.db"
        self.ledger = Ledger(folder / "ledger")
        self.ids = [f"run-{number:04d}" for number in range(count)]
        self.total = count * STEPS
        self.program = (
            "from pathlib import Path; from tests.crash.ray_work import submit\n"
            f"asyncio.run(submit({self.url!r}, Path({str(self.ledger.path)!r}), {self.ids!r}))"
        )
        asyncio.run(self._make_store())

    def progress(self) -> int:
        return len([*self.ledger.payments()])

    async def is_complete(self) -> bool:
        from spark_executor_ray import ray_runs

        return {run.status for run in await ray_runs.list(url=self.url)} == {"completed"}

    async def complaint(self, killed: set[int], counts: dict[str, int]) -> str:
        manager = CheckpointManager(self.url)
        async with manager.backend:
            found = await manager.runs()
            if [(run.graph_id, run.status) for run in found] != [(graph_id, "completed") for graph_id in self.ids]:
                return f"not all runs are complete: {[run for run in found if run.status != 'completed']}"
            for run in found:
                state = (await manager.load_checkpoint(run.checkpoint_id or "")).graph_state["paid"]
                if [*state] != [*range(STEPS)] or run.iteration != STEPS:
                    return f"run {run.graph_id!r} took {run.iteration} steps, and its state is {state}"
        return self.ledger.complaint(runs=len(self.ids), killed=killed)

    async def _make_store(self) -> None:
        """So that there is one to be looked at."""
        manager = CheckpointManager(self.url)
        async with manager.backend:
            await manager.runs()


async def submit(url: str, ledger: Path, runs: Sequence[str]) -> None:
    """What a driver does."""
    from spark_executor_ray import ray_runs

    for graph_id in runs:
        inputs = {"ledger": ledger, "seconds": 0.2}
        await ray_runs.submit(TARGET, graph_id=graph_id, inputs=inputs, url=url, **OPTIONS)


class Map:
    """One run with a map: a plain node and an async one for each item, which drivers execute and resume."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._items = self.total = count
        self._ledger = folder / "ledger"
        self._ledger.touch()
        self.program = f"import map_app; asyncio.run(map_app.main({str(folder)!r}, items={count}, keeps=True))"

    def progress(self) -> int:
        return self._ledger.read_bytes().count(b"\n")

    async def is_complete(self) -> bool:
        return True

    async def complaint(self, killed: set[int], counts: dict[str, int]) -> str:
        executed = [*map(int, self._ledger.read_text().split())]
        if {*executed} != {*range(self._items)}:
            return f"{self._items - len({*executed})} items were never executed"
        drivers = counts.get("driver", 0)
        most = drivers * (IN_FLIGHT + BETWEEN_CHECKPOINTS) + (sum(counts.values()) - drivers) * _OF_A_RAYLET
        if len(executed) > self._items + most:
            return f"{len(executed) - self._items} items were executed again; at most {most} were under way"
        manager = CheckpointManager(f"sqlite:///{self._folder}/runs.db")
        async with manager.backend:
            (run,) = await manager.runs()
            checkpoint = await manager.load_checkpoint(run.checkpoint_id or "")
        kept = sorted(checkpoint.graph_state["kept"])
        if run.status != "completed" or kept != [*range(self._items)]:
            return f"the run is {run.status}, and {len(kept)} of {self._items} items have taken effect"
        return ""
