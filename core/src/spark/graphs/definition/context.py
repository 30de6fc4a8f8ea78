"""What a node gets to see and to change: the context of one step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, overload

from spark.errors import RunError
from spark.graphs.concurrency.blocking import Threads
from spark.graphs.definition.step import Step
from spark.graphs.state.journal import RETRY
from spark.graphs.state.step_state import Ended, GraphState, NodeState
from spark.graphs.state.transactions import StateTransaction
from spark.graphs.state.updates import MISSING
from spark.graphs.values.failures import FailedAttempt
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.definition.calls import DurableCalls, P, RecordErrors, T
    from spark.graphs.definition.dialogue import Dialogue

_UNREAD: Final = object()


class NodeContext:
    """One execution of one node. It belongs to that execution: don't keep it for later."""

    __slots__ = (
        "_ended",
        "_graph_state",
        "_graph_writes",
        "_inputs",
        "_journal",
        "_node_writes",
        "_state",
        "_step",
        "_threads",
    )

    def __init__(self, step: Step, threads: Threads | None = None) -> None:
        self._step = step
        self._threads = threads
        self._ended: Ended | None = None
        """What its state has become, once the step has ended."""
        self._inputs: Any = _UNREAD
        self._graph_state: GraphState | None = None
        self._state: NodeState | None = None
        self._graph_writes: StateTransaction | None = None
        """What this step read and wrote of the graph's state; None while it touched nothing."""
        self._node_writes: StateTransaction | None = None
        """The same for the node's own state."""
        self._journal: Dialogue | None = None
        """What this step has asked the world outside; None while it asked nothing."""

    @property
    def inputs(self) -> Any:
        """What arrived, as your own copy: the content of the output that led here, or the task's inputs at the start.

        In a ``JoinNode`` it is the list of everything that arrived.
        """
        if self._inputs is _UNREAD:
            self._inputs = snapshot(self._step.token.inputs)
        return self._inputs

    @property
    def graph_state(self) -> GraphState:
        """The state that all nodes share."""
        if self._graph_state is None:
            self._graph_writes = StateTransaction(self._step.scope.state, self._step.token.node)
            self._graph_state = GraphState(self._graph_writes)
            if self._ended is not None:
                self._end(self._ended)
        return self._graph_state

    @property
    def state(self) -> NodeState:
        """This node's own state: a mapping that is kept from one execution to the next, and in checkpoints."""
        if self._state is None:
            self._node_writes = StateTransaction(self._step.scope.node_state(self.node), self.node)
            self._state = NodeState(self._node_writes)
            if self._ended is not None:
                self._end(self._ended)
        return self._state

    @property
    def idempotency_key(self) -> str:
        """Identifies this piece of work: the same when it is repeated after a crash, different for every other step and run.

        Pass it to services that accept such a key, because state is kept exactly once, but side effects happen at least
        once. Within a function that ``context.run`` calls, it identifies that call.
        """
        call = self._journal.current_call() if self._journal is not None else None
        return self._step.idempotency_key if call is None else f"{self._step.idempotency_key}/{call}"

    @property
    def node(self) -> str:
        """The key of the node in its graph."""
        return self._step.token.node

    @property
    def graph_id(self) -> str:
        """The id of the graph."""
        return self._step.scope.graph_id

    @property
    def run_id(self) -> str:
        """The id of the run; it stays the same when the run is continued from a checkpoint."""
        return self._step.scope.run_id

    @property
    def iteration(self) -> int:
        """How many node executions the run had completed when it was last at a boundary."""
        return self._step.scope.iteration

    @property
    def index(self) -> int | None:
        """The place, from 0, of the item of a map that this execution belongs to; of nested maps the innermost. None outside."""
        item = self._step.token.item
        return item.index if item is not None else None

    @property
    def key(self) -> Any:
        """The key of that item, where the map runs over a mapping; None where it runs over a list."""
        item = self._step.token.item
        return item.key if item is not None else None

    @property
    def path(self) -> tuple[Any, ...]:
        """The item's index or key in each enclosing map, the outermost first; empty outside of maps."""
        item = self._step.token.item
        return item.path() if item is not None else ()

    @property
    def attempt(self) -> int:
        """1 for the first execution of this step; one more after each failure."""
        return self._step.attempt

    @property
    def last_error(self) -> FailedAttempt | None:
        """Why the attempt before this one failed; None at the first."""
        if not self._step.token.failures:
            return None
        entry = self._step.scope.entries(self._step.token).get(RETRY)
        return FailedAttempt.of(entry["failure"]) if entry is not None else None

    async def commit(self) -> None:
        """Make what this step has written to the states so far visible to others, and durable, before the step ends.

        If the step is repeated, it finds these values, so store how far it has come. Afterwards, the step reads what is
        committed by then. It commits the rest when it ends; ``iteration`` does not count this.

        :raises StateConflictError: a key that this step read and then set was committed by another one meanwhile.
        :raises CheckpointError: it could not be saved. Then the run stops, too.
        :raises RunError: a transaction block is open, or the step has ended.
        """
        self._step.beat()
        if self._ended is not None:
            raise RunError(
                f"This step of node {self.node!r} has ended, so it can't commit any more. Await helper tasks "
                "before it ends."
            )
        if self._graph_state is not None:
            self._graph_state._check_no_block()
        await self._step.scope.commit(self._step.token, self._graph_writes, self._node_writes)
        self._step.beat()

    def emit(self, value: Any) -> Awaitable[None]:
        """Send a value to watchers of the run: a token of a model, the progress of a download. Sent at once, and not stored.

        It may be called from any thread, and costs nothing if nobody watches. ``await context.emit(value)`` waits where a watcher
        delays the run; without ``await``, values are dropped once the step has sent more than its buffer holds. In a
        thread, the call itself waits. A step that is repeated emits again: ``attempt`` and ``number`` of the events tell that
        apart.

        :param value: anything; lists, dicts and sets are copied, other objects are not.
        :raises RunError: the step has ended.
        """
        if self._ended is not None:
            raise RunError(
                f"This step of node {self.node!r} has ended, so it can't emit any more. Await helper tasks "
                "before the end of the step."
            )
        self._step.beat()
        return self._step.scope.emit(self._step, value)

    def heartbeat(self) -> None:
        """Give a sign of life, for the node's ``idle_timeout``. May be called from any thread.

        So do ``emit`` and everything durable: ``run``, ``commit``, and what waits. Reading and writing state does not.
        """
        self._step.beat()

    @overload
    def interrupt(self, payload: Any = None, *, key: str | None = None, schema: type[T]) -> Coroutine[Any, Any, T]: ...

    @overload
    def interrupt(
        self, payload: Any = None, *, key: str | None = None, schema: Any = None
    ) -> Coroutine[Any, Any, Any]: ...

    def interrupt(self, payload: Any = None, *, key: str | None = None, schema: Any = None) -> Coroutine[Any, Any, Any]:
        """Ask a person or another system, and return the answer.

        Without an answer the step ends here, and its writes are dropped; the run returns with the status ``"interrupted"``, and
        ``message.interrupts`` has the question. ``graph.run(resume={id: answer})`` gives the answer, days later and from another
        process. **The step is then repeated from its beginning**, and gets the answers that were given by then: put what
        must happen only once into ``context.run``.

        :param payload: what is asked, of values that can be saved.
        :param key: identifies the question among several of one step; without keys, their order does.
        :param schema: anything that ``pydantic.TypeAdapter`` takes, such as a model: the answer is validated, and returned
            as that. If an answer does not fit, the question stays open, and ``interrupt.error`` says what was wrong.
        :raises SerializationError: the payload can't be saved.
        :raises TypeError: the key is not text.
        """
        return self._open_journal("interrupt()").interrupt(payload, key=key, schema=schema)

    @overload
    def run(
        self, key: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def run(
        self, key: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    def run(self, key: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call a function, and make its result durable before it is returned: a repeated step gets it back without another call.

        A kill between the call and its record repeats the call, so pass ``context.idempotency_key_for(key)`` to services
        that take such a key. An error is not recorded, unless ``context.durable`` says so: the step fails, and a repetition calls
        again.

        :param key: names the call in its step; in a loop it may be the same each time.
        :param function: async, or plain, which runs in a thread, as plain nodes do.
        :raises SerializationError: the result can't be saved.
        :raises NodeError: the step makes other calls than it did before it was repeated.
        """
        return self.durable().run(key, function, *args, **kwargs)

    def durable(self, *, record_errors: RecordErrors = False) -> DurableCalls:
        """Options for durable calls: ``await context.durable(record_errors=CardDeclined).run("charge", charge_card, amount)``.

        :param record_errors: the types of errors that are an outcome, or True for all: they are recorded, and a repeated step
            gets them raised again, as ``DurableCallError`` if one of that type can't be created from its message.
        """
        return self._open_journal("run()").durable(record_errors=record_errors, threads=self._threads)

    def idempotency_key_for(self, key: str) -> str:
        """The ``idempotency_key`` of the next durable call with this key: another for each call of the step.

        Use it where the arguments of ``context.run`` are given; within the function, ``context.idempotency_key`` is the same.
        """
        return f"{self._step.idempotency_key}/{self._open_journal('idempotency_key_for()').coming_call(key)}"

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait for this long, counted from the first execution of the step. No process has to stay alive in between.

        The step ends here, and is repeated from its beginning when the time is over: see ``docs/timers.md``.

        :param duration: a ``timedelta``, or seconds. Zero, or less, does not wait.
        :raises TypeError: it is neither.
        :raises ValueError: it is not finite, or ends after the year 9999.
        """
        await self._open_journal().sleep(duration)

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until this moment, or more precisely until the one that is passed in the first execution of the step.

        :param moment: naive means local time. One that has passed does not wait.
        :raises TypeError: it is not a datetime.
        :raises ValueError: UTC has no year for it.
        """
        await self._open_journal().sleep_until(moment)

    async def wait_for(
        self,
        name: str,
        *,
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 - it may be days, and outlive the process
        default: Any = MISSING,
    ) -> Any:
        """Wait for the next signal of this name, and return its value: ``await manager.send(graph_id, name, value)``.

        The step ends here, and is repeated from its beginning when the signal has arrived: see ``docs/signals.md``. A
        signal that was sent before is taken at once. Each is taken once; if several steps wait for one, the first gets it.

        :param timeout: how long to wait at most, counted from the first execution of the step: a ``timedelta``, or
            seconds. No process has to stay alive in between.
        :param default: what to return after that, instead of raising.
        :raises SignalTimeoutError: no signal arrived in time.
        :raises RunError: the graph makes no checkpoints, so no signal can ever arrive, and there is no timeout.
        """
        return await self._open_journal("wait_for()").wait_for(name, timeout=timeout, default=default)

    def _open_journal(self, what: str = "") -> Dialogue:
        """What the step has asked the world outside.

        :param what: what is called for that.
        :raises NodeError: this is a thread, where nothing can be awaited.
        """
        if self._journal is None:
            from spark.graphs.definition.dialogue import Dialogue, plain_node_error  # most nodes ask for nothing

            try:
                asyncio.get_running_loop()
            except RuntimeError:
                raise plain_node_error(self.node, what) from None
            self._journal = Dialogue(self._step)
            if self._ended is not None:
                self._journal.end()
        return self._journal

    def _end(self, ended: Ended) -> None:
        """The node has returned or raised: from now on, nothing is read or written through this context."""
        self._ended = ended
        if self._graph_state is not None:
            self._graph_state._end(ended)
        if self._state is not None:
            self._state._end(ended)
        if self._journal is not None:
            self._journal.end()

    def __repr__(self) -> str:
        return f"<NodeContext of {self.node!r}, {self.idempotency_key}>"
