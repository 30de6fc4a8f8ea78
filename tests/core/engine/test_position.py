"""Where a run stands, as checkpoints capture it: the states of many nodes cost those that changed."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock

from spark.graphs import Node
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.clock import SYSTEM_CLOCK
from spark.graphs.definition.step import Step
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.outcome import Finished
from spark.graphs.engine.position import RunPosition
from spark.graphs.engine.run import RunScope
from spark.graphs.engine.spec import FailureRule, RunSpec
from spark.graphs.state.transactions import StateStore, StateWrites
from spark.graphs.state.updates import DELETED


class Idle(Node):
    async def process(self) -> None: ...


class Run:
    """A run with so many idle branches, of which each has a state."""

    def __init__(self, branches: int) -> None:
        start = Idle(name="start")
        for number in range(branches):
            branch = Idle(name=f"branch {number}")
            start >> branch >> branch
        topology = Topology(start)
        frontier = topology.new_frontier()
        frontier.add("start", {})
        states = {
            f"branch {number}": StateStore(f"node_states['branch {number}']", {"times": 0})
            for number in range(branches)
        }
        self.position = RunPosition(state=StateStore("graph_state"), node_states=states, frontier=frontier)
        self.spec = RunSpec(
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
        self.commit(None)

    def commit(self, changes: dict[str, Any] | None) -> str:
        """Commit the next step, with these writes to its node's state; the key of the node."""
        step = Step(RunScope(self.spec, self.position, SYSTEM_CLOCK, run=AsyncMock()), self.position.frontier.start())
        writes = None
        if changes is not None:
            writes = StateWrites(step.node)
            writes.writes = changes
        outcome = Finished({}, node_writes=writes)
        assert self.position.commit(step, self.spec.topology.plans[step.node], outcome) is None
        return step.node

    def node_states(self) -> Any:
        return self.position.capture(self.spec, reason="trigger").sections["node_states"]


def test_a_capture_names_the_nodes_whose_state_changed() -> None:
    run = Run(branches=100)
    before = run.node_states()
    node = run.commit({"times": 1})
    after = run.node_states()

    assert len(before) == len(after) == 100
    assert after.changes_since(before.moment) == ((node,), ())
    assert after[node] == {"times": 1}
    assert all(after[key] is before[key] for key in before if key != node)


def test_a_node_whose_state_is_empty_again_is_left_out() -> None:
    run = Run(branches=2)
    first = run.commit({"times": DELETED})
    run.commit({"times": 5})

    assert first == "branch 0"
    assert run.node_states() == {"branch 1": {"times": 5}}
    run.commit({"times": 1})
    assert run.node_states() == {"branch 1": {"times": 5}, "branch 0": {"times": 1}}
