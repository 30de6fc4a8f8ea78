"""The run loop: execute a step, commit it, stand at a boundary; again, until no work is left."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from math import inf
from typing import TYPE_CHECKING, Any, Final

from spark.errors import BudgetExceededError, RuleError, RunError, StepSuspended
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.concurrency.breath import Breath
from spark.graphs.concurrency.uncancellable import is_being_cancelled
from spark.graphs.definition.step import Step
from spark.graphs.engine.autosave import Autosave
from spark.graphs.engine.outcome import Cause, Drain, NotBegun, Outcome, Stop
from spark.graphs.engine.parallel import ParallelSteps
from spark.graphs.engine.position import RunPosition, RunScope
from spark.graphs.engine.spec import RunSpec, Services
from spark.graphs.message import Message
from spark.graphs.progress import MapProgress, Progress
from spark.graphs.state.token import Token

if TYPE_CHECKING:
    from spark.graphs.engine.waiting.requests import RunRequests
    from spark.graphs.engine.waiting.waits import Waits
    from spark.graphs.events.watch import RunWatch

_MANY: Final = 128
"""Steps that are started before the event loop is asked whether some have ended."""


class GraphRun:
    """One call of ``graph.run()`` while it takes steps. ``Ending`` decides how it ends and what is saved then."""

    def __init__(self, spec: RunSpec, position: RunPosition, services: Services) -> None:
        self.spec = spec
        self.position = position
        self.services = services
        self.autosave: Autosave | None = None
        if services.saver is not None:
            self.autosave = Autosave(services.saver, services.trigger, spec, position, services.clock)
        self.parallel = ParallelSteps(services.runner, graph_id=spec.graph_id)
        self.watch: RunWatch | None = None
        """Those who watch the run; None while nobody does."""
        self._waits: Waits | None = None
        self.is_stopping = False
        """Nothing new begins: the steps that are being executed are the last."""
        self.draining: Drain | None = None
        """The run was asked to stop at a boundary."""
        self.is_over = False
        """Nothing is committed any more."""
        self._is_on_record = spec.is_resumed
        """The store knows the id of the run."""
        self._put_off = 0
        """How many boundaries ago it became urgent to save."""
        self.driver: asyncio.Task[Any] | None = None
        """The task that takes the steps."""
        self._plans = spec.topology.plans
        self.has_inbox: bool = services.backend is not None
        """Messages can be sent to its graph."""
        self.began_at: int = position.iteration
        """How many steps were committed before."""
        self._most_steps = spec.max_concurrency or inf
        self._most_iterations = (spec.budget and spec.budget.max_iterations) or inf
        self._clock = services.clock.monotonic
        self._started = self._clock()
        self.requests: RunRequests | None = None
        """What comes from other processes; None where nothing can."""
        if services.backend is not None:
            from spark.graphs.engine.waiting.requests import RunRequests

            self.requests = RunRequests(spec, services)
        self._breath = Breath(self._clock)

    async def drive(self) -> Stop | None:
        """Take steps until no work is left, or until something stops the run. Never raises."""
        try:
            stop = await self._take_steps()
        except asyncio.CancelledError as error:
            return Stop(Cause.CANCELLATION, error)
        except BaseException as error:  # a SystemExit that left a task would end the event loop
            return Stop(Cause.FAILURE, error)
        if stop is not None and not is_being_cancelled():
            return stop.as_failure()  # a node that runs in parallel cancelled its own task
        return stop

    async def _take_steps(self) -> Stop | None:
        position, plans, execute = self.position, self._plans, self.services.runner.execute
        scope = RunScope(self.spec, position, self.services.clock, run=self)
        frontier, commit, autosave, clock = position.frontier, position.commit, self.autosave, self._clock
        waiting, running, groups = frontier.waiting, frontier.running, frontier.groups
        suspended = frontier.suspended_tokens
        has_budget = self.spec.budget is not None
        lease, requests = self.services.lease, self.requests
        breath = self._breath
        if self.is_stopping:
            return None
        if lease is not None and (error := lease.check_restarts()) is not None:
            return Stop(Cause.FAILURE, error)
        stop = self._check_budget(clock())  # a run that is continued may have used it up before
        while (waiting or running or suspended) and stop is None:  # when nothing else is left, joins are released
            if lease is not None and clock() >= lease.valid_until:
                if (lost := await lease.renew()) is not None:
                    return Stop(Cause.SAVING, lost)
                if self.is_stopping:
                    return None
            if suspended:
                waits = self._open_waits()
                if waits.should_look(is_idle=not waiting and not self.parallel.have_ended):
                    await waits.look()
                    if waits.inbox.has_request and requests is not None:
                        await requests.look()
                    if self.is_stopping:
                        return None
                waits.resume_due()
                if not waiting and not running:
                    if not waits.go_on_by_themselves():
                        return Stop(Cause.PAUSE, StepSuspended())
                    if self.watch is not None:
                        self.watch.waits(frontier.suspended.next_due())
            if len(waiting) == 1 and not running and not groups and not suspended:  # it needs no task of its own
                step = Step(scope, frontier.start())
                outcome = await execute(step)
                if self.is_over:
                    return None
            else:
                ended = await self._next_in_parallel(scope)
                if ended is None:
                    if self.is_stopping:
                        return None
                    stop = self._check_budget(clock()) if has_budget else None  # time has passed
                    continue
                step, outcome = ended
            plan = plans[step.token.node]
            stop = commit(step, plan, outcome)
            del outcome  # if it holds an error, the traceback may keep this frame alive
            if stop is not None or self.is_stopping:
                return stop
            now = clock()
            if autosave is not None and (self._is_urgent() or autosave.is_due(plan, now)):
                stop = await autosave.save(plan, now)
                if requests is not None and now >= requests.look_at and stop is None:
                    await requests.look()
                if self.is_stopping:  # the run was ended meanwhile
                    return stop
            if has_budget and stop is None:
                stop = self._check_budget(now)
            if now > breath.due:
                await breath.take()
                if self.watch is not None:
                    await self.watch.until_room()
                if self.is_stopping:
                    return stop
        if not frontier and position.result is None:
            position.result = Message(content=None, status="completed", node=None)
        return stop

    def open_watch(self, *, sees_steps: bool = True) -> RunWatch:
        """What tells those who watch the run, from now on at the latest.

        :param sees_steps: of each step and checkpoint, and not only how the run begins and ends.
        """
        saver = self.services.saver
        if self.watch is None:
            from spark.graphs.events.watch import RunWatch  # most runs are watched by nobody

            self.watch = RunWatch(
                graph_id=self.spec.graph_id,
                run_id=self.spec.run_id,
                standing=self.position,
                clock=self.services.clock,
                holds=saver is not None and self.spec.checkpoint_config.durability == "sync",
                behind=self._breath.hurry,
            )
        if sees_steps:
            self.position.watch = self.services.runner.watch = self.watch
            if saver is not None:
                saver.watch_with(self.watch)
        return self.watch

    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self._started

    @property
    def waits(self) -> Waits | None:
        """What suspended steps wait for; None while there has been none."""
        return self._waits

    def _is_urgent(self) -> bool:
        """Whether to save whatever the triggers say. What has ended by now is committed before: one save does for all."""
        if not self.position.is_urgent:
            return False
        self._put_off += 1
        if self.parallel.have_ended and self._put_off < _MANY:
            return False
        self._put_off = 0
        return True

    def close(self) -> Collection[asyncio.Task[None]]:
        """It takes no more steps. Returns what still has to end."""
        self.driver = None  # it leads back here; without the cycle, no garbage collector is needed
        waits, self._waits = self._waits, None
        return waits.close() if waits is not None else ()

    def _open_waits(self) -> Waits:
        if self._waits is None:
            from spark.graphs.engine.waiting.waits import Waits  # most runs never wait for anything outside

            self._waits = Waits(self.spec, self.position.frontier, self.services, wake=self.parallel.wake)
        return self._waits

    def stop_at_boundary(self, request: Drain) -> None:
        """Start nothing new: the driver returns at the next boundary, if it is woken. May be called from any thread."""
        self.draining = self.draining or request
        self.is_stopping = True

    def _check_budget(self, now: float) -> Stop | None:
        budget = self.spec.budget
        if budget is None or not self.position.frontier:
            return None
        if self.position.iteration >= self._most_iterations:
            return self.over_budget(f"{budget.max_iterations} iterations")
        if budget.max_seconds is not None and now - self._started >= budget.max_seconds:
            return self.over_budget(f"{budget.max_seconds:g} s")
        return None

    def over_budget(self, limit: str) -> Stop:
        """The budget is used up."""
        return Stop(
            Cause.BUDGET,
            BudgetExceededError(
                f"The run of graph {self.spec.graph_id!r} used up its budget of {limit} after {self.position.iteration} "
                "iterations, with work left. To continue from there, call run(task, resume=True) with a new budget."
            ),
        )

    async def _next_in_parallel(self, scope: RunScope) -> tuple[Step, Outcome] | None:
        """Start the steps that may start, and return the next one that ends; None if a suspended one may continue before.

        Of thousands, those that have ended are taken before more are started, so that quick ones don't all become tasks at once.
        All do that wait for something, which may be each other.
        """
        frontier, parallel, started = self.position.frontier, self.parallel, 0
        most = min(self._most_steps, self._most_iterations - self.position.iteration)
        while frontier.waiting and len(parallel) < most and not (parallel.have_ended and len(parallel) >= _MANY):
            parallel.start(Step(scope, frontier.start()))
            started += 1
            if started % _MANY == 0:
                await asyncio.sleep(0)  # they begin, and some may end
                if self.is_stopping:
                    return None
        return await parallel.next()

    async def commit_next(self) -> Stop | None:
        """Commit a step that has ended, and save if that is due, but start none. Returns what prevents that."""
        step, outcome = self.parallel.take()
        plan, now = self._plans[step.node], self._clock()
        stop = self.position.commit(step, plan, outcome)
        if stop is not None or self.autosave is None or isinstance(outcome, NotBegun):
            return stop
        try:
            is_due = self.position.is_urgent or self.autosave.is_due(plan, now)
        except RuleError as error:
            return Stop(Cause.FAILURE, error)
        return await self.autosave.save(plan, now) if is_due else None

    def is_executing(self, token: Token) -> bool:
        """Whether the current task is the one that executes this step, and not a task that the step has made."""
        task = asyncio.current_task()
        step = self.parallel.step_of(task)
        return step.token is token if step is not None else task is self.driver

    async def prepare_call(self) -> None:
        """See to it that a durable call can be recorded, and that it has the same idempotency key when it is repeated."""
        self.check_open()
        if not self._is_on_record:
            await self.persist()
            self._is_on_record = True

    def check_open(self) -> None:
        """See to it that something can be recorded for a step.

        :raises RunError: the run has ended, or this is another event loop.
        :raises CheckpointError: something could not be saved before, so that the run ends with this step.
        """
        if self.driver is None or asyncio.get_running_loop() is not self.driver.get_loop():
            raise RunError(
                f"A step of graph {self.spec.graph_id!r} uses its context in another event loop than that of the run. Make the "
                "node async, and await its calls there."
            )
        if self.is_over:
            raise RunError(
                f"The run of graph {self.spec.graph_id!r} has ended, and did not wait for this step any longer. What it does "
                "from now on is lost; the step is repeated when the run is resumed."
            )
        if self.position.saving_error is not None:
            raise self.position.saving_error

    async def persist(self) -> None:
        """Make what was recorded by now durable, for a step that waits for it."""
        if self.autosave is None:
            return
        try:
            await self.autosave.persist()
        except Exception as error:
            self.position.saving_error = error
            raise

    def commit_ended(self) -> list[Stop]:
        """Commit every step that has ended by now. Returns the failures."""
        failed = []
        while self.parallel.have_ended:
            step, outcome = self.parallel.take()
            stop = self.position.commit(step, self._plans[step.node], outcome)
            if stop is not None and stop.cause is Cause.FAILURE:
                failed.append(stop)
        return failed

    def still_running(self, tasks: Collection[asyncio.Task[Any]]) -> list[str]:
        """The keys of the nodes that tasks which don't end are executing."""
        if self.parallel:
            return self.parallel.nodes(tasks)
        return [token.node for token in self.position.frontier.running.values()] if tasks else []

    def requeue_uncommitted(self) -> None:
        """All work that is not committed is pending again; steps that are still running no longer count."""
        self.is_over = True
        self.parallel.abandon()
        self.position.frontier.requeue_running()

    def is_where_it_began(self) -> bool:
        """Whether nothing has changed since the run began."""
        return self.position.iteration == self.began_at and not self.position.state.commits

    def capture(self, *, reason: str, metadata: dict[str, Any] | None = None) -> Capture:
        """The run at its last boundary, by reference to committed values."""
        remembered = self.services.trigger.memory()
        return self.position.capture(self.spec, reason=reason, metadata=metadata, remembered=remembered)

    def capture_end(self, *, reason: str) -> Capture:
        """The same for the checkpoint with which it begins or ends, of which triggers are notified."""
        plan = self._plans.get(self.position.last_node or "")
        if self.autosave is not None and plan is not None:
            self.autosave.note_end(plan)
        self.position.is_urgent = False
        return self.capture(reason=reason)

    def progress(self) -> Progress:
        """Where the run is right now."""
        from spark.graphs.state.census import take_census  # most runs are never asked

        frontier, saver = self.position.frontier, self.services.saver
        census = take_census(frontier)
        return Progress(
            iteration=self.position.iteration,
            last_node=self.position.last_node,
            running=tuple([token.node for token in frontier.running.values()]),
            waiting=census.waiting,
            checkpoint=saver.latest_sequence if saver is not None else None,
            maps=tuple(MapProgress(*edge, *counts) for edge, counts in census.maps.items()),
            suspended=census.suspended,
            waits=census.waits,
            at_joins=census.at_joins,
        )
