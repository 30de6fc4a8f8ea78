"""The loop: one step per turn, one commit per step, one boundary after each commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spark.errors import BudgetExceededError, SerializationError
from spark.graphs.checkpoint.recorder import Capture
from spark.graphs.checkpoint.triggers import Boundary
from spark.graphs.containers import PlainDict
from spark.graphs.context import NodeContext
from spark.graphs.message import Message
from spark.graphs.progress import Progress
from spark.graphs.state import StateStore
from spark.graphs.values import Check, snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.durability import SaveAtOnce
    from spark.graphs.frontier import Frontier
    from spark.graphs.tasks import Task
    from spark.graphs.topology import Topology

Saved = TypeVar("Saved")

_BREATH: Final = 0.005
"""Seconds for which steps that never really wait may keep the event loop to themselves."""


class GraphRun:
    """One call of ``graph.run()``: takes tokens from the frontier and commits their steps until nothing is left."""

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
        saving: SaveAtOnce | None,
        save_on_failure: bool,
        save_on_start: bool,
        max_concurrency: int | None,
        clock: Callable[[], float],
        iteration: int = 0,
        last_node: str | None = None,
        result: Message | None = None,
        check: Check | None = None,
    ) -> None:
        self.graph_id = graph_id
        self.run_id = run_id
        self.state = state
        self.iteration: int = iteration
        self.result = result
        """What the last finishing node returned; None while none has finished."""
        self._plans = topology.plans
        self._topology = topology
        self._node_states = node_states
        self._check = check
        for store in (state, *node_states.values()):
            store.check = check
        self._frontier = frontier
        self._budget = task.budget
        self._config = config
        self._saving = saving
        self._save_on_failure = save_on_failure
        self._save_on_start = save_on_start
        self._max_concurrency = max_concurrency or float("inf")
        self._clock = clock
        self._started = clock()
        self._breathed = self._started
        self._checkpointed = 0.0
        self._last_node = last_node
        self._current: NodeContext | None = None
        """The step that is being executed or committed."""
        self._tasks: dict[asyncio.Task[Any], NodeContext] = {}
        self._finished: deque[asyncio.Task[Any]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._own_error: Exception | None = None
        """An error that is not a node's: a checkpoint could not be saved, or the budget is used up."""

    async def run(self) -> Message:
        """Run to the end, and return the last finishing node's output.

        :raises BudgetExceededError: a limit of the task's budget was reached.
        :raises CheckpointError: a checkpoint could not be saved.
        :raises Exception: whatever a node raised, unchanged, with a note that names the checkpoint to continue from.
        """
        try:
            result = await self._run_to_the_end()
        except BaseException as error:
            await self._settle_after(error)
            raise
        if self._saving is not None:
            await self._saving.settle()
        return result

    async def _settle_after(self, error: BaseException) -> None:
        if self._saving is None:
            return
        try:
            await self._saving.settle()
        except Exception as second:
            error.add_note(f"spark-graphs: and when the run was left, {type(second).__name__}: {second}")

    async def _run_to_the_end(self) -> Message:
        try:
            if self._save_on_start and self._saving is not None:
                # Waited for whatever the durability: nothing has happened yet that could be lost.
                await self._save(self._saving.finish, reason="started")
            await self._drive_within_budget()
        except Exception as error:
            await self._stop_steps()
            await self._save_failure(error)
            raise
        except BaseException:
            await self._stop_steps()
            raise
        if self.result is None:
            self.result = Message(content=None, status="completed", node=None)
        if self._saving is not None:
            await self._save(self._saving.finish, reason="completed")
        return replace(self.result, content=snapshot(self.result.content))

    async def _drive_within_budget(self) -> None:
        seconds = self._budget.max_seconds if self._budget else None
        try:
            async with asyncio.timeout(seconds) as deadline:
                await self._drive()
        except TimeoutError as error:
            if deadline.expired():
                raise self._over_budget(f"{seconds:g} s") from error
            raise

    async def _drive(self) -> None:
        frontier = self._frontier
        if frontier and self._budget is not None:
            self._check_budget(self._clock())  # a run that is continued may have used it up before
        while frontier:
            if not frontier.running and len(frontier.waiting) == 1:
                step, output = await self._execute_alone()
            else:
                step, output = await self._execute_in_parallel()
            self._commit(step, output)
            await self._stand_at_boundary(step)

    async def _execute_alone(self) -> tuple[NodeContext, Any]:
        """The only token there is needs no task of its own."""
        token = self._frontier.start()
        step = self._current = NodeContext(self, self._plans[token.node], token)
        return step, await step.plan.execute(step)

    async def _execute_in_parallel(self) -> tuple[NodeContext, Any]:
        """Start what may start, and return the step that finishes next."""
        while self._frontier.waiting and len(self._tasks) < self._max_concurrency:
            token = self._frontier.start()
            step = NodeContext(self, self._plans[token.node], token)
            task = asyncio.create_task(step.plan.execute(step), name=f"{self.graph_id}/{token.node}")
            self._tasks[task] = step
            task.add_done_callback(self._on_finished)
        while not self._finished:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        task = self._finished.popleft()
        step = self._current = self._tasks.pop(task)
        return step, task.result()

    def _on_finished(self, task: asyncio.Task[Any]) -> None:
        self._finished.append(task)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _commit(self, step: NodeContext, output: Any) -> None:
        """State writes, node state, output and the token's successors: all together or, when anything raises, not at all."""
        plan, key = step.plan, step.plan.key
        content = snapshot(output, path=f"the output of node {key!r}", check=self._check)
        targets = plan.targets(content)
        graph_changes = step.graph_writes.prepare(writer=key) if step.graph_writes is not None else None
        node_changes = step.node_writes.prepare(writer=key) if step.node_writes is not None else None
        # Nothing below can fail.
        if graph_changes:
            self.state.apply(graph_changes, writer=key)
        if node_changes:
            self._node_states[key].apply(node_changes, writer=key)
        frontier = self._frontier
        frontier.finish(step.token)
        for branch, target in enumerate(targets):
            frontier.add(target, content, after=step.token, branch=branch, of=len(targets))
        if not targets:
            self.result = Message(content=content, status="completed", node=key)
        if frontier.held:
            frontier.release_joins()
        self.iteration += 1
        self._last_node = key

    async def _stand_at_boundary(self, step: NodeContext) -> None:
        now = self._clock()
        if self._frontier:
            if self._saving is not None and self._saving.is_due(self._boundary(step, now)):
                await self._save(self._saving.take, reason="trigger")
                self._checkpointed = now - self._started
            if self._budget is not None:
                self._check_budget(now)
        if now - self._breathed > _BREATH:
            await asyncio.sleep(0)
            self._breathed = self._clock()

    def _boundary(self, step: NodeContext, now: float) -> Boundary:
        plan = step.plan
        return Boundary(self.iteration, plan.key, plan.names, now - self._started, self._checkpointed)

    def _check_budget(self, now: float) -> None:
        budget = self._budget
        assert budget is not None
        if budget.max_iterations is not None and self.iteration >= budget.max_iterations:
            raise self._over_budget(f"{budget.max_iterations} iterations")
        if budget.max_seconds is not None and now - self._started >= budget.max_seconds:
            raise self._over_budget(f"{budget.max_seconds:g} s")

    def _over_budget(self, limit: str) -> BudgetExceededError:
        self._own_error = BudgetExceededError(
            f"The run of graph {self.graph_id!r} used up its budget of {limit} after {self.iteration} iterations, with work "
            "left. To go on from there, call run(task, resume=True) with a new budget."
        )
        return self._own_error

    async def _stop_steps(self) -> None:
        """Cancel what runs in parallel, wait until it has stopped, and count it as pending again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._finished.clear()
        self._frontier.put_back()

    async def _save_failure(self, error: Exception) -> None:
        over_budget = isinstance(error, BudgetExceededError) and error is self._own_error
        if self._saving is None or (error is self._own_error and not over_budget):
            return
        if not (self._save_on_failure or over_budget):
            return
        try:
            info = await self._save(self._saving.finish, reason="budget" if over_budget else "failed")
        except Exception as save_error:
            error.add_note(f"spark-graphs: and the graph could not be saved as it was before: {save_error}")
            return
        node = self._current.node if self._current is not None else None
        at = "" if over_budget else f" node {node!r} failed;"
        error.add_note(
            f"spark-graphs:{at} graph {self.graph_id!r} was saved as it stood, as checkpoint {info.checkpoint_id!r}; "
            "run(resume=True) or Graph.from_checkpoint() continues from there."
        )

    async def _save(self, save: Callable[[Capture], Awaitable[Saved]], *, reason: str) -> Saved:
        try:
            return await save(self.capture(reason=reason))
        except Exception as error:
            self._own_error = error
            if isinstance(error, SerializationError) and error.path.startswith("frontier"):
                error.add_note(
                    f"spark-graphs: {error.path} is in what node {self._last_node!r}, or one before it, returned."
                )
            raise

    def capture(self, *, reason: str, metadata: dict[str, Any] | None = None) -> Capture:
        """The graph at the last boundary, by reference to committed values."""
        frontier = self._frontier.to_data()
        if self.result is not None:
            frontier["result"] = {"content": self.result.content, "node": self.result.node}
        facts = PlainDict(iteration=self.iteration, last_node=self._last_node, run_id=self.run_id, reason=reason)
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
        frontier = self._frontier
        return Progress(
            iteration=self.iteration,
            last_node=self._last_node,
            running=tuple(token.node for token in frontier.running.values()),
            waiting=len(frontier.waiting) + sum(map(len, frontier.held.values())),
            checkpoint=self._saving.latest_sequence if self._saving is not None else None,
        )

    def node_state(self, key: str) -> StateStore:
        """The committed state of one node."""
        store = self._node_states.get(key)
        if store is None:
            store = self._node_states[key] = StateStore(f"node_states[{key!r}]", check=self._check)
        return store
