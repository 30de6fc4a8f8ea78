"""Where a run stands: commits change it, checkpoints capture it, and its steps see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from spark.errors import RuleError, RunError, SerializationError
from spark.graphs.checkpoint.policies.metrics import metrics_in
from spark.graphs.clock import Clock
from spark.graphs.concurrency.nothing import NOTHING
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.step import AroundElsewhere, Step
from spark.graphs.engine.captured import CapturedPosition
from spark.graphs.engine.outcome import Cause, Failed, Finished, NotBegun, Outcome, Stop, Suspended
from spark.graphs.engine.spec import RunSpec
from spark.graphs.engine.waiting.attempts import Attempts
from spark.graphs.message import Message
from spark.graphs.state.frontier import Frontier
from spark.graphs.state.journal import RETRY, Entry
from spark.graphs.state.suspended import open_facts
from spark.graphs.state.token import Token
from spark.graphs.state.transactions import StateStore, StateWrites
from spark.graphs.values.failures import ItemError, add_note, error_facts
from spark.graphs.values.snapshots import Check, snapshot
from spark.graphs.values.tracked import TrackedMapping

if TYPE_CHECKING:
    from spark.graphs.events.watch import RunWatch


class RunPosition:
    """Committed state and pending work. Only commits change it, so at any moment it is a consistent snapshot.

    :param check: whether a value can be saved where the checkpoints go.
    """

    __slots__ = (
        "_nodes_with_state",
        "attempts",
        "check",
        "error",
        "frontier",
        "is_urgent",
        "iteration",
        "last_node",
        "node_states",
        "result",
        "saving_error",
        "state",
        "watch",
    )

    def __init__(
        self,
        *,
        state: StateStore,
        node_states: dict[str, StateStore],
        frontier: Frontier,
        iteration: int = 0,
        last_node: str | None = None,
        result: Message | None = None,
        error: dict[str, Any] | None = None,
        check: Check | None = None,
        attempts: Attempts | None = None,
        is_urgent: bool = False,
    ) -> None:
        self.state: StateStore = state
        self.node_states: dict[str, StateStore] = node_states
        self.frontier: Frontier = frontier
        self.iteration: int = iteration
        """How many steps were committed since the run began, counted on across a resume."""
        self.last_node: str | None = last_node
        """The key of the node whose step was committed last."""
        self.result: Message | None = result
        """What the last finishing node returned; None while none has finished."""
        self.error: dict[str, Any] | None = error
        """Why the run failed, as checkpoints record it, until the failed step is done or waits for something."""
        self.check: Check | None = check
        self.saving_error: BaseException | None = None
        """Why something could not be saved that a step waits for. It ends that step, and the run, however the step handles
        errors."""
        self.attempts: Attempts = attempts or Attempts()
        """Decides whether a failed step is executed again."""
        self.is_urgent: bool = is_urgent
        """What changed last has to be durable whatever the triggers say: a step waits for something, or has been told
        something."""
        self.watch: RunWatch | None = None
        """Those who watch the run; None while nobody does."""
        self.state.check = check
        self._nodes_with_state: TrackedMapping[StateStore] = TrackedMapping(StateStore.capture)
        for key, store in self.node_states.items():
            store.check = check
            if store.values:
                self._nodes_with_state.put(key, store)
        self._drop_old_error()

    def commit(self, step: Step, plan: NodePlan, outcome: Outcome) -> Stop | None:
        """Apply the writes of a step, its output and the tokens that follow it: all of them, or nothing.

        Returns why the run stops, if the step has not finished or can't be committed.
        """
        frontier = self.frontier
        if self.saving_error is not None:
            return Stop(Cause.SAVING, self.saving_error)
        if frontier.dropped and step.token.id in frontier.dropped:
            frontier.forget(step.token)  # its item has failed meanwhile: nothing comes of it, but it was executed
            self.iteration += 1
            _release(outcome)
            return None
        if not isinstance(outcome, Finished):
            if isinstance(outcome, Suspended):
                self._suspend(step, outcome)
                return None
            if isinstance(outcome, Failed):
                return self._fail(step, plan, outcome)
            if isinstance(outcome, NotBegun):
                return None
            return Stop(Cause.CANCELLATION, outcome.error, step)
        key, graph_writes, node_writes = plan.key, outcome.graph_writes, outcome.node_writes
        try:
            content = snapshot(outcome.output, path=plan.output, check=self.check)
            targets = plan.targets(content)
            graph_changes = graph_writes.prepare(self.state) if graph_writes is not None else None
            node_changes = node_writes.prepare(self.node_state(key)) if node_writes is not None else None
        except BaseException as error:
            _release(outcome)
            return self._fail(step, plan, Failed(error))
        # Nothing below can fail.
        if graph_changes:
            self.state.apply(graph_changes, writer=key)
        if node_changes:
            self._apply_to_node(key, node_changes)
        frontier.finish(step.token, content, targets)
        if not targets:
            self.result = Message(content=content, status="completed", node=key)
        if frontier.at_join:
            frontier.release_joins()
        self.iteration += 1
        self.last_node = key
        if self.error is not None and step.token.failures:
            self._drop_old_error()
        if self.watch is not None:
            self.watch.committed(step, graph_changes, node_changes, targets)
        if outcome.held is not None:
            outcome.held.release()
        return None

    def commit_part(self, token: Token, graph_writes: StateWrites | None, node_writes: StateWrites | None) -> bool:
        """Apply what a step has written so far that is being executed. Returns whether that changed anything.

        :raises StateConflictError: a key that it read and then set was committed by another one meanwhile.
        :raises RunError: nothing comes of the step any more.
        """
        if token.id not in self.frontier.running or token.id in self.frontier.dropped:
            raise RunError(
                f"Nothing of this step of node {token.node!r} can be committed any more: its run has ended, or the item of a map "
                "that it belongs to has failed."
            )
        graph_changes = graph_writes.prepare(self.state) if graph_writes is not None else None
        node_changes = node_writes.prepare(self.node_state(token.node)) if node_writes is not None else None
        if graph_writes is not None:
            graph_writes.restart()
        if graph_changes:
            self.state.apply(graph_changes, writer=token.node)
        if self.watch is not None:
            self.watch.committed_part(token.id, graph_changes or (), node_changes or ())
        if node_writes is not None:
            node_writes.restart()
        if node_changes:
            self._apply_to_node(token.node, node_changes)
        return bool(graph_changes or node_changes)

    def record(self, token: Token, key: str, entry: Entry) -> bool:
        """Put an entry into the journal of a step that is being executed. False if nothing comes of the step any more."""
        is_running = token.id in self.frontier.running and token.id not in self.frontier.dropped
        if is_running:
            self.frontier.note(token, key, entry)
        return is_running

    def _suspend(self, step: Step, outcome: Suspended) -> None:
        """A step waits for something outside."""
        self.frontier.suspend(step.token, outcome.waits)
        self.is_urgent = True
        if self.error is not None and step.token.failures:
            self._drop_old_error()
        if self.watch is not None and RETRY not in outcome.waits:
            self.watch.suspended(step, outcome.waits)

    def _fail(self, step: Step, plan: NodePlan, failed: Failed) -> Stop | None:
        """A step has failed. It is executed again, or its error is handled, or collected by a map; else that stops the run."""
        error, token = failed.error, step.token
        try:
            wait = self.attempts.next(step, plan, failed, before=self.frontier.journal.of(token.id).get(RETRY))
        except RuleError as rule_error:
            return self._stop(step, rule_error)
        if wait is not None:
            self._retry(step, error, wait)
            return None
        handlers = plan.handlers_of(error) if plan.handlers and isinstance(error, Exception) else ()
        if handlers:
            self._hand_over(step, error, handlers)
            return None
        item = token.item.collecting() if token.item is not None and isinstance(error, Exception) else None
        if item is None:
            return self._stop(step, error)
        if self.watch is not None:
            self.watch.failed(step, error, "collected")
        self.frontier.fail_item(token, item, ItemError.of(error, index=item.index, key=item.key, node=step.node))
        self._continue_after(step)
        return None

    def _stop(self, step: Step, error: BaseException) -> Stop:
        """A step has failed, and the run ends with that."""
        if self.watch is not None:
            self.watch.failed(step, error, "stop")
        return Stop(Cause.FAILURE, error, step)

    def _hand_over(self, step: Step, error: BaseException, handlers: Sequence[str]) -> None:
        """A step has failed, and other nodes run in its place. What it wrote is dropped."""
        if self.watch is not None:
            self.watch.failed(step, error, "handled", next=handlers)
        data = self.attempts.describe(step, error)
        del data["stack"]
        self.frontier.finish(step.token, {"error": data, "inputs": step.token.inputs}, handlers)
        self._continue_after(step)

    def _continue_after(self, step: Step) -> None:
        """A step has failed, and the run continues without it."""
        if self.frontier.at_join:
            self.frontier.release_joins()
        self.iteration += 1
        self.last_node = step.node
        self._drop_old_error()

    def _retry(self, step: Step, error: BaseException, wait: Entry) -> None:
        """A step that has failed waits for its next attempt."""
        if self.watch is not None:
            self.watch.failed(step, error, "retry")
            self.watch.retrying(step, error, wait)
        self.frontier.count_failure(step.token)
        self._suspend(step, Suspended({RETRY: wait}))

    def note_failure(self, step: Step, error: BaseException) -> None:
        """A step has failed that is executed again only when the run is resumed."""
        entry = {**self.attempts.entry_for(step, error), "over": True}
        self.frontier.count_failure(step.token)
        self.frontier.note(step.token, RETRY, entry)

    def node_state(self, key: str) -> StateStore:
        """The committed state of one node."""
        store = self.node_states.get(key)
        if store is None:
            store = self.node_states[key] = StateStore(f"node_states[{key!r}]", check=self.check)
        return store

    def capture(
        self, spec: RunSpec, *, reason: str, metadata: dict[str, Any] | None = None, remembered: Any = None
    ) -> CapturedPosition:
        """The run at its last boundary, by reference to committed values.

        :param metadata: what the user adds.
        :param remembered: what the triggers of the run remember.
        """
        result = self.result
        more: dict[str, Any] = {}
        if self.frontier.suspended_tokens:
            more = open_facts(self.frontier.suspended)
        if self.frontier.received:
            more["received"] = self.frontier.received.count
        if self.error is not None:
            more |= {**error_facts(self.error), "error": self.error}
        if spec.metrics:
            more["metrics"] = metrics_in(self.state.values, spec.metrics)
        if spec.aside:
            more["aside"] = spec.aside
        if remembered is not None:
            more["triggers"] = remembered
        if metadata is not None:
            more["metadata"] = metadata
        captured = CapturedPosition(
            spec,
            self.state.capture(),
            self._nodes_with_state.capture(),
            self.frontier.freeze(),
            result={"content": result.content, "node": result.node} if result is not None else None,
            iteration=self.iteration,
            last_node=self.last_node,
            reason=reason,
            more=more or None,
        )
        if self.watch is not None:
            captured.mark = self.watch.mark()
        return captured

    def _apply_to_node(self, key: str, changes: dict[str, Any]) -> None:
        store, tracked = self.node_states[key], self._nodes_with_state
        store.apply(changes, writer=key)
        if store.values:
            tracked.put(key, store)
        elif key in tracked.values:
            tracked.remove(key)

    def explain(self, error: BaseException) -> None:
        """Add a note that names the node that made a value which can't be saved, where that is known."""
        if isinstance(error, SerializationError) and error.path.startswith("frontier"):
            add_note(error, f"{error.path} comes from the output of node {self.last_node!r}, or of one before it.")

    def _drop_old_error(self) -> None:
        """Forget why the run failed once that step is done, or has got far enough to wait for something."""
        error, suspended = self.error, self.frontier.suspended_tokens
        if error is not None and not any(
            token.node == error.get("node") and token.failures == error.get("attempt") and token.id not in suspended
            for token in self.frontier.pending()
        ):
            self.error = None


