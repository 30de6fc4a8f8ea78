"""The suite that an observer proves itself by."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Sequence
from contextvars import copy_context
from datetime import UTC, datetime
from math import inf
from typing import Any, ClassVar, Final

import pytest

from spark.errors import BackendError, BudgetExceededError
from spark.graphs import Budget, Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.events import Activity, Event, StepStarted
from spark_testing.faults import FaultyBackend
from spark_testing.leaks import Held, leaked_since
from spark_testing.records import HOSTILE_IDS
from spark_testing.suites.conformance import Conformance

ARGUMENTS: Final = {
    "on_checkpoint_created": ("checkpoint",),
    "on_checkpoint_restored": ("checkpoint",),
    "on_checkpoint_deleted": ("checkpoint_id",),
    "on_checkpoint_failed": ("graph_id", "error"),
    "on_event": ("event",),
    "around": ("activity",),
}
"""The methods of an observer, and what each is called with."""
_TRIES: Final = 3
"""Calls of one method, before it is said to take too long."""


class Count(Node):
    """Counts in the state, up to the limit."""

    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"limit": context.inputs["limit"], "more": count < context.inputs["limit"]}


class Talks(Node):
    """Emits, fails, asks, and ends: what happens to it is of almost every kind."""

    async def process(self, context: NodeContext) -> Any:
        await context.emit({"text": "\0\ud800 🙈"})
        if context.attempt == 1:
            raise ValueError("\0\ud800 🙈\n")
        return {"answer": await context.interrupt("sure?")}


class ObserverConformance(Conformance):
    """What every observer must do. Subclass it as ``Test…`` with the fixture ``observer``."""

    seconds: ClassVar[float] = 2.0
    """How long one call may take where all is well. A run waits ten seconds at most, and then leaves the observer behind."""
    around_seconds: ClassVar[float] = 0.02
    """How long entering and leaving ``around()`` may take together."""
    secrets: ClassVar[Sequence[str]] = ()
    """Texts that the observer was given and that nothing may show."""
    hostile_ids: ClassVar[Sequence[str]] = HOSTILE_IDS
    """Graph ids to try, fewer where each costs much."""

    @pytest.fixture
    def observer(self) -> CheckpointHandler:
        """A new observer, and what it reports to is there."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'observer'.")

    def test_has_a_method_for_an_event(self, observer: CheckpointHandler) -> None:
        assert isinstance(observer, CheckpointHandler), "An observer must be a CheckpointHandler."
        assert _written(observer), f"An observer must write at least one of {', '.join(ARGUMENTS)}."

    def test_its_methods_take_what_they_are_called_with(self, observer: CheckpointHandler) -> None:
        for name in _written(observer):
            try:
                inspect.signature(getattr(observer, name)).bind(*ARGUMENTS[name])
            except TypeError as error:
                pytest.fail(
                    f"{name} must take {', '.join(ARGUMENTS[name])}, and nothing else that is required: {error}."
                )

    @pytest.mark.asyncio
    async def test_is_notified_of_all_that_happens_to_a_graph(self, observer: CheckpointHandler) -> None:
        """Checkpoints that are made, deleted, and continued from; what it raises ends this run."""
        backend = InMemoryCheckpointBackend()
        graph = _graph("observed", observer, backend)
        with pytest.raises(BudgetExceededError):
            await graph.run(Task(inputs={"limit": 4}, budget=Budget(max_iterations=2)))

        await graph.run(resume=True)

    @pytest.mark.asyncio
    async def test_is_notified_of_a_checkpoint_that_can_not_be_made(self, observer: CheckpointHandler) -> None:
        backend = FaultyBackend(InMemoryCheckpointBackend())
        backend.fail("put", error=BackendError("the disk is full"))
        with pytest.raises(BackendError, match="the disk is full"):
            await _graph("observed", observer, backend).run({"limit": 1})

        await _call(observer, "on_checkpoint_failed", "observed", BackendError("the disk is full"))

    @pytest.mark.asyncio
    async def test_takes_whatever_graphs_are_called_and_errors_say(self, observer: CheckpointHandler) -> None:
        for graph_id in self.hostile_ids:
            checkpoint = _checkpoint(graph_id)
            await _call(observer, "on_checkpoint_created", checkpoint)
            await _call(observer, "on_checkpoint_restored", checkpoint)
            await _call(observer, "on_checkpoint_deleted", checkpoint.checkpoint_id)
            await _call(observer, "on_checkpoint_failed", graph_id, BackendError(f"\0\ud800 {graph_id} 🙈\n"))

    @pytest.mark.asyncio
    async def test_takes_every_event_whatever_graphs_are_called(self, observer: CheckpointHandler) -> None:
        """What it raises here would only be logged, once for each run."""
        for graph_id in self.hostile_ids:
            for event in await _events(graph_id):
                await _call(observer, "on_event", event)

    def test_says_of_every_graph_whether_it_watches(self, observer: CheckpointHandler) -> None:
        """What ``watches`` raises means no, and is logged for each run."""
        for graph_id in self.hostile_ids:
            said = observer.watches(graph_id)
            assert isinstance(said, bool), f"watches() must return True or False; it returned {said!r}."

    def test_around_leaves_context_variables_as_they_were(self, observer: CheckpointHandler) -> None:
        """What it sets, it resets when it exits: the next step runs in the same task."""
        before = dict(copy_context().items())
        for activity in _activities():
            with observer.around(activity):
                activity.outcome, activity.error = "failed", ValueError("\0\ud800 🙈\n")
            assert dict(copy_context().items()) == before, (
                f"around() has left another value in a context variable behind, after a {activity.kind}. Reset it by its token."
            )

    def test_around_is_quick(self, observer: CheckpointHandler) -> None:
        """It is plain code in the event loop, twice for each step."""
        took = []
        for activity in _activities() * 2:
            began = time.perf_counter()
            with observer.around(activity):
                activity.outcome = "finished"
            took.append(time.perf_counter() - began)
        assert min(took) < self.around_seconds, (
            f"around() took {min(took):.3f} s, and the suite's `around_seconds` says {self.around_seconds:g}. The event loop "
            "waits meanwhile: hand work to a thread, or do it in on_event."
        )

    @pytest.mark.asyncio
    async def test_takes_no_longer_than_a_run_would_wait(self, observer: CheckpointHandler) -> None:
        for name in _written(observer):
            took = inf
            for _ in range(_TRIES):  # the machine may have held one of them up
                began = time.monotonic()
                await _call(observer, name, *_examples(name))
                took = min(took, time.monotonic() - began)
                if took < self.seconds:
                    break
            assert took < self.seconds, (
                f"{name} took {took:.1f} s, and the suite's `seconds` says {self.seconds:g}. The run waits meanwhile: hand long "
                "work to a thread of your own, or give up sooner."
            )

    @pytest.mark.asyncio
    async def test_serves_several_graphs_at_once(self, observer: CheckpointHandler) -> None:
        graphs = [_graph(f"graph-{number}", observer, InMemoryCheckpointBackend()) for number in range(8)]
        messages = await asyncio.gather(*(graph.run({"limit": 3}) for graph in graphs))
        assert len(messages) == len(graphs), "Every run that notifies the observer must end as it would without it."

    def test_serves_one_event_loop_after_another(self, observer: CheckpointHandler) -> None:
        """A program may call ``asyncio.run`` any number of times; what belongs to one loop can't be used in the next."""
        for _ in range(2):
            asyncio.run(_call(observer, "on_checkpoint_created", _checkpoint("observed")))
            asyncio.run(_graph("observed", observer, InMemoryCheckpointBackend()).run({"limit": 2}))

    @pytest.mark.asyncio
    async def test_leaves_no_task_and_no_connection_behind(self, observer: CheckpointHandler) -> None:
        """Nobody closes an observer: what it opens for an event, it closes before it returns."""
        await _graph("first", observer, InMemoryCheckpointBackend()).run({"limit": 2})
        before = Held.now()
        for number in range(3):
            await _graph(f"graph-{number}", observer, InMemoryCheckpointBackend()).run({"limit": 2})
        leaked = [one for one in await leaked_since(before) if not one.startswith("thread")]
        assert leaked == [], f"This was left behind: {', '.join(leaked)}. Close it before the method returns."

    def test_shows_no_secret(self, observer: CheckpointHandler) -> None:
        shown = f"{observer!r} {observer} {CheckpointConfig(handler=observer)!r}"
        for number, secret in enumerate(self.secrets):
            assert secret not in shown, f"The repr of the observer shows secret {number} of the suite's `secrets`."


