"""Resuming what is unfinished, each run claimed before it is resumed. Once; ``working.py`` does so again and again."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from spark.errors import ClaimedError, GraphDefinitionError, RunError
from spark.graphs.checkpoint.derived.claims import Claim
from spark.graphs.checkpoint.maintenance.due import due_runs, is_as_it_was
from spark.graphs.checkpoint.maintenance.runs import RunInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import Clock
from spark.graphs.concurrency.grace_period import checked_grace

Outcome = TypeVar("Outcome", covariant=True)

_FRESH: Final = 0.1
"""Seconds for which what was read of a run is taken for true. After that, another worker may have taken it up, or finished it."""
_SUSPECT: Final = 2
"""After so many restarts, a process resumes only one such run at a time."""


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
    """The result of ``resume_all``, by graph id."""

    resumed: dict[str, Outcome] = field(default_factory=dict)
    """The ``Message`` that each run returned. It may be unfinished again: waiting for a later time, for instance."""
    failed: dict[str, Exception] = field(default_factory=dict)
    """The error, of the run or of building its graph."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a run was skipped."""


def is_suspect(run: RunInfo) -> bool:
    """Whether a run may be what ends its processes, because it ended several in a row, alone or together with others."""
    return run.restarts >= _SUSPECT


class LeftAlone(Exception):
    """A run that was due is not resumed here; the text says why."""


class Resumer(Generic[Outcome]):
    """Resumes one run after the other, or several at a time, and drains them once it is to stop.

    :param method: what it is called by, for messages.
    :param claim: what runs are claimed with: a ``Claim``, or True.
    :param stop: once it is set, no more are begun, and those that are under way are drained.
    :param grace: seconds that their running nodes get to finish then.
    :raises GraphDefinitionError: one of these can't be used.
    """

    def __init__(
        self,
        method: str,
        build_graph: BuildGraph[Outcome],
        backend: CheckpointBackend,
        *,
        claim: Claim | bool,
        limit: int,
        stop: asyncio.Event | None,
        grace: float,
        clock: Clock,
    ) -> None:
        if type(limit) is not int or limit < 1:
            raise GraphDefinitionError(f"{method}(limit={limit!r}): give a whole number of at least 1.")
        self.limit = limit
        self.stop = stop or asyncio.Event()
        self._method = method
        self._build = build_graph
        self._backend = backend
        self._claim = Claim.of(claim).named()
        self._grace = checked_grace(method, grace)
        self._clock = clock
        self._under_way: set[Resumable[Outcome]] = set()

    async def resume(self, run: RunInfo, *, read_at: float) -> Outcome:
        """What the run returns.

        :param read_at: when that was read of it, by the monotonic clock.
        :raises LeftAlone: somebody else runs it, or has run it since.
        :raises Exception: it failed, or its graph could not be built.
        """
        is_fresh = self._clock.monotonic() - read_at < _FRESH
        if not is_fresh and not await is_as_it_was(self._backend, run, now=self._clock.utc_now()):
            raise LeftAlone("another worker has taken it up, or has run it since")
        try:
            return await self._resume(run.graph_id)
        except (Exception, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # sys.exit, or a panic in native code: it would end all other runs, too
            raise RunError(
                f"The code of graph {run.graph_id!r} raised {error!r}, which ends a program. Here it ended only this run. "
                "Raise an Exception instead, in nodes and in the function that makes the graph."
            ) from error

    async def _resume(self, graph_id: str) -> Outcome:
        graph = await self._built(graph_id)
        if self.stop.is_set():
            raise LeftAlone(f"{self._method} stopped before its turn")
        self._under_way.add(graph)
        try:
            return await graph.run(resume=True, wait=False, claim=self._claim)
        except ClaimedError as error:
            raise LeftAlone(str(error)) from error
        finally:
            self._under_way.discard(graph)

    async def drain_when_stopped(self) -> None:
        """Wait until this is to stop, and ask all runs that are under way to stop at their next boundary."""
        await self.stop.wait()
        for graph in self._under_way:
            graph.drain(f"{self._method} was stopped", grace=self._grace)

    async def _built(self, graph_id: str) -> Resumable[Outcome]:
        made: Any = self._build(graph_id)
        graph: Resumable[Outcome] = await made if inspect.isawaitable(made) else made
        if not callable(getattr(graph, "run", None)) or graph.graph_id != graph_id:
            raise GraphDefinitionError(
                f"{self._method}(build_graph): for {graph_id!r} it returned {graph!r}; return a Graph with this id: "
                "Graph(start, id=graph_id, checkpoint_config=…)."
            )
        return graph


async def resume_due(
    resumer: Resumer[Outcome],
    runs: Sequence[RunInfo],
    backend: CheckpointBackend,
    *,
    clock: Clock,
    stale_after: timedelta | None,
) -> Recovery[Outcome]:
    """Resume those of these runs that can continue now; ``CheckpointManager.resume_all`` says which."""
    read_at = clock.monotonic()
    due, skipped = await due_runs(runs, backend, now=clock.utc_now(), stale_after=stale_after)
    recovery: Recovery[Outcome] = Recovery(skipped=skipped)

    async def resume_next(waiting: Iterator[RunInfo]) -> None:
        for run in waiting:
            try:
                recovery.resumed[run.graph_id] = await resumer.resume(run, read_at=read_at)
            except LeftAlone as why:
                recovery.skipped[run.graph_id] = str(why)
            except Exception as error:
                recovery.failed[run.graph_id] = error

    watching = asyncio.create_task(resumer.drain_when_stopped(), name="spark-graphs: resuming until stopped")
    suspects = [run for run in due if is_suspect(run)]
    others = [run for run in due if not is_suspect(run)]
    try:
        for some, at_once in ((others, resumer.limit), (suspects, 1)):  # these take no others down with them
            waiting = iter(some)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_once, len(some))):
                    group.create_task(resume_next(waiting), name="spark-graphs: resuming runs")
    finally:
        watching.cancel()
    return recovery
