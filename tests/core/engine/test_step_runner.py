"""What executes nodes: what it is given and gives back, and that this is all it needs."""

from __future__ import annotations

import asyncio
import pickle
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest

from spark.errors import NodeError, StateConflictError
from spark.graphs import Graph, JoinNode, Message, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.policies.run_trigger import RunTrigger
from spark.graphs.clock import SYSTEM_CLOCK
from spark.graphs.definition.step import Scope, Step
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.ending import Ending
from spark.graphs.engine.outcome import Cancelled, Failed, Finished, Outcome
from spark.graphs.engine.position import RunPosition
from spark.graphs.engine.run import GraphRun
from spark.graphs.engine.spec import FailureRule, RunSpec, Services
from spark.graphs.engine.step_runner import StepRunner
from spark.graphs.state.frontier import Token
from spark.graphs.state.transactions import StateStore, StateView, StateWrites
from tests.support.running import Does, Failure


@dataclass
class PlainView:
    """Committed values, copied."""

    label: str
    values: dict[str, Any]
    commits: int
    check: None = None

    @classmethod
    def of(cls, view: StateView) -> PlainView:
        return cls(view.label, dict(view.values), view.commits)


@dataclass
class PlainScope:
    """What a step sees of its run, copied."""

    graph_id: str
    run_id: str
    iteration: int
    state: PlainView
    node_states: dict[str, PlainView] = field(default_factory=dict)

    def node_state(self, key: str) -> PlainView:
        return self.node_states[key]


def plain_step(step: Step) -> Step:
    scope: Scope = step.scope
    own = PlainView.of(scope.node_state(step.node))
    state = PlainView.of(scope.state)
    return Step(PlainScope(scope.graph_id, scope.run_id, scope.iteration, state, {step.node: own}), step.token)


def plain_writes(writes: StateWrites | None) -> StateWrites | None:
    if writes is None:
        return None
    plain = StateWrites(writes.writer)
    plain.reads, plain.writes, plain.updates = writes.reads, writes.writes, writes.updates
    return plain


class FarRunner:
    """Stands for another machine: only bytes go there and come back."""

    def __init__(self, topology: Topology) -> None:
        self._far = StepRunner(topology.plans, threads=2)

    async def execute(self, step: Step) -> Outcome:
        arrived = pickle.loads(pickle.dumps(plain_step(step)))
        outcome = await self._far.execute(arrived)
        if isinstance(outcome, Finished):
            outcome = Finished(outcome.output, plain_writes(outcome.graph_writes), plain_writes(outcome.node_writes))
        back: Outcome = pickle.loads(pickle.dumps(outcome))
        return back

    def close(self) -> None:
        self._far.close()


def increment(count: int) -> int:
    return count + 1


class Work(Node):
    """Reads, sets, updates and deletes; counts in its own state."""

    async def process(self, context: NodeContext) -> Any:
        state = context.graph_state
        await state.update("total", increment, 0)
        await state.set(f"seen by {context.node}", await state.get("kept"))
        await state.delete(f"given to {context.node}")
        context.state["times"] = context.state.get("times", 0) + 1
        return {"from": context.node, "key": context.idempotency_key, "inputs": context.inputs}


class Blocking(Node):
    def process(self, context: NodeContext) -> Any:
        context.state["was here"] = True
        return {"from": "blocking"}


class Conflicts(Node):
    """Overwrites what its twin committed after it had looked."""

    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.get("kept")
        await asyncio.sleep(0)
        await context.graph_state.set("kept", context.node)


async def run(start: Node, *, far: bool) -> tuple[Message, RunPosition]:
    topology = Topology(start)
    frontier = topology.new_frontier()
    frontier.add(topology.start, {"limit": 1})
    state = StateStore("graph_state", {"kept": [1, 2], "given to a": 1})
    position = RunPosition(state=state, node_states={}, frontier=frontier)
    runner: Any = FarRunner(topology) if far else StepRunner(topology.plans, threads=2)
    spec = RunSpec(
        graph_id="g",
        run_id="r",
        topology=topology,
        config={},
        budget=None,
        max_concurrency=None,
        failure_rule=FailureRule(),
        checkpoint_config=CheckpointConfig(),
        is_resumed=False,
    )
    services = Services(runner=runner, saver=None, trigger=RunTrigger(None), clock=SYSTEM_CLOCK)
    try:
        return await Ending(GraphRun(spec, position, services)).reach(), position
    finally:
        runner.close()


