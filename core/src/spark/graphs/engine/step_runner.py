"""Executes the nodes of one run: a step goes in, its outcome comes out. It knows nothing of the run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.concurrency.blocking import NodeThreads, Threads, run_blocking
from spark.graphs.concurrency.uncancellable import is_being_cancelled
from spark.graphs.definition.context import NodeContext
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import TimeLimits
from spark.graphs.definition.step import Step
from spark.graphs.engine.outcome import Cancelled, Failed, Finished, Outcome, Suspended

if TYPE_CHECKING:
    from spark.graphs.definition.step_journal import StepJournal
    from spark.graphs.engine.remote import RemoteNode
    from spark.graphs.engine.time_limits import WatchedSteps
    from spark.graphs.events.watch import RunWatch


_NO_POOLS: Final[Mapping[str, Threads | None]] = {}


class StepRunner:
    """Executes nodes: async ones on the event loop, plain ones in threads, and others where their executor has them run.

    :param plans: node key to how it is executed.
    :param threads: how many plain nodes may run at the same time.
    :param limits: the keys of the nodes that are watched while they run, to their limits.
    :param clock: measures them.
    :param pools: the keys of plain nodes that run elsewhere in this process, to their threads; None for the event loop.
    :param remote: the keys of nodes that run outside of it, to what has them executed there.
    :param on_close: called when the run has ended.
    """

    def __init__(
        self,
        plans: Mapping[str, NodePlan],
        *,
        threads: int,
        limits: Mapping[str, TimeLimits] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        pools: Mapping[str, Threads | None] = _NO_POOLS,
        remote: Mapping[str, RemoteNode] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._plans = plans
        self._threads = NodeThreads(threads)
        self._pools = pools
        self._remote = remote
        self._on_close = on_close
        self._watched = self._watching(limits, clock) if limits else None
        self._has_detours = self._watched is not None or remote is not None
        self.watch: RunWatch | None = None
        """Told of each execution, while somebody watches the run."""

    def is_async(self, key: str) -> bool:
        """Whether a node is an async one."""
        return self._plans[key].is_async

    async def execute(self, step: Step, is_told: bool = False) -> Outcome:
        """Execute a node to its end and return the outcome. Never raises. Cancelling the call cancels the node.

        :param is_told: ``watch`` was told of this execution.
        """
        plan = self._plans[step.token.node]
        if (self._has_detours or self.watch is not None) and (
            detour := self._detour(step, plan, is_told=is_told)
        ) is not None:
            return await detour
        process = plan.node.process
        context = NodeContext(step, self._threads) if plan.takes_context else None
        if self._watched is not None and plan.key in self._watched:
            step.end_context = context._end if context is not None else None  # type: ignore[attr-defined]
        try:
            if plan.is_async:
                output = await (process() if context is None else process(context))
            else:
                output = await self._call(plan.key, process, *(() if context is None else (context,)))
        except asyncio.CancelledError as error:
            return Cancelled(error) if is_being_cancelled() else Failed.escaped(plan.key, error)
        except BaseException as error:  # a SystemExit that left a task would end the event loop
            if context is None or context._journal is None:
                return Failed(error)
            return await _outcome_of(context._journal, error)
        finally:
            if context is not None:
                context._end(plan.ended)
        if context is None:
            return Finished(output)
        if context._journal is not None and context._journal.waits:
            return Failed.caught(plan.key)
        return Finished(output, context._graph_writes, context._node_writes)

    def _detour(self, step: Step, plan: NodePlan, *, is_told: bool) -> Awaitable[Outcome] | None:
        """Executes the node by way of whoever limits its time, watches the run, or runs it elsewhere; None if nobody does."""
        if self._watched is not None and plan.key in self._watched and not self._watched.is_watching(step):
            return self._execute_within_limits(self._watched, step, plan)
        if self.watch is not None and not is_told:
            is_elsewhere = self._remote is not None and plan.key in self._remote
            return self.watch.execute(step, self.execute, is_elsewhere=is_elsewhere)
        if self._remote is not None and plan.key in self._remote:
            return self._remote[plan.key].execute(step, plan, is_watched=self.watch is not None)
        return None

    async def _execute_within_limits(self, watched: WatchedSteps, step: Step, plan: NodePlan) -> Outcome:
        if self.watch is not None:
            await self.watch.until_room()  # that takes nothing of its time
        return await watched.execute(step, plan)

    def close(self) -> None:
        """The run has ended: there will be no more steps."""
        self._threads.end()
        if self._watched is not None:
            self._watched.close()
        for node in (self._remote or {}).values():
            node.close()
        if self._on_close is not None:
            self._on_close()

    def _watching(self, limits: Mapping[str, TimeLimits], clock: Clock) -> WatchedSteps:
        from spark.graphs.engine.time_limits import WatchedSteps  # most graphs set no limits

        return WatchedSteps(limits, clock, self.execute, can_stop=(self._remote or {}).keys())

    async def _call(self, key: str, process: Callable[..., Any], *arguments: Any) -> Any:
        """What a plain node returns."""
        threads = self._pools.get(key, self._threads)
        if threads is None:
            result = _called_in_loop(process, *arguments)
        else:
            result = await run_blocking(copy_context().run, process, *arguments, executor=threads)
        return await (result if _is_in_loop() else _Handed(result)) if inspect.isawaitable(result) else result


class _Handed:
    """What a plain node has returned to be awaited, where no event loop runs: whoever executes the step awaits it."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Awaitable[Any], Any, Any]:
        return (yield self._awaitable)


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _called_in_loop(process: Callable[..., Any], *arguments: NodeContext) -> Any:
    """What a plain node returns that runs in the event loop, where it could not await what its context offers."""
    from spark.graphs.definition.dialogue import NoDialogue  # few nodes run so

    for context in arguments:
        context._journal = NoDialogue(context.node)  # type: ignore[assignment]
    try:
        return process(*arguments)
    finally:
        for context in arguments:
            context._journal = None


async def _outcome_of(journal: StepJournal, error: BaseException) -> Outcome:
    """How a step ends that raised this, once its durable calls have ended."""
    failure = journal.failure_in(error)
    if not isinstance(failure, SystemExit | KeyboardInterrupt):
        try:
            await journal.until_calls_end()
        except asyncio.CancelledError as cancelled:
            return Cancelled(cancelled)
    return Failed(failure) if failure is not None else Suspended(journal.waits)
