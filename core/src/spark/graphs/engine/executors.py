"""Where the code of nodes runs. An executor is given one step and returns its outcome; it knows nothing of the run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.concurrency.blocking import NodeThreads, run_blocking
from spark.graphs.concurrency.uncancellable import is_being_cancelled
from spark.graphs.definition.context import NodeContext
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import TimeLimits
from spark.graphs.definition.step import StepInput
from spark.graphs.engine.outcome import Cancelled, Failed, Finished, Outcome, Suspended

if TYPE_CHECKING:
    from spark.graphs.definition.step_journal import StepJournal
    from spark.graphs.engine.time_limits import WatchedSteps


class Executor(Protocol):
    """Executes the steps of one run."""

    async def execute(self, step: StepInput) -> Outcome:
        """Execute a node to its end and return the outcome. Never raises. Cancelling the call cancels the node."""

    def close(self) -> None:
        """The run has ended: there will be no more steps."""


class LocalExecutor:
    """Executes nodes in this process: async ones on the event loop, plain ones in threads.

    :param plans: node key to how it is executed.
    :param threads: how many plain nodes may run at the same time.
    :param limits: the keys of the nodes that are watched while they run, to their limits.
    :param clock: measures them.
    """

    def __init__(
        self,
        plans: Mapping[str, NodePlan],
        *,
        threads: int,
        limits: Mapping[str, TimeLimits] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._plans = plans
        self._threads = NodeThreads(threads)
        self._watched = self._watching(limits, clock) if limits else None

    async def execute(self, step: StepInput) -> Outcome:
        plan = self._plans[step.token.node]
        process = plan.node.process
        context = NodeContext(step, self._threads) if plan.takes_context else None
        if self._watched is not None and plan.key in self._watched:
            if not self._watched.is_watching(step):
                return await self._watched.execute(step, plan)
            step.end_context = context._end if context is not None else None
        try:
            if plan.is_async:
                output = await (process() if context is None else process(context))
            else:
                output = await self._execute_in_thread(process, *(() if context is None else (context,)))
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

    def close(self) -> None:
        self._threads.end()
        if self._watched is not None:
            self._watched.close()

    def _watching(self, limits: Mapping[str, TimeLimits], clock: Clock) -> WatchedSteps:
        from spark.graphs.engine.time_limits import WatchedSteps  # most graphs set no limits

        return WatchedSteps(limits, clock, self.execute)

    async def _execute_in_thread(self, process: Callable[..., Any], *arguments: Any) -> Any:
        result = await run_blocking(copy_context().run, process, *arguments, executor=self._threads)
        return await result if inspect.isawaitable(result) else result


async def _outcome_of(journal: StepJournal, error: BaseException) -> Outcome:
    """How a step ends that raised this, once its durable calls have ended."""
    failure = journal.failure_in(error)
    if not isinstance(failure, SystemExit | KeyboardInterrupt):
        try:
            await journal.until_calls_end()
        except asyncio.CancelledError as cancelled:
            return Cancelled(cancelled)
    return Failed(failure) if failure is not None else Suspended(journal.waits)
