"""Does a graph come to the same end wherever it is killed? Run it once, then crash and resume it everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from spark.graphs import Graph, Message, Task
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.faults import FaultyBackend
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
    open_store: Callable[[], CheckpointBackend] = InMemoryCheckpointBackend,
    most_steps: int = 1_000,
) -> RecoveryReport:
    """Run a graph once, then once for each place where it can crash: there it is cut off, made anew, and resumed.

    A crash ends the run at once: nothing more is saved. It is made after each step's checkpoint and, with ``inside_steps``,
    also when the work of a step is done and nothing of it saved, and at each await within it. So a node whose state is not
    in ``context.state`` shows itself, and a side effect that does harm when it is repeated.

    The graph must do the same whenever it is run: no clock, no random numbers, branches that don't race.

    :param build_graph: makes the graph with the ``checkpoint_config`` that it is given.
    :param task: what ``run`` gets.
    :param inside_steps: crash within steps, too, where side effects happen twice.
    :param prepare: called before each run from the start: makes the outside world as it was. Plain or async.
    :param observe: called after each run; what it returns is compared. Plain or async.
    :param open_store: makes a new, empty store for each run.
    :param most_steps: refuse a graph that takes more.
    :raises ValueError: ``build_graph`` does not use its argument, or gives the same nodes again; or the undisturbed run
        fails, or takes too many steps.
    """
    checking = _Checking(build_graph, task, prepare, observe, open_store)
    steps, expected = await checking.undisturbed()
    if expected.error:
        raise ValueError(f"The undisturbed run raised {expected.error}; check one that ends well.")
    if len(steps) > most_steps:
        raise ValueError(f"The graph took {len(steps)} steps; check a shorter run, or set most_steps.")
    report = RecoveryReport(expected)
    for crash in _crashes(steps, inside_steps=inside_steps):
        ending = await checking.crashed(crash, steps)
        report.crashes.append(crash)
        differs = differences(expected, ending)
        if differs:
            report.differences.append(Difference(crash, ending, differs))
    return report


def _crashes(steps: list[Step], *, inside_steps: bool) -> Iterator[Crash]:
    for number, step in enumerate(steps, 1):
        if inside_steps:
            yield from (Crash(number, step.node, f"at await {wait} of") for wait in range(1, step.waits + 1))
            yield Crash(number, step.node, "before the checkpoint of")
        yield Crash(number, step.node, "after the checkpoint of")


class _Checking:
    """One call of ``check_recovery``."""

    def __init__(
        self,
        build_graph: BuildGraph,
        task: Task | Mapping[str, Any] | None,
        prepare: Callable[[], Any] | None,
        observe: Callable[[], Any] | None,
        open_store: Callable[[], CheckpointBackend],
    ) -> None:
        self._build_graph = build_graph
        self._task = task
        self._prepare = prepare
        self._observe = observe
        self._open_store = open_store
        self._nodes: dict[int, Any] = {}
        """Every node that was ever made, kept so that none has the identity of another."""

    async def undisturbed(self) -> tuple[list[Step], Ending]:
        """The steps of a run that nobody disturbs, in the order in which they were committed, and how it ended."""
        await _called(self._prepare)
        store = self._open_store()
        async with store:
            graph = self._graph_on(store)
            instruments = Instruments(graph)
            ending = await self._ending(graph, resume=False)
            records = (await store.get_many(graph.graph_id, range(2**63))).records.values()
        metadata = [record.header.metadata for record in records]
        nodes = [str(one["last_node"]) for one in metadata]
        return instruments.in_order(nodes), ending

    async def crashed(self, crash: Crash, steps: list[Step]) -> Ending:
        """How a run ends that is cut off there, and resumed by a graph made anew."""
        await _called(self._prepare)
        async with self._open_store() as store:
            faulty = FaultyBackend(store)
            graph = self._graph_on(faulty)
            if crash.where.startswith("after"):
                faulty.lose_answer("put", at=crash.step, error=Dead())
            elif crash.where.startswith("before"):
                faulty.fail("put", at=crash.step, error=Dead())
            else:
                wait = int(crash.where.split()[2])
                Instruments(graph, die_in=steps[crash.step - 1], at_wait=wait)
            try:
                await graph.run(self._task)
                return Ending(None, {}, error="nothing new: it took another course this time, and never came there")
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
            raise ValueError("build_graph has to hand its argument on: Graph(…, checkpoint_config=config).")
        if any(id(node) in self._nodes for node in graph.nodes.values()):
            raise ValueError(
                "build_graph must make new nodes, as a new process would; it returned the same ones again."
            )
        self._nodes |= {id(node): node for node in graph.nodes.values()}
        return graph

    async def _ending(self, graph: Graph, *, resume: bool) -> Ending:
        error, result = "", Message(content=None, status="", node=None)
        try:
            result = await graph.run(self._task, resume=resume)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        return Ending(result.content, graph.get_state_snapshot(), await _called(self._observe), error)


async def _called(function: Callable[[], Any] | None) -> Any:
    result = function() if function is not None else None
    return await result if isinstance(result, Awaitable) and inspect.isawaitable(result) else result