def _written(observer: CheckpointHandler) -> list[str]:
    return [name for name in ARGUMENTS if getattr(type(observer), name) is not getattr(CheckpointHandler, name)]


async def _call(observer: CheckpointHandler, name: str, *arguments: Any) -> None:
    """Call a method as a run does: a plain one in a thread."""
    method = getattr(observer, name)
    if name == "around":
        with method(*arguments):
            return
    is_async = inspect.iscoroutinefunction(method)
    returned = method(*arguments) if is_async else await asyncio.to_thread(method, *arguments)
    if inspect.isawaitable(returned):
        await returned


def _examples(name: str) -> tuple[Any, ...]:
    known = {
        "checkpoint": _checkpoint("observed"),
        "checkpoint_id": "ckpt_observed_000001",
        "graph_id": "observed",
        "error": BackendError("the disk is full"),
        "event": StepStarted(
            time=datetime.now(UTC), graph_id="observed", run_id="0a", iteration=0, node="count", step="1", attempt=1
        ),
        "activity": _activities()[0],
    }
    return tuple(known[argument] for argument in ARGUMENTS[name])


async def _events(graph_id: str) -> list[Event]:
    """What happens in a run that is interrupted and resumed."""
    config = CheckpointConfig(backend=InMemoryCheckpointBackend())
    graph = Graph(Talks(), id=graph_id, checkpoint_config=config, retry=lambda error, attempt: 0)
    stream = graph.stream()
    events = [event async for event in stream]
    assert stream.message is not None, "a stream has the message of its run once it has ended"
    answers = {interrupt.id: "yes" for interrupt in stream.message.interrupts}
    return events + [event async for event in graph.stream(resume=answers)]


def _activities() -> list[Activity]:
    common: dict[str, Any] = {"graph_id": "observed", "run_id": "0a", "iteration": 0, "carrier": {}}
    step: dict[str, Any] = {"node": "count", "attempt": 1, "idempotency_key": "observed/0a/1"}
    return [
        Activity(kind="run", name="observed", **common),
        Activity(kind="step", name="count", **common, **step),
        Activity(kind="call", name="charge", **common, **step),
        Activity(kind="checkpoint", name="trigger", **common),
    ]


def _checkpoint(graph_id: str) -> GraphCheckpoint:
    return Graph(_loop(), id=graph_id, state={"é 日本語": [1, None, "\0"]}).create_checkpoint()


def _graph(graph_id: str, observer: CheckpointHandler, backend: Any) -> Graph:
    return Graph(_loop(), id=graph_id, checkpoint_config=_config(observer, backend))


def _config(observer: CheckpointHandler, backend: Any) -> CheckpointConfig:
    return CheckpointConfig(
        backend=backend, trigger_on_iteration=1, max_checkpoints=1, handler=observer, handler_errors="raise"
    )


def _loop() -> Node:
    count = Count()
    count.on(more=True) >> count
    return count
