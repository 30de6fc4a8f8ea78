"""The loop: one step per turn, one commit per step, one boundary after each commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from spark.errors import BudgetExceededError, NodeError, SerializationError
from spark.graphs.checkpoint.policies.triggers import Boundary
from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.concurrency.grace_period import Outcome, outcome_of, result_of
from spark.graphs.definition.context import NodeContext
from spark.graphs.message import Message
from spark.graphs.progress import Progress
from spark.graphs.state.transactions import StateStore
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.failures import add_note
from spark.graphs.values.snapshots import Check, snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.recording.saving import SyncSaver
    from spark.graphs.clock import Clock
    from spark.graphs.concurrency.blocking import NodeThreads
    from spark.graphs.definition.topology import Topology
    from spark.graphs.state.frontier import Frontier
    from spark.graphs.tasks import Task

_BREATH: Final = 0.005
"""Seconds for which steps that never really wait may keep the event loop to themselves."""


class GraphRun:
    """The tokens of one call of ``graph.run()``, and their steps: executed, and committed one after the other.

    How it ends, and what is saved then, is the business of ``Ending``.
    """

    def __init__(
        self,
        *,
        graph_id: str,
        run_id: str,
        topology: Topology,
        state: StateStore,
        node_states: dict[str, StateStore],
        frontier: Frontier,
        task: Task,
        config: dict[str, Any],
        saving: SyncSaver | None,
        max_concurrency: int | None,
        threads: NodeThreads,
        clock: Clock,
        iteration: int = 0,
        last_node: str | None = None,
        result: Message | None = None,
        error: Any = None,
        check: Check | None = None,
    ) -> None:
        self.graph_id = graph_id
        self.run_id = run_id
        self.state = state
        self.threads: NodeThreads = threads
        """Where plain nodes are executed."""
        self.iteration: int = iteration
        self._began_at = iteration
        self.result = result
        """What the last finishing node returned; None while none has finished."""
        self.error: dict[str, Any] | None = error if isinstance(error, dict) else None
        """Why the run failed, as checkpoints tell it, as long as what failed is still to be done."""
        self.budget = task.budget
        self.frontier = frontier
        self.tasks: dict[asyncio.Task[Outcome], NodeContext] = {}
        """The steps that run in parallel, and those that have finished and wait for their commit."""
        self.current: NodeContext | None = None
        """The step that is being executed alone, or committed; None at a boundary."""
        self.is_saving = False
        """A checkpoint that was due is being saved."""
        self._saved_at: int | None = None
        """The iteration at which the last one that was due was saved."""
        self.is_stopping = False
        """The step that is being executed is the last."""
        self.is_over = False
        """Not even that one counts any more."""
        self.save_error: BaseException | None = None
        """A checkpoint could not be saved."""
        self.budget_error: BudgetExceededError | None = None
        """The budget is used up."""
        self._plans = topology.plans
        self._topology = topology
        self._node_states = node_states
        self._check = check
        for store in (state, *node_states.values()):
            store.check = check
        self._config = config
        self.saving = saving
        self._max_concurrency = max_concurrency or float("inf")
        self._most_iterations = (task.budget and task.budget.max_iterations) or float("inf")
        self._clock = clock.monotonic
        self._started = clock.monotonic()
        self._breathed = self._started
        self._checkpointed = 0.0
        self._saving_took = 0.0
        self._last_saving_took: float | None = None
        self._last_node = last_node
        self._finished: deque[asyncio.Task[Outcome]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._forget_past_error()

    async def drive(self) -> None:
        """Execute and commit steps until nothing is left.

        :raises BudgetExceededError: a limit of the task's budget was reached.
        :raises CheckpointError: a checkpoint could not be saved.
        :raises RuleError: a trigger or a retention rule raised.
        :raises BaseException: whatever a node raised; ``current`` is its step, which counts as running.
        """
        frontier = self.frontier
        if frontier and self.budget is not None:
            self._check_budget(self._clock())  # a run that is continued may have used it up before
        while frontier:
            if not frontier.running and len(frontier.waiting) == 1:
                step = self.current = self._begin()  # the only token there is needs no task of its own
                output = await step.plan.execute(step)
                if self.is_over:
                    return
            else:
                step, output = await self._execute_in_parallel()
            self._commit(step, output)
            self.current = None
            if self.is_stopping:
                return
            await self._stand_at_boundary(step)
            if self.is_stopping:  # the run was ended while a checkpoint was being saved
                return
        if self.result is None:
            self.result = Message(content=None, status="completed", node=None)

    async def finish_next(self, *, until: float) -> bool:
        """Commit the step that finishes next, and begin none; False when none is running any more, or none finishes in time.

        :param until: a time of the event loop's clock.
        :raises BaseException: as ``drive`` does.
        """
        if not self.tasks or not await self._has_finished(until=until):
            return False
        step, output = self._take_finished()
        self._commit(step, output)
        self.current = None
        now = self._clock()
        if self.saving is not None and self.saving.is_due(self._boundary(step, now)):
            await self._save(self.saving, now)
        return True

    def commit_finished(self, tell_of_failure: Callable[[NodeContext, BaseException], None]) -> None:
        """Commit every step that has run to its end by now.

        :param tell_of_failure: called with each that could not be, and why.
        """
        while self._finished:
            try:
                self._commit(*self._take_finished())
            except asyncio.CancelledError:
                pass  # it was stopped
            except BaseException as error:
                assert self.current is not None
                tell_of_failure(self.current, error)  # and keep nothing, because its traceback leads to this frame
        self.current = None

    def give_up_rest(self) -> None:
        """What has not committed by now is pending again, whatever becomes of it."""
        self.is_over = True
        self.tasks.clear()
        self.frontier.put_back()

    def over_budget(self, limit: str) -> BudgetExceededError:
        """The error for a budget that is used up."""
        self.budget_error = BudgetExceededError(
            f"The run of graph {self.graph_id!r} used up its budget of {limit} after {self.iteration} iterations, with work "
            "left. To continue from there, call run(task, resume=True) with a new budget."
        )
        return self.budget_error

    @property
    def is_saved(self) -> bool:
        """Whether a checkpoint that was due has been made at the present boundary."""
        return self._saved_at == self.iteration

    def is_where_it_began(self) -> bool:
        """Whether neither a step of this call nor anybody else has changed anything yet."""
        return self.iteration == self._began_at and not self.state.commits

    def _begin(self) -> NodeContext:
        token = self.frontier.start()
        return NodeContext(self, self._plans[token.node], token)

    async def _execute_in_parallel(self) -> tuple[NodeContext, Any]:
        """Start what may start, and return the step that finishes next."""
        tasks = self.tasks
        most = min(self._max_concurrency, self._most_iterations - self.iteration)
        while self.frontier.waiting and len(tasks) < most:
            step = self._begin()
            task = asyncio.create_task(outcome_of(step.plan.execute, step), name=f"{self.graph_id}/{step.plan.key}")
            tasks[task] = step
            task.add_done_callback(self._on_finished)
        while not self._finished:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._take_finished()

    async def _has_finished(self, *, until: float) -> bool:
        """Whether a step finishes in time."""
        loop = asyncio.get_running_loop()
        while not self._finished and loop.time() < until:
            self._wake = loop.create_future()
            timer = loop.call_at(until, self._wake_up)
            try:
                await self._wake
            finally:
                timer.cancel()
        return bool(self._finished)

    def _take_finished(self) -> tuple[NodeContext, Any]:
        task = self._finished.popleft()
        step = self.current = self.tasks.pop(task)
        try:
            return step, result_of(task)
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            raise escaped(step) from error
        finally:
            del task  # it has the error, whose traceback leads to this frame

    def _on_finished(self, task: asyncio.Task[Outcome]) -> None:
        if not self.is_over:
            self._finished.append(task)
            self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _commit(self, step: NodeContext, output: Any) -> None:
        """State writes, node state, output and the token's successors: all together or, when anything raises, not at all."""
        plan, key = step.plan, step.plan.key
        content = snapshot(output, path=plan.output, check=self._check)
        targets = plan.targets(content)
        graph_changes = step.graph_writes.prepare(self.state) if step.graph_writes is not None else None
        node_changes = step.node_writes.prepare(self.node_state(key)) if step.node_writes is not None else None
        # Nothing below can fail.
        if graph_changes:
            self.state.apply(graph_changes, writer=key)
        if node_changes:
            self._node_states[key].apply(node_changes, writer=key)
        frontier = self.frontier
        frontier.finish(step.token, content, targets)
        if not targets:
            self.result = Message(content=content, status="completed", node=key)
        if frontier.held:
            frontier.release_joins()
        self.iteration += 1
        self._last_node = key
        if self.error is not None:
            self._forget_past_error()

    def _forget_past_error(self) -> None:
        error = self.error
        if error is not None and not any(
            token.node == error.get("node") and token.failures == error.get("attempt")
            for token in self.frontier.pending()
        ):
            self.error = None

    async def _stand_at_boundary(self, step: NodeContext) -> None:
        now = self._clock()
        if self.saving is not None and self.frontier and self.saving.is_due(self._boundary(step, now)):
            await self._save(self.saving, now)
        if self.budget is not None and self.frontier:
            self._check_budget(now)
        if now - self._breathed > _BREATH:
            await asyncio.sleep(0)
            self._breathed = self._clock()

    async def _save(self, saving: SyncSaver, now: float) -> None:
        before = saving.latest
        self.is_saving = True
        try:
            await saving.take(self.capture(reason="trigger"))
        except Exception as error:
            if saving.latest is before:
                self.save_error = error
            else:
                self._saved_at = self.iteration
            self.explain(error)
            raise
        finally:
            self.is_saving = False
            self._last_saving_took = self._clock() - now
            self._saving_took += self._last_saving_took
        self._saved_at = self.iteration
        self._checkpointed = now - self._started

    def explain(self, error: Exception) -> None:
        """Say who made a value that can't be saved, where that is known."""
        if isinstance(error, SerializationError) and error.path.startswith("frontier"):
            add_note(error, f"{error.path} comes from the output of node {self._last_node!r}, or of one before it.")

    def _boundary(self, step: NodeContext, now: float) -> Boundary:
        plan = step.plan
        return Boundary(
            self.iteration,
            plan.key,
            plan.names,
            now - self._started,
            self._checkpointed,
            self._saving_took,
            self._last_saving_took,
        )

    def _check_budget(self, now: float) -> None:
        budget = self.budget
        assert budget is not None
        if budget.max_iterations is not None and self.iteration >= budget.max_iterations:
            raise self.over_budget(f"{budget.max_iterations} iterations")
        if budget.max_seconds is not None and now - self._started >= budget.max_seconds:
            raise self.over_budget(f"{budget.max_seconds:g} s")

    def capture(self, *, reason: str, metadata: dict[str, Any] | None = None) -> Capture:
        """The graph at the last boundary, by reference to committed values."""
        frontier = self.frontier.to_data()
        if self.result is not None:
            frontier["result"] = {"content": self.result.content, "node": self.result.node}
        facts: dict[str, Any] = PlainDict(
            iteration=self.iteration, last_node=self._last_node, run_id=self.run_id, reason=reason
        )
        if self.error is not None:
            facts = {**facts, "error": self.error}
        return Capture(
            graph_state=self.state.capture(),
            node_states={key: store.capture() for key, store in self._node_states.items() if store.values},
            frontier=frontier,
            topology=self._topology.to_data(),
            config=self._config,
            metadata=facts if metadata is None else {**facts, "metadata": metadata},
        )

    def progress(self) -> Progress:
        """Where the run stands right now."""
        frontier = self.frontier
        return Progress(
            iteration=self.iteration,
            last_node=self._last_node,
            running=tuple(token.node for token in frontier.running.values()),
            waiting=len(frontier.waiting) + sum(map(len, frontier.held.values())),
            checkpoint=self.saving.latest_sequence if self.saving is not None else None,
        )

    def node_state(self, key: str) -> StateStore:
        """The committed state of one node."""
        store = self._node_states.get(key)
        if store is None:
            store = self._node_states[key] = StateStore(f"node_states[{key!r}]", check=self._check)
        return store


def escaped(step: NodeContext) -> NodeError:
    """The error for a ``CancelledError`` that a node let out, although nobody cancelled it."""
    return NodeError(
        f"Node {step.node!r} ended in CancelledError, although nobody cancelled the run: a task or future that it awaited was "
        "cancelled. Catch the error where the node awaits it, or don't await what you cancel."
    )
