"""Resuming what is unfinished: at start-up, or whenever something has become due. Each run is claimed before it is resumed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from spark.errors import ClaimedError, GraphDefinitionError
from spark.graphs.checkpoint.derived.claims import Claim
from spark.graphs.checkpoint.maintenance.runs import RunInfo

RECOVERED: Final = ("running", "drained", "waiting", "interrupted")
"""The statuses of runs that are resumed unless somebody asks for others."""
Outcome = TypeVar("Outcome", covariant=True)


class Resumable(Protocol[Outcome]):
    """A ``Graph``, as far as resuming needs it."""

    @property
    def graph_id(self) -> str: ...

    async def run(self, *, resume: bool, wait: bool, claim: Claim) -> Outcome: ...

    def drain(self, reason: str, *, grace: float) -> bool: ...


BuildGraph: TypeAlias = Callable[[str], Resumable[Outcome] | Awaitable[Resumable[Outcome]]]
"""Makes the graph with this id."""


@dataclass(frozen=True, slots=True)
class Recovery(Generic[Outcome]):
    """What became of the runs that were to be resumed, by graph id."""

    resumed: dict[str, Outcome] = field(default_factory=dict)
    """The ``Message`` that each run returned. It may be unfinished again: waiting for a later time, for instance."""
    failed: dict[str, Exception] = field(default_factory=dict)
    """What was raised, by the run or where its graph was to be built."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a run was left alone."""


def due_runs(
    runs: Sequence[RunInfo], *, now: datetime, news: Collection[str], stale_after: timedelta | None
) -> tuple[list[RunInfo], dict[str, str]]:
    """Those of these runs that are to be resumed now, and why others, which would be due, are left alone.

    :param news: ids of graphs to which messages were sent that their runs have not taken yet.
    :param stale_after: how old the latest checkpoint has to be of a run that nobody claims and that may be under way.
    """
    due, skipped = list[RunInfo](), dict[str, str]()
    for run in runs:
        if run.status in ("waiting", "interrupted") and not (_has_come(run.due, now) or run.graph_id in news):
            continue
        if run.owner is not None:
            skipped[run.graph_id] = f"it is being run by {run.owner!r}"
        elif run.status == "running" and stale_after and run.since and now - run.since < stale_after:
            skipped[run.graph_id] = (
                f"its latest checkpoint is younger than {stale_after}, so somebody may be running it"
            )
        else:
            due.append(run)
    return due, skipped


class Resuming(Generic[Outcome]):
    """Resumes runs, some at a time.

    :param stop: once it is set, no more are begun, and those that are under way are drained.
    :param grace: seconds that their running nodes get to finish then.
    """

    def __init__(
        self,
        build_graph: BuildGraph[Outcome],
        claim: Claim,
        recovery: Recovery[Outcome],
        *,
        stop: asyncio.Event,
        grace: float,
    ) -> None:
        self._build = build_graph
        self._claim = claim
        self._recovery = recovery
        self._stop = stop
        self._grace = grace
        self._under_way: set[Resumable[Outcome]] = set()

    async def resume(self, runs: Sequence[RunInfo], *, limit: int) -> None:
        """Resume all of them, at most so many at a time. None of them stops the others."""
        watching = asyncio.create_task(self._drain_when_stopped(), name="spark-graphs: resuming until stopped")
        waiting = iter(runs)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(limit, len(runs))):
                    group.create_task(self._resume_next(waiting), name="spark-graphs: resuming runs")
        finally:
            watching.cancel()

    async def _resume_next(self, waiting: Iterator[RunInfo]) -> None:
        for run in waiting:
            recovery, id = self._recovery, run.graph_id
            try:
                graph = await self._built(id)
                if self._stop.is_set():
                    recovery.skipped[id] = "it was not its turn yet when this was stopped"
                    continue
                self._under_way.add(graph)
                try:
                    recovery.resumed[id] = await graph.run(resume=True, wait=False, claim=self._claim)
                finally:
                    self._under_way.discard(graph)
            except ClaimedError as error:
                recovery.skipped[id] = str(error)
            except Exception as error:
                recovery.failed[id] = error

    async def _built(self, graph_id: str) -> Resumable[Outcome]:
        made: Any = self._build(graph_id)
        graph: Resumable[Outcome] = await made if inspect.isawaitable(made) else made
        if not callable(getattr(graph, "run", None)) or graph.graph_id != graph_id:
            raise GraphDefinitionError(
                f"resume_all(build_graph): for {graph_id!r} it returned {graph!r}; return a Graph with this id: "
                "Graph(start, id=graph_id, checkpoint_config=…)."
            )
        return graph

    async def _drain_when_stopped(self) -> None:
        await self._stop.wait()
        for graph in self._under_way:
            graph.drain("resume_all was stopped", grace=self._grace)


def _has_come(due: datetime | None, now: datetime) -> bool:
    return due is not None and due <= now