def _release(outcome: Outcome) -> None:
    """The result of a step that is not committed is not needed any more."""
    if isinstance(outcome, Finished) and outcome.held is not None:
        outcome.held.release()


class Running(Protocol):
    """The run, as its scope knows it."""

    has_inbox: bool
    is_stopping: bool

    def is_executing(self, token: Token) -> bool:
        """Whether the current task is the one that executes this step."""

    def check_open(self) -> None:
        """See to it that something can be recorded for a step."""

    async def prepare_call(self) -> None:
        """See to it that a durable call can be recorded."""

    async def persist(self) -> None:
        """Make what was recorded by now durable."""


class RunScope:
    """What the steps of a run see of it: what is committed at the moment they read."""

    __slots__ = ("_position", "_run", "graph_id", "has_inbox", "now", "run_id", "state")

    def __init__(self, spec: RunSpec, position: RunPosition, clock: Clock, *, run: Running) -> None:
        self._position = position
        self._run = run
        self.now: Callable[[], datetime] = clock.utc_now
        self.has_inbox: bool = run.has_inbox
        self.graph_id: str = spec.graph_id
        self.run_id: str = spec.run_id
        self.state: StateStore = position.state

    @property
    def iteration(self) -> int:
        return self._position.iteration

    @property
    def is_stopping(self) -> bool:
        return self._run.is_stopping

    def node_state(self, key: str) -> StateStore:
        return self._position.node_state(key)

    def entries(self, token: Token) -> Mapping[str, Entry]:
        return self._position.frontier.journal.of(token.id)

    def is_in_step(self, token: Token) -> bool:
        return self._run.is_executing(token)

    def emit(self, step: Step, value: Any, *, is_own: bool = False) -> Awaitable[None]:
        watch = self._position.watch
        return NOTHING if watch is None else watch.emit(step, value, is_own=is_own)

    def around_call(self, step: Step, key: str) -> AbstractAsyncContextManager[Any] | None:
        watch = self._position.watch
        return None if watch is None else watch.around_call(step, key)

    def around_elsewhere(self, step: Step) -> AroundElsewhere | None:
        watch = self._position.watch
        return None if watch is None else watch.around_elsewhere(step)

    async def prepare_call(self) -> None:
        await self._run.prepare_call()

    async def record(self, token: Token, key: str, entry: Entry) -> None:
        self._run.check_open()
        if self._position.record(token, key, entry):
            await self._run.persist()

    async def commit(self, token: Token, graph_writes: StateWrites | None, node_writes: StateWrites | None) -> None:
        self._run.check_open()
        if self._position.commit_part(token, graph_writes, node_writes):
            await self._run.persist()
