"""Executions of nodes whose time is limited: they fail when it is up, whether or not they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeGuard

from spark.errors import StepTimeoutError
from spark.graphs.clock import Clock
from spark.graphs.concurrency.uncancellable import wait_for_end
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import TimeLimits
from spark.graphs.definition.step import Step
from spark.graphs.engine.outcome import Cancelled, Failed, Outcome
from spark.graphs.state.step_state import Ended

_LOG = logging.getLogger("spark.graphs")

GRACE: Final = 5.0
"""Seconds that an async node gets to end after it was cancelled. When half of them are over, it is cancelled again."""


class WatchedSteps:
    """Executes the steps of nodes that have limits, or of which it counts when they began.

    :param limits: node key to its limits.
    :param execute: executes a step that is watched, and never raises.
    :param can_stop: the keys of nodes that can be stopped even if they are plain functions, because they run elsewhere.
    """

    def __init__(
        self,
        limits: Mapping[str, TimeLimits],
        clock: Clock,
        execute: Callable[[Step], Awaitable[Outcome]],
        *,
        can_stop: Collection[str] = (),
    ) -> None:
        self._limits = limits
        self._can_stop = can_stop
        self._clock = clock
        self._execute = execute
        self._abandoned: set[asyncio.Task[Outcome]] = set()
        """Executions that are still under way although their step has failed."""

    def __contains__(self, node: str) -> bool:
        return node in self._limits

    def is_watching(self, step: Step) -> TypeGuard[WatchedStep]:
        """Whether this execution is watched already."""
        return isinstance(step, WatchedStep)

    async def execute(self, step: Step, plan: NodePlan) -> Outcome:
        """Execute a step, until its time is up. Never raises."""
        began = step.scope.now()
        watched = WatchedStep(step, self._limits[plan.key], self._clock.monotonic)
        is_limited = watched.seconds_left() < float("inf")
        outcome = await (self._within_limits(watched, plan) if is_limited else self._execute(watched))
        if isinstance(outcome, Failed):
            outcome.began = began
        return outcome

    def close(self) -> None:
        """The run has ended. Those still under way are asked once more to end."""
        for task in self._abandoned:
            task.cancel()

    async def _within_limits(self, step: WatchedStep, plan: NodePlan) -> Outcome:
        step.task = task = asyncio.ensure_future(self._execute(step))
        timer: asyncio.Task[None] | None = None
        try:
            await asyncio.sleep(0)  # many end in their first turn, and need no timer
            if not task.done():
                timer = asyncio.create_task(self._until_over(step), name=f"spark-graphs: time limit of {plan.key}")
                await _first_of(task, timer)
                if not task.done():
                    return await self._over(task, step, plan, timer.exception())
        except asyncio.CancelledError as error:
            return await _stopped(task, error)
        finally:
            if timer is not None:
                timer.cancel()
        return _outcome_of(task)

    async def _until_over(self, step: WatchedStep) -> None:
        while (left := step.seconds_left()) > 0:
            await self._clock.sleep(left)

    async def _over(
        self, task: asyncio.Task[Outcome], step: WatchedStep, plan: NodePlan, broken: BaseException | None
    ) -> Outcome:
        """The time of an execution is up. From now on, nothing that it does counts.

        :param broken: what the clock raised, if it did.
        """
        why = step.why_over()
        if step.end_context is not None:
            step.end_context(plan.ended)
        if await self._ends(task, plan):
            return Failed(broken or StepTimeoutError(f"{why}."))
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        what = (
            "did not stop when it was cancelled" if self._stops(plan) else "is a plain function, which can't be stopped"
        )
        text = f"{why}. It {what}: it keeps running, and its result will be dropped."
        _LOG.warning("Graph %r: %s", step.scope.graph_id, text, extra=step.log_fields)
        return Failed(broken or StepTimeoutError(text))

    async def _ends(self, task: asyncio.Task[Outcome], plan: NodePlan) -> bool:
        """Cancel an execution. Returns whether it ends in time; one that has begun in a thread gets none."""
        task.cancel()
        await asyncio.wait([task], timeout=0)
        for _ in range(2 if self._stops(plan) else 0):
            if task.done():
                break
            grace = asyncio.create_task(self._clock.sleep(GRACE / 2), name="spark-graphs: grace period")
            try:
                await _first_of(task, grace)
            finally:
                grace.cancel()
            task.cancel()
        return task.done()

    def _stops(self, plan: NodePlan) -> bool:
        """Whether an execution can be stopped that has begun."""
        return plan.is_async or plan.key in self._can_stop


class WatchedStep(Step):
    """The execution, with its limits.

    :param monotonic: the seconds of the graph's clock.
    """

    __slots__ = ("_began", "_is_queued", "_limits", "_monotonic", "_seen", "end_context", "task")

    def __init__(self, step: Step, limits: TimeLimits, monotonic: Callable[[], float]) -> None:
        super().__init__(step.scope, step.token)
        self._limits = limits
        self._monotonic = monotonic
        self._began = self._seen = monotonic()
        self._is_queued = False
        self.end_context: Callable[[Ended], object] | None = None
        """Ends the context of the node, if it has one."""

        self.task: asyncio.Task[Any] | None = None
        """What executes the node; None if that is the task of the step."""

    def is_current(self) -> bool:
        return super().is_current() if self.task is None else asyncio.current_task() is self.task

    def beat(self) -> None:
        self._seen = self._monotonic()

    def queue(self) -> None:
        self._is_queued = True

    def begin(self) -> None:
        self._is_queued = False
        self._began = self._seen = self._monotonic()

    def when_over(self, call: Callable[[Ended], object]) -> None:
        self.end_context = call

    def is_timed(self) -> bool:
        return self._limits.timeout is not None or self._limits.idle_timeout is not None

    def deadline(self) -> float | None:
        return self._limits.timeout

    def seconds_left(self) -> float:
        """Until it is over, if it gives no further sign of life."""
        return min(self._until_timeout(), self._until_idle())

    def why_over(self) -> str:
        """Which limit it has reached, to be followed by the end of a sentence."""
        if self._until_idle() < self._until_timeout():
            return (
                f"Node {self.node!r} gave no sign of life for its idle_timeout of {self._limits.idle_timeout:g} s; call "
                "context.heartbeat() in work that takes long"
            )
        return f"Node {self.node!r} took longer than its timeout of {self._limits.timeout:g} s"

    def _until_timeout(self) -> float:
        timeout = self._limits.timeout
        return float("inf") if timeout is None else self._since(self._began) + timeout - self._monotonic()

    def _until_idle(self) -> float:
        idle = self._limits.idle_timeout
        return float("inf") if idle is None else self._since(self._seen) + idle - self._monotonic()

    def _since(self, moment: float) -> float:
        return self._monotonic() if self._is_queued else moment


async def _first_of(one: asyncio.Task[Outcome], other: asyncio.Task[None]) -> None:
    """Wait until one of them is done. Cancelling the caller cancels neither."""
    ended = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    one.add_done_callback(wake)
    other.add_done_callback(wake)
    try:
        await ended
    finally:
        one.remove_done_callback(wake)
        other.remove_done_callback(wake)


async def _stopped(task: asyncio.Task[Outcome], error: asyncio.CancelledError) -> Outcome:
    """The outcome of an execution that is cancelled as often as its step is."""
    while not task.done():
        task.cancel()
        try:
            await wait_for_end(task)
        except asyncio.CancelledError as again:
            error = again
    return Cancelled(error) if task.cancelled() else _outcome_of(task)


def _outcome_of(task: asyncio.Task[Outcome]) -> Outcome:
    return Cancelled(asyncio.CancelledError()) if task.cancelled() else task.result()