async def test_steps_that_travel_as_bytes_come_to_the_same() -> None:
    start = Work(name="start")
    start >> [Work(name="a"), Work(name="b"), Blocking(name="c")] >> JoinNode(name="join") >> Work(name="last")
    (near, here), (far, there) = await run(start, far=False), await run(start, far=True)

    assert far == near
    assert there.state.values == here.state.values
    assert there.state.values["total"] == 4
    assert "given to a" not in there.state.values
    states = [{key: store.values for key, store in each.node_states.items() if store.values} for each in (here, there)]
    assert (
        states[0]
        == states[1]
        == {
            **{key: {"times": 1} for key in ("start", "a", "b", "last")},
            "c": {"was here": True},
        }
    )


@pytest.mark.parametrize("far", [False, True])
async def test_a_conflict_is_found_where_the_step_is_committed(far: bool) -> None:
    start = Does(lambda context: {}, name="start")
    start >> [Conflicts(name="a"), Conflicts(name="b")]

    with pytest.raises(StateConflictError, match="Node 'b' read graph_state"):
        await run(start, far=far)


async def fails(context: NodeContext) -> Any:
    raise Failure


async def leaves(context: NodeContext) -> Any:
    raise SystemExit(3)


async def lets_helper_be_cancelled(context: NodeContext) -> Any:
    helper = asyncio.create_task(asyncio.sleep(60))
    helper.cancel()
    await helper


async def hangs(context: NodeContext) -> Any:
    await asyncio.Event().wait()


def stepping(work: Any) -> tuple[StepRunner, Step]:
    topology = Topology(Does(work, name="node"))
    scope = PlainScope("g", "r", 0, PlainView("graph_state", {}, 0))
    return StepRunner(topology.plans, threads=1), Step(scope, Token("1", {}, "node", 1, None, "1"))


@pytest.mark.parametrize(
    ("work", "error"), [(fails, Failure), (leaves, SystemExit), (lets_helper_be_cancelled, NodeError)]
)
async def test_what_a_node_raises_is_an_outcome(work: Any, error: type[BaseException]) -> None:
    runner, step = stepping(work)

    outcome = await runner.execute(step)

    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, error)


async def test_a_step_that_is_cancelled_has_not_failed() -> None:
    runner, step = stepping(hangs)
    task = asyncio.create_task(runner.execute(step))
    await asyncio.sleep(0)
    task.cancel()

    assert isinstance(await task, Cancelled)


WHOSE: ContextVar[str] = ContextVar("WHOSE")


def split(items: list[int]) -> Node:
    start = Does(lambda context: {"items": items}, name="split")
    start.each("items") >> Does(lambda context: context.path, name="work") >> JoinNode(name="join")
    return start


@pytest.mark.parametrize("far", [False, True])
async def test_an_item_of_a_map_knows_its_place_wherever_it_runs(far: bool) -> None:
    message, _ = await run(split([5, 6]), far=far)

    assert message.content == {"results": [(0,), (1,)]}


def test_an_item_travels_without_its_siblings() -> None:
    """What is sent for one of many items is no larger than for one of a few."""
    sizes = []
    for count in (2, 2_000):
        frontier = Topology(split([1])).new_frontier()
        frontier.add("split", None)
        plan = Topology(split([1])).plans["split"]
        frontier.finish(frontier.start(), None, plan.targets({"items": [1] * count}))
        sizes.append(len(pickle.dumps(frontier.start())))

    assert sizes[0] == sizes[1]


class PlainReader(Node):
    def process(self, context: NodeContext) -> str:
        return WHOSE.get()


async def test_a_plain_node_sees_the_context_variables_of_whoever_runs_the_graph() -> None:
    """As tracing needs it: the thread would have none."""
    WHOSE.set("the caller's")

    assert (await Graph(PlainReader()).run()).content == "the caller's"
