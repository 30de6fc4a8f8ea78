"""A worker in the test's own process, with a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from spark.errors import BackendError
from spark.graphs import Graph, Message, NodeContext
from spark.graphs.checkpoint import CheckpointManager, Claim, InMemoryCheckpointBackend, RunInfo
from spark.graphs.checkpoint.derived.claims import Lease
from spark_testing.clock import FakeClock
from tests.support.running import Does, every_step

Work = Callable[[NodeContext], Any]


class Store(InMemoryCheckpointBackend):
    """Counts the headers that are read, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.is_away = False
        self.cost: Callable[[str], object] = lambda prefix: None
        """Called with the beginning of graph ids whose latest records are asked for: what takes time."""

    async def latest_headers(self, graph_ids: Any) -> Any:
        if self.is_away:
            raise BackendError("the store is away")
        self.read += len(graph_ids)
        return await super().latest_headers(graph_ids)

    async def latest_runs(self, prefix: str = "", **options: Any) -> Any:
        self.cost(prefix)
        return await super().latest_runs(prefix, **options)


class Clock(FakeClock):
    """Knows whether anybody has begun to wait since it was moved."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = asyncio.Event()

    def advance(self, seconds: float) -> None:
        self.is_waited_for.clear()
        super().advance(seconds)

    async def sleep(self, seconds: float) -> None:
        self.is_waited_for.set()
        await super().sleep(seconds)


class Service:
    """A process that runs graphs of one step."""

    def __init__(self, work: Work = lambda context: "done", store: Store | None = None) -> None:
        self.store = store or Store()
        self.clock = Clock()
        self.manager = CheckpointManager(self.store, clock=self.clock)
        self.stop = asyncio.Event()
        self.told = asyncio.Queue[tuple[str, Any]]()
        self._work = work
        self._worker: asyncio.Task[None] | None = None

    def build(self, graph_id: str) -> Graph:
        return Graph(
            Does(self._work, name="work"), id=graph_id, checkpoint_config=every_step(self.store), clock=self.clock
        )

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        if self._worker is not None:
            with suppress(asyncio.CancelledError):
                await self._worker

    def begin(self, **options: Any) -> None:
        """Let the worker work."""
        self._worker = asyncio.create_task(self.work(**options))

    async def work(self, **options: Any) -> None:
        await self.manager.work(self.build, stop=self.stop, tell=self._tell, **options)

    def _tell(self, run: RunInfo, outcome: Message | Exception | str | None) -> None:
        self.told.put_nowait((run.graph_id, outcome))

    async def ended(self) -> tuple[str, Any]:
        """The next run that ended, and how."""
        while True:
            graph_id, outcome = await asyncio.wait_for(self.told.get(), 60)
            if outcome is not None:
                return graph_id, outcome

    async def die_holding(self, graph_id: str, *, ttl: float = 30) -> None:
        """Leave the claim of a worker that was killed."""
        claim = Claim(owner="dead", ttl=ttl)
        lease = Lease(claim, self.store, graph_id, clock=self.clock, random=Random(1), on_lost=print)
        await lease.take()
        lease._beating.cancel()  # type: ignore[union-attr]

    async def quiet(self) -> None:
        """Return once the worker waits, which it does again whenever it was woken."""
        await asyncio.wait_for(self.clock.is_waited_for.wait(), 60)
        for _ in range(50):
            await asyncio.sleep(0)
