"""Does a graph come to the same end wherever it is killed? Run it once, then crash and resume it everywhere."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from spark.graphs import Graph, Interrupt, Message, Task
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.clock import FakeClock
from spark_testing.faults import Answer, FaultyBackend
from spark_testing.instruments import Dead, Instruments, Step
from spark_testing.recovery_report import Crash, Difference, Ending, RecoveryReport, differences

BuildGraph: TypeAlias = Callable[[CheckpointConfig], Graph]
"""Makes the graph anew, nodes included, with this ``checkpoint_config``: what a new process would do."""


async def check_recovery(
    build_graph: BuildGraph,
    task: Task | Mapping[str, Any] | None = None,
    *,
    inside_steps: bool = False,
    prepare: Callable[[], Any] | None = None,
    observe: Callable[[], Any] | None = None,
    answer: Callable[[Interrupt], Any] | None = None,
    messages: Sequence[tuple[str, Any]] = (),
    clock: FakeClock | None = None,
    drains: bool = False,
    open_store: Callable[[], CheckpointBackend] = InMemoryCheckpointBackend,
    most_steps: int = 1_000,
) -> RecoveryReport:
    """Run a graph once, then once for each place where it can crash: there it is cut off, built again, and resumed.

    A crash ends the run at once: nothing more is saved. It is made after each checkpoint: that of a step, of a durable call, of a
    question, of a failed attempt; and with ``inside_steps`` also when the work of a step is done and nothing of it saved, and at
    each await within it. So a node whose state is not in ``context.state`` shows itself, and a side effect that does harm when
    it is repeated.

    A run that returns because it waits is resumed, with answers and when it is due, until it has completed.

    The graph must do the same whenever it is run: no clock, no random numbers, branches that don't race.

    :param build_graph: makes the graph with the ``checkpoint_config`` that it is given.
    :param task: what ``run`` gets.
    :param inside_steps: crash within steps, too, where side effects happen twice.
    :param prepare: called before each run from the start: makes the outside world as it was. Plain or async.
    :param observe: called after each run; what it returns is compared. Plain or async.
    :param answer: answers a question of the graph, the same each time. Plain or async.
    :param messages: name and value of each signal that is sent to the graph, before it runs.
    :param clock: that of the graph, which is moved to where the run continues; without one, real time passes.
    :param drains: also ask the run to stop after each checkpoint, and resume it.
    :param open_store: makes a new, empty store for each run.
    :param most_steps: refuse a graph that takes more.
    :raises ValueError: ``build_graph`` does not use its argument, or gives the same nodes again; or the undisturbed run
        fails, takes too many steps, asks a question without an ``answer``, or waits for a signal that is not in ``messages``.
    """
    outside = _Outside(task, answer, messages, clock)
    checking = _Checking(build_graph, outside, prepare, observe, open_store)
    places, steps, expected = await checking.undisturbed()
    if expected.error:
        raise ValueError(f"The undisturbed run raised {expected.error}; check a run that succeeds.")
    if len(steps) > most_steps:
        raise ValueError(f"The graph took {len(steps)} steps; check a shorter run, or set most_steps.")
    report = RecoveryReport(expected)
    for crash in _crashes(places, steps, inside_steps=inside_steps, drains=drains):
        ending = await checking.crashed(crash, steps)
        report.crashes.append(crash)
        differs = differences(expected, ending)
        if differs:
            report.differences.append(Difference(crash, ending, differs))
    return report


def _crashes(places: list[Place], steps: list[Step], *, inside_steps: bool, drains: bool) -> Iterator[Crash]:
    """Where to crash, in the order of the checkpoints; then within executions that have made none of their own."""
    left = list(enumerate(steps))
    for number, place in enumerate(places, 1):
        found = next((each for each in left if place.is_of_step and each[1].node == place.node), None)
        if inside_steps and found is not None:
            left.remove(found)
            yield from _at_awaits(place.step, *found)
        if inside_steps:
            yield Crash(place.step, place.node, f"before {place.what}", save=number)
        yield Crash(place.step, place.node, f"after {place.what}", save=number)
        if drains and number < len(places):
            yield Crash(place.step, place.node, f"of its process, asked to stop after {place.what}", save=number)
    for found in left if inside_steps else []:
        yield from _at_awaits(0, *found)


def _at_awaits(number: int, execution: int, step: Step) -> Iterator[Crash]:
    for wait in range(1, step.waits + 1):
        yield Crash(number, step.node, f"at await {wait} of", execution=execution)


class Place(NamedTuple):
    """A checkpoint of the undisturbed run."""

    step: int
    """How many steps were committed in it."""
    node: str
    """Which one the last of them executed."""
    what: str
    """``"the checkpoint of"`` that step, or ``"the checkpoint 'call' that follows"`` it, by its reason."""

    @property
    def is_of_step(self) -> bool:
        """Whether the step was committed with it."""
        return self.what == _OF_STEP


_OF_STEP: Final = "the checkpoint of"


def _places(metadata: Iterable[Mapping[str, Any]]) -> list[Place]:
    places: list[Place] = []
    for facts in metadata:
        step, node = facts["iteration"], str(facts["last_node"] or "")
        is_of_step = step > (places[-1].step if places else 0)
        places.append(Place(step, node, _OF_STEP if is_of_step else f"the checkpoint {facts['reason']!r} that follows"))
    return places


class _Outside:
    """What is around a graph: its task, and who answers it and sends it messages."""

    def __init__(
        self,
        task: Task | Mapping[str, Any] | None,
        answer: Callable[[Interrupt], Any] | None,
        messages: Sequence[tuple[str, Any]],
        clock: FakeClock | None,
    ) -> None:
        self._task = task
        self._answer = answer
        self._messages = messages
        self._clock = clock

    async def send(self, store: CheckpointBackend, graph_id: str) -> None:
        """Send all messages."""
        manager = CheckpointManager(store)
        for name, value in self._messages:
            await manager.send(graph_id, name, value)

    async def run(self, graph: Graph, *, resume: bool, until_drained: bool = False) -> Message:
        """Run a graph until it has completed.

        :param until_drained: or until it was asked to stop.
        :raises ValueError: it waits for something that nobody sees to.
        """
        message = await graph.run(self._task, resume=resume, wait=False)
        while message.status != "completed" and not (until_drained and message.status == "drained"):
            answers = {each.id: await self._answered(each) for each in message.interrupts}
            if not answers and message.status == "waiting":
                await self._wait(message)
            message = await graph.run(self._task, resume=answers or True, wait=False)
        return message

    async def _answered(self, interrupt: Interrupt) -> Any:
        if interrupt.error is not None:
            raise ValueError(f"answer() gave node {interrupt.node!r} what it refused: {interrupt.error}")
        if self._answer is None:
            raise ValueError(f"Node {interrupt.node!r} asks {interrupt.payload!r}: give check_recovery an answer=.")
        return await _called(self._answer, interrupt)

    async def _wait(self, message: Message) -> None:
        if message.due is None:
            raise ValueError(
                "The graph waits for a signal that is not sent: give check_recovery all of them as messages=."
            )
        clock = self._clock
        now = clock.utc_now() if clock is not None else datetime.now(UTC)
        seconds = max(0.0, (message.due - now).total_seconds())
        if clock is not None:
            clock.advance(seconds)
        else:
            await asyncio.sleep(seconds)


class _Checking:
    """One call of ``check_recovery``."""

    def __init__(
        self,
        build_graph: BuildGraph,
        outside: _Outside,
        prepare: Callable[[], Any] | None,
        observe: Callable[[], Any] | None,
        open_store: Callable[[], CheckpointBackend],
    ) -> None:
        self._build_graph = build_graph
        self._outside = outside
        self._prepare = prepare
        self._observe = observe
        self._open_store = open_store
        self._nodes: dict[int, Any] = {}
        """Every node that was ever made, kept so that none has the identity of another."""

    async def undisturbed(self) -> tuple[list[Place], list[Step], Ending]:
        """The checkpoints and the executions of a run that nobody disturbs, and how it ended."""
        await _called(self._prepare)
        async with self._open_store() as store:
            graph = self._graph_on(store)
            await self._outside.send(store, graph.graph_id)
            instruments = Instruments(graph)
            ending = await self._ending(graph, resume=False)
            records = (await store.get_many(graph.graph_id, range(2**63))).records.values()
        return _places(record.header.metadata for record in records), instruments.steps(), ending

    async def crashed(self, crash: Crash, steps: list[Step]) -> Ending:
        """How a run ends that is cut off there, and resumed by a graph made anew."""
        await _called(self._prepare)
        async with self._open_store() as store:
            faulty = _Stopping(store)
            graph = self._graph_on(faulty)
            await self._outside.send(store, graph.graph_id)
            if crash.where.startswith("after"):
                faulty.lose_answer("put", at=crash.save, error=Dead())
            elif crash.where.startswith("before"):
                faulty.fail("put", at=crash.save, error=Dead())
            elif crash.where.startswith("at await"):
                Instruments(graph, die_in=steps[crash.execution], at_wait=int(crash.where.split()[2]))
            else:
                faulty.stop(graph, after=crash.save)
            try:
                await self._outside.run(graph, resume=False, until_drained=True)
                if not faulty.has_stopped:
                    return Ending(None, {}, error="nothing new: it took another path this time, and never got there")
            except Dead:
                pass
            except Exception as error:
                return Ending(None, {}, error=f"{type(error).__name__}: {error}")
            return await self._ending(self._graph_on(store), resume=True)

    def _graph_on(self, store: CheckpointBackend) -> Graph:
        # A process that is killed saves nothing more, so neither does a run that is cut off here.
        config = CheckpointConfig(
            backend=store,
            trigger_on_iteration=1,
            auto_cleanup=False,
            trigger_on_failure=False,
            trigger_on_cancel=False,
        )
        graph = self._build_graph(config)
        if graph.checkpoint_backend is not store:
            raise ValueError("build_graph has to pass its argument on: Graph(…, checkpoint_config=config).")
        if any(id(node) in self._nodes for node in graph.nodes.values()):
            raise ValueError(
                "build_graph must make new nodes, as a new process would; it returned the same ones again."
            )
        self._nodes |= {id(node): node for node in graph.nodes.values()}
        return graph

    async def _ending(self, graph: Graph, *, resume: bool) -> Ending:
        error, result = "", Message(content=None, status="", node=None)
        try:
            result = await self._outside.run(graph, resume=resume)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        return Ending(result.content, graph.get_state_snapshot(), await _called(self._observe), error)


class _Stopping(FaultyBackend):
    """A store that asks the run of a graph to stop after one of its checkpoints."""

    def __init__(self, inner: CheckpointBackend) -> None:
        super().__init__(inner)
        self._graph: Graph | None = None
        self._left = 0
        self.has_stopped = False
        """That checkpoint was made."""

    def stop(self, graph: Graph, *, after: int) -> None:
        """Ask this one after so many checkpoints."""
        self._graph, self._left = graph, after

    async def _call(self, method: str, act: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await super()._call(method, act)
        if self._graph is not None and method == "put":
            self._left -= 1
            if self._left == 0:
                self.has_stopped = True
                self._graph.drain("to see whether it can be resumed", grace=0)
        return answer


async def _called(function: Callable[..., Any] | None, *arguments: Any) -> Any:
    result = function(*arguments) if function is not None else None
    return await result if isinstance(result, Awaitable) and inspect.isawaitable(result) else result
