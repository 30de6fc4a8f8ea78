"""A loop over ``resume_all`` that hands runs to Ray instead of executing them: all that it knows, it knows from the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from spark.errors import SparkError
from spark.graphs.checkpoint import CheckpointManager
from spark_executor_ray.ray_runs.beginnings import Beginnings, StoreNew
from spark_executor_ray.ray_runs.outcomes import Ended, Refusal, in_short
from spark_executor_ray.ray_runs.plan import RunPlan
from spark_executor_ray.ray_runs.worker import Ending, latest_run

_LOG: Final = logging.getLogger("spark.ray_runs")
RESUMED: Final = ("queued", "running", "waiting", "interrupted", "edited", "forked")
"""What is resumed by itself. A drained run stays where it is, until somebody resumes it or a supervisor is started anew."""
_ALL: Final = 1_000_000
"""Runs in one round: here they wait for their turn, not there."""
_TRIES: Final = 5
"""So often a run is tried that ends without a word in the store, until somebody asks for it again."""


class RunningTask(Protocol):
    """A run that Ray executes, or is about to."""

    async def ended(self) -> Ended:
        """How it left its task."""

    def cancel(self) -> None:
        """Interrupt it, if it has begun."""


class Workers(Protocol):
    """Those who execute: Ray's, or a test's."""

    @property
    def store_new(self) -> StoreNew: ...

    def execute(self, graph_id: str) -> RunningTask: ...

    async def end(self, graph_id: str, how: Ending) -> Ended: ...


@dataclass(slots=True)
class _Trouble:
    """A run that ended without a word in the store."""

    error: str
    tries: int
    sequence: int | None
    """Of its latest checkpoint: when that has moved on, it is another trouble."""
    until: float
    """It is not tried again before this time of the monotonic clock."""


class Supervisor:
    """Runs whatever can continue in the store, at most ``plan.max_running`` at a time, until it is stopped.

    :param monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        plan: RunPlan,
        workers: Workers,
        manager: CheckpointManager,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self._workers = workers
        self._manager = manager
        self._monotonic = monotonic
        self._beginnings = Beginnings(workers.store_new)
        self._turns = asyncio.Semaphore(plan.max_running)
        self._known = set[str]()
        """Runs that have their turn, or wait for it."""
        self._running = dict[str, RunningTask]()
        self._ending = set[str]()
        """Runs that are being cancelled or drained, which begin nothing meanwhile."""
        self._troubles = dict[str, _Trouble]()
        self._tasks = set[asyncio.Task[Any]]()
        self._looking = asyncio.Lock()
        """Held by the round that is reading the store."""
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()

    async def supervise(self) -> None:
        """Look through the store again and again, until ``stop``. Long runs hold up no round."""
        while not self._stop.is_set():
            if not self._looking.locked():
                self._do(self._round(RESUMED))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self.plan.poll)
            self._wake.clear()

    async def start(self) -> None:
        """Continue every run that can continue, drained ones included.

        :raises SparkError: Ray's workers can't use the factory or the store.
        """
        answer = await self._workers.store_new([])
        if isinstance(answer, Refusal):
            raise answer.error()
        self._do(self._round([*RESUMED, "drained"]))

    async def submit(self, graph_id: str, inputs: Mapping[str, Any]) -> bool:
        """Store a new run, and let it have its turn. Returns whether it was stored, as ``Graph.submit`` does.

        :raises SparkError: it could not be stored.
        """
        self.plan.check_id(graph_id)
        stored = await self._beginnings.add(graph_id, inputs)
        if stored:
            self._do(self._take_turn(graph_id))
        else:
            self.look_now()
        return stored

    def look_now(self) -> None:
        """Begin the next round without waiting for its time."""
        self._wake.set()

    async def resume(self, graph_id: str) -> None:
        """Continue a run whatever its status, unless it is complete: one that failed, was cancelled or drained."""
        self._troubles.pop(graph_id, None)
        self._do(self._take_turn(graph_id))
        await asyncio.sleep(0)  # now it is in hand

    async def cancel(self, graph_id: str) -> str:
        """Cancel a run, whether it is being executed, waits or has not begun. Returns its status then."""
        self._ending.add(graph_id)
        try:
            if (running := self._running.get(graph_id)) is not None:
                running.cancel()
                await self._until_left(graph_id)
            return await self._end(graph_id, "cancelled")
        finally:
            self._ending.discard(graph_id)

    async def drain(self, graph_id: str) -> str:
        """Stop a run at its next boundary, or keep it from continuing. Returns its status after that."""
        self._ending.add(graph_id)
        try:
            if graph_id in self._running:
                await self._manager.drain(graph_id, "drained on Ray")
                await self._until_left(graph_id)
            return await self._end(graph_id, "drained")
        finally:
            self._ending.discard(graph_id)

    async def stop(self) -> None:
        """Begin nothing more, and drain what is being executed. The store keeps what is left to do."""
        self._stop.set()
        self._wake.set()
        for graph_id in [*self._running]:
            with suppress(SparkError):
                await self._manager.drain(graph_id, "its supervisor was stopped")
        await self.stopped()

    async def stopped(self) -> None:
        """Wait for what is under way."""
        while self._tasks:
            await asyncio.wait([*self._tasks])

    def in_hand(self, graph_ids: Collection[str]) -> list[str]:
        """Those of these runs that have their turn, or wait for it, whatever the store says of them as yet."""
        return [graph_id for graph_id in graph_ids if graph_id in self._known]

    def troubles(self) -> dict[str, str]:
        """The runs that were given up, until somebody resumes them, and why."""
        return {graph_id: each.error for graph_id, each in self._troubles.items() if each.tries >= _TRIES}

    async def _round(self, statuses: Collection[str]) -> None:
        """Give every run that can continue its turn."""
        await self._looking.acquire()
        with ExitStack() as looking:
            looking.callback(self._looking.release)

            def found(graph_id: str) -> _Run:
                looking.close()
                return _Run(graph_id, self._take_turn)

            try:
                await self._manager.resume_all(found, limit=_ALL, status=statuses, prefix=self.plan.prefix)
            except SparkError as error:  # a store that can't be reached now is looked through in the next round
                _LOG.warning("The store could not be searched for runs that can continue: %s", error)

    async def _take_turn(self, graph_id: str) -> None:
        """Execute a run, when it is its turn, unless it is known already."""
        if graph_id in self._known or not self._may_run(graph_id):
            return
        self._known.add(graph_id)
        try:
            async with self._turns:
                if self._may_run(graph_id):
                    await self._note(graph_id, await self._execute(graph_id))
        finally:
            self._known.discard(graph_id)
            self._running.pop(graph_id, None)

    async def _execute(self, graph_id: str) -> Ended:
        try:
            running = self._running[graph_id] = self._workers.execute(graph_id)
            return await running.ended()
        except Exception as error:  # whatever that is, the others continue
            return Ended("broken", in_short(error))

    def _may_run(self, graph_id: str) -> bool:
        trouble = self._troubles.get(graph_id)
        is_kept = trouble is not None and (trouble.tries >= _TRIES or self._monotonic() < trouble.until)
        return not (self._stop.is_set() or graph_id in self._ending or is_kept)

    async def _note(self, graph_id: str, ended: Ended) -> None:
        """Keep in mind that a run ended without a word in the store, so that it is not tried again at once."""
        if ended.status != "broken" or graph_id in self._ending:
            self._troubles.pop(graph_id, None)
            return
        sequence = None
        with suppress(SparkError):
            run = await latest_run(self._manager.backend, graph_id)
            sequence = run.sequence if run is not None else None
        before = self._troubles.get(graph_id)
        tries = before.tries + 1 if before is not None and before.sequence == sequence else 1
        until = self._monotonic() + self.plan.poll * 2 ** (tries - 1)
        self._troubles[graph_id] = _Trouble(ended.error, tries, sequence, until)
        _LOG.warning(
            "The run of graph %r ended without a checkpoint (%d of %d times): %s", graph_id, tries, _TRIES, ended.error
        )

    async def _end(self, graph_id: str, how: Ending) -> str:
        """Let a run be saved as ended that is not executed any more; its status then. Without a run it is ``""``."""
        run = await latest_run(self._manager.backend, graph_id)
        if run is None or run.status in (how, "completed", "failed", "cancelled", "budget"):
            return run.status if run is not None else ""
        return (await self._workers.end(graph_id, how)).status

    async def _until_left(self, graph_id: str) -> None:
        if (running := self._running.get(graph_id)) is not None:
            await running.ended()

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Run:
    """A run, as far as ``resume_all`` has to know it."""

    def __init__(self, graph_id: str, take_turn: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self.graph_id = graph_id
        self._take_turn = take_turn

    async def run(self, *, resume: bool, wait: bool, claim: Any) -> None:
        """Have it executed; the worker claims it."""
        await self._take_turn(self.graph_id)

    def drain(self, reason: str, *, grace: float) -> bool:
        """Nobody asks: rounds are not stopped, the supervisor is."""
        return False
