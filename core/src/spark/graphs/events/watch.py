"""What the engine tells those who watch a run: it makes the events, and gives each to whom it is for, when it may be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from spark.errors import SerializationError
from spark.graphs.concurrency.nothing import NOTHING
from spark.graphs.concurrency.uncancellable import wait_until_done
from spark.graphs.events.activity import Activity, ActivityKind
from spark.graphs.events.channel import Channel
from spark.graphs.events.delivery import Delivery, Standing
from spark.graphs.events.emitting import ThreadEmissions
from spark.graphs.events.kinds import (
    CheckpointMade,
    Drained,
    Emitted,
    Interrupted,
    RunFinished,
    RunResumed,
    RunStarted,
    StepCommitted,
    StepFailed,
    StepRetrying,
    StepStarted,
    StepWaiting,
    Then,
    Waiting,
)
from spark.graphs.state.journal import QUESTION, SIGNAL, SLEEP, Entry, due_of, kind_of
from spark.graphs.values.snapshots import snapshot

if TYPE_CHECKING:
    from spark.graphs.checkpoint.recording.capture import Capture
    from spark.graphs.checkpoint.records.info import CheckpointInfo
    from spark.graphs.clock import Clock
    from spark.graphs.definition.step import Step
    from spark.graphs.events.around_elsewhere import AroundElsewhere
    from spark.graphs.events.observing import Observing
    from spark.graphs.events.surroundings import Surroundings
    from spark.graphs.message import Message

_WAITS: Final = {QUESTION: "question", SIGNAL: "signal", SLEEP: "timer"}
"""Kind of an entry to what events call it."""


class Resumed(Protocol):
    """The checkpoint that a run is resumed from."""

    @property
    def checkpoint_id(self) -> str: ...

    @property
    def sequence(self) -> int | None: ...


class Ended(Protocol):
    """How a step ended."""

    @property
    def kind(self) -> str: ...


T = TypeVar("T", bound=Ended)


class RunWatch(Delivery):
    """Those who watch one run. All of this is called in the event loop of the run, but for ``emit``."""

    def __init__(
        self,
        *,
        graph_id: str,
        run_id: str,
        standing: Standing,
        clock: Clock,
        holds: bool,
        behind: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(
            graph_id=graph_id, run_id=run_id, standing=standing, now=clock.utc_now, holds=holds, behind=behind
        )
        self._seconds = clock.monotonic
        self._started = self._seconds()
        self._began: dict[str, float] = {}
        """When the step of a token began."""
        self._emitted: dict[str, int] = {}
        """How often it has emitted something."""
        self.ignored: dict[str, int] = {}
        """How often it should have waited for a watcher when it emitted something, and did not."""
        self._parts: dict[str, tuple[set[str], set[str]]] = {}
        """The keys that it has changed by ``context.commit()``."""
        self._waits_at: tuple[datetime | None, int] | None = None
        """Until when the run waits, and after how many steps."""
        self._observing: Observing | None = None
        self._surroundings: Surroundings | None = None
        self._run_activity: Activity | None = None
        self._leaving = ExitStack()
        """What is around the run."""
        self._saving: tuple[float, Activity | None] = 0.0, None
        """When the checkpoint began that is being saved."""
        self._elsewhere: dict[str, Activity] = {}
        """The steps that are executed elsewhere."""
        self.carrier: dict[str, str] = {}
        """What tracing stores with the run."""
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadEmissions(
            self._emit, loop=self._loop, is_full=lambda: self.is_full, until_room=self.until_room
        )

    # The run

    def observe(self, observing: Observing | None, surroundings: Surroundings | None) -> None:
        """Handlers and plugins watch the run from its beginning.

        :param observing: tells them of events; None if none listens.
        :param surroundings: what they do around activities; None if they do nothing.
        """
        self._observing, self._surroundings = observing, surroundings
        if observing is not None:
            self.add(observing.channel)

    def begin(self, channels: list[Channel], checkpoint: Resumed | None, *, carrier: Mapping[str, str]) -> None:
        """The run begins.

        :param channels: of those who watch it from the beginning; they are removed from there.
        :param checkpoint: what it is resumed from, if it is.
        :param carrier: what was stored with it.
        """
        for channel in channels:
            self.add(channel)
        channels.clear()
        id = checkpoint.checkpoint_id if checkpoint is not None else None
        self.carrier = dict(carrier)
        if self._surroundings is not None:
            self._run_activity = self._activity("run", self.graph_id, resumed_from=id)
            self._leaving.enter_context(self._surroundings.around(self._run_activity))
        self._begin(checkpoint)

    def has_begun(self, checkpoint: Resumed | None, *, seconds: float, iteration: int) -> None:
        """The run began some time ago, when nobody watched it.

        :param checkpoint: what it was resumed from, if it was.
        :param iteration: how many steps were committed then.
        """
        self._started -= seconds
        self._begin(checkpoint)
        assert self.first is not None
        self.first = replace(self.first, time=self.first.time - timedelta(seconds=seconds), iteration=iteration)

    def returned(self, message: Message) -> None:
        """The run has returned."""
        if message.status == "interrupted":
            self.tell(Interrupted, interrupts=message.interrupts)
        elif message.status == "waiting":
            self.waits(message.due)
        elif message.status == "drained":
            self.tell(Drained, reason=message.reason)
        self._end(status=message.status, node=message.node, message=message)

    def raised(self, error: BaseException, *, node: str | None) -> None:
        """The run has raised.

        :param node: the key of the node that failed, if one did.
        """
        status = "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "failed"
        self._end(status=status, node=node, error=error)

    async def close(self, *, may_wait: bool = True) -> None:
        """The run has ended: wait until handlers and plugins were told of it, and nothing is left behind.

        :param may_wait: False where the garbage collector closes it, so that nothing can be awaited.
        """
        closing = self._threads.close()
        if not may_wait:
            return
        if closing is not None:
            await wait_until_done(closing)
        if self._observing is not None:
            await self._observing.finish()

    def waits(self, due: datetime | None) -> None:
        """All that is left of the run waits for something outside."""
        now = due, self.standing.iteration
        if now != self._waits_at:
            self._waits_at = now
            self.tell(Waiting, due=due)

    # Steps

    async def execute(
        self, step: Step, execute: Callable[..., Coroutine[Any, Any, T]], *, is_elsewhere: bool = False
    ) -> T:
        """Execute a step, once the watchers have caught up.

        :param is_elsewhere: an executor executes it.
        """
        await self.until_room()
        id = step.token.id
        for each in (self._emitted, self._parts, self.ignored):
            each.pop(id, None)  # of an execution before
        self.tell(StepStarted, **_of_step(step))
        self._began[id] = self._seconds()
        if self._surroundings is None:
            return await execute(step, is_told=True)
        activity = self._activity_of(step, "step", step.node)
        if is_elsewhere:
            activity.elsewhere = {}
            self._elsewhere[id] = activity
        with self._surroundings.around(activity):
            outcome = await execute(step, is_told=True)
            activity.outcome, activity.error = outcome.kind, getattr(outcome, "error", None)
            return outcome

    def committed_part(self, step_id: str, graph_changes: Collection[str], node_changes: Collection[str]) -> None:
        """What a running step had written so far was committed."""
        graph, own = self._parts.setdefault(step_id, (set(), set()))
        graph.update(graph_changes)
        own.update(node_changes)

    def committed(
        self,
        step: Step,
        graph_changes: Collection[str] | None,
        node_changes: Collection[str] | None,
        targets: Iterable[Any],
    ) -> None:
        """A step has been committed.

        :param graph_changes: keys of the graph's state that it changed.
        :param node_changes: the same of its node's state.
        :param targets: the keys of the nodes that follow, and maps.
        """
        graph, own = self._parts.pop(step.token.id, ((), ()))
        self.commit(
            StepCommitted,
            **_of_step(step),
            changed=tuple(dict.fromkeys((*graph, *(graph_changes or ())))),
            changed_own=tuple(dict.fromkeys((*own, *(node_changes or ())))),
            next=tuple(each if isinstance(each, str) else each.rule.worker for each in targets),
            seconds=self._took(step),
        )

    def failed(self, step: Step, error: BaseException, then: Then, *, next: Collection[str] = ()) -> None:
        """An execution of a step has failed."""
        tell = self.tell if then == "stop" else self.commit
        tell(
            StepFailed,
            **_of_step(step),
            error=error,
            then=then,
            next=tuple(next),
            seconds=self._took(step),
        )

    def retrying(self, step: Step, error: BaseException, wait: Entry) -> None:
        """A step that failed waits for its next attempt."""
        self.commit(StepRetrying, **_of_step(step), error=error, due=due_of(wait))

    def suspended(self, step: Step, waits: Mapping[str, Entry]) -> None:
        """A step waits for something outside."""
        self._began.pop(step.token.id, None)
        dues = [due for due in map(due_of, waits.values()) if due is not None]
        kinds = tuple(_WAITS.get(kind_of(key), kind_of(key)) for key in waits)
        self.commit(StepWaiting, **_of_step(step), waits=kinds, due=min(dues, default=None))

    def emit(self, step: Step, value: Any, *, is_own: bool = False) -> Awaitable[None]:
        """A node sends a value, from any thread. What is returned waits until the watchers have caught up.

        :param is_own: nobody can change the value afterwards, so it need not be copied.
        """
        value = value if is_own else _own(value)
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if not is_here:
            self._threads.send(step, value)
            return NOTHING
        self._emit(step, value, ignored=self.ignored.get(step.token.id, 0))
        return _Room(self, step.token.id) if self.is_full else NOTHING

    async def until_room_for(self, step_id: str) -> None:
        """Wait until no watcher holds up this step."""
        self.ignored[step_id] = 0
        await self.until_room()

    def around_call(self, step: Step, key: str) -> AbstractAsyncContextManager[Any] | None:
        """What is done around a durable call that a step makes; None if nothing is."""
        if self._surroundings is None:
            return None
        return self._surroundings.around_async(self._activity_of(step, "call", key))

    def around_elsewhere(self, step: Step) -> AroundElsewhere | None:
        """What is done around a step that is executed elsewhere, and around its durable calls; None if nothing is."""
        activity = self._elsewhere.pop(step.token.id, None)
        if activity is None or self._surroundings is None:
            return None
        from spark.graphs.events.around_elsewhere import AroundElsewhere  # few runs use executors

        return AroundElsewhere(activity, self._surroundings, partial(self._activity_of, step, "call"))

    # Checkpoints

    def mark(self) -> int:
        """What has been committed by now, for a capture."""
        return self.held.mark()

    async def save(
        self, capture: Capture, save: Callable[[Capture], Coroutine[Any, Any, CheckpointInfo]]
    ) -> CheckpointInfo:
        """Save a checkpoint."""
        began = self._seconds()
        if self._surroundings is None:
            self._saving = began, None
            return await save(capture)
        activity = self._activity("checkpoint", str(capture.metadata.get("reason", "")))
        with self._surroundings.around(activity):
            self._saving = began, activity
            return await save(capture)

    def stored(self, capture: Capture, info: CheckpointInfo) -> None:
        """A checkpoint is durable, and with it what was committed before."""
        self.release(capture.mark)
        began, activity = self._saving
        size = vars(info).get("size")  # in memory it would have to be encoded for that
        if activity is not None:
            activity.checkpoint_id, activity.sequence = info.checkpoint_id, info.sequence
            activity.bytes = size
        self.tell(
            CheckpointMade,
            checkpoint_id=info.checkpoint_id,
            sequence=info.sequence,
            reason=str(capture.metadata.get("reason", "")),
            seconds=self._seconds() - began,
            bytes=size,
        )

    def _emit(self, step: Step, value: Any, *, ignored: int = 0) -> None:
        if not self.is_over:
            number = self._emitted[step.token.id] = self._emitted.get(step.token.id, 0) + 1
            self.tell(Emitted, ignored=ignored, **_of_step(step), value=value, number=number)

    def _end(self, **values: Any) -> None:
        self.end(RunFinished, **values, seconds=self._seconds() - self._started)
        if self._run_activity is not None:
            self._run_activity.outcome, self._run_activity.error = values["status"], values.get("error")
        self._leaving.close()

    def _took(self, step: Step) -> float | None:
        began = self._began.pop(step.token.id, None)
        return None if began is None else self._seconds() - began

    def _begin(self, checkpoint: Resumed | None) -> None:
        if checkpoint is None:
            self.begin_with(RunStarted)
        else:
            self.begin_with(RunResumed, checkpoint_id=checkpoint.checkpoint_id, sequence=checkpoint.sequence)

    def _activity(self, kind: ActivityKind, name: str, **values: Any) -> Activity:
        return Activity(
            kind=kind,
            name=name,
            graph_id=self.graph_id,
            run_id=self.run_id,
            iteration=self.standing.iteration,
            carrier=self.carrier,
            **values,
        )

    def _activity_of(self, step: Step, kind: ActivityKind, name: str) -> Activity:
        values = _of_step(step)
        del values["step"]
        return self._activity(kind, name, **values, idempotency_key=step.idempotency_key)


class _Room:
    """Waits, when it is awaited, until no watcher holds up the run."""

    __slots__ = ("_step_id", "_watch")

    def __init__(self, watch: RunWatch, step_id: str) -> None:
        self._watch = watch
        self._step_id = step_id
        watch.ignored[step_id] = watch.ignored.get(step_id, 0) + 1

    def __await__(self) -> Generator[Any, Any, None]:
        return self._watch.until_room_for(self._step_id).__await__()


def _of_step(step: Step) -> dict[str, Any]:
    token, item = step.token, step.token.item
    return {
        "node": token.node,
        "step": token.id,
        "attempt": token.failures + 1,
        "index": item.index if item is not None else None,
        "path": item.path() if item is not None else (),
    }


def _own(value: Any) -> Any:
    """What the node may change afterwards is copied."""
    if type(value) in (list, dict, set):
        try:
            return snapshot(value)
        except SerializationError:
            return value
    return value
