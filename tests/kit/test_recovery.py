"""check_recovery passes right graphs, and names where a wrong one ends otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext, node
from spark.graphs.checkpoint import CheckpointConfig
from spark_testing import check_recovery


class Count(Node):
    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.get("count", 0) + 1
        await asyncio.sleep(0)
        await context.graph_state.set("count", count)
        return {"done": count >= 3}


class Remember(Node):
    """Keeps in an attribute what belongs into its state."""

    def __init__(self) -> None:
        self.total = 0

    async def process(self, context: NodeContext) -> Any:
        self.total += context.iteration + 1
        await context.graph_state.set("total", self.total)
        return {"done": context.iteration >= 2}


class Mail(Node):
    """Sends a mail, and waits for the answer."""

    sent: list[str]

    async def process(self, context: NodeContext) -> Any:
        Mail.sent.append("mail")
        await asyncio.sleep(0)
        return {}


class Collect(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return {"branches": len(context.inputs)}


def loop(step: Node, config: CheckpointConfig) -> Graph:
    step.on(done=False) >> step
    step.on(done=True) >> ExitNode()
    return Graph(start=step, id="loop", checkpoint_config=config)


def branches(config: CheckpointConfig) -> Graph:
    @node
    async def split(context: NodeContext) -> Any:
        return {}

    @node
    def plain(context: NodeContext) -> Any:
        return {}

    start = split
    start >> [Count(), plain] >> Collect()
    return Graph(start=start, id="branches", checkpoint_config=config)


def mailing(config: CheckpointConfig) -> Graph:
    mail = Mail()
    mail >> ExitNode()
    return Graph(start=mail, id="mailing", checkpoint_config=config)


async def test_a_right_graph_comes_to_the_same_end_wherever_it_is_cut_off() -> None:
    report = await check_recovery(lambda config: loop(Count(), config), inside_steps=True)

    assert report, str(report)
    assert report.expected.state == {"count": 3}
    assert [str(crash) for crash in report.crashes[:3]] == [
        "a crash at await 1 of step 1 (node 'Count')",
        "a crash before the checkpoint of step 1 (node 'Count')",
        "a crash after the checkpoint of step 1 (node 'Count')",
    ]
    report.check()


async def test_parallel_branches_and_joins_are_cut_off_too() -> None:
    report = await check_recovery(branches, inside_steps=True)

    assert report, str(report)
    assert {crash.node for crash in report.crashes} == {"split", "Count", "plain", "Collect"}


async def test_hidden_state_is_found_with_the_node_and_the_step() -> None:
    report = await check_recovery(lambda config: loop(Remember(), config))

    assert not report
    (first, *_) = report.differences
    assert (first.crash.node, first.crash.step) == ("Remember", 1)
    assert "state['total'] is 5 instead of 6" in str(report)
    with pytest.raises(AssertionError, match="Remember"):
        report.check()


async def test_a_side_effect_that_is_repeated_is_found_where_the_user_looks() -> None:
    """At a boundary nothing is repeated; within a step it is."""
    Mail.sent = []

    def look() -> list[str]:
        return list(Mail.sent)

    outside = await check_recovery(mailing, prepare=Mail.sent.clear, observe=look)
    inside = await check_recovery(mailing, prepare=Mail.sent.clear, observe=look, inside_steps=True)

    assert outside
    assert [difference.crash.where for difference in inside.differences] == [
        "at await 1 of",
        "before the checkpoint of",
    ]
    assert "observe() sees ['mail', 'mail'] instead of ['mail']" in str(inside)


async def test_a_graph_that_is_not_made_anew_is_refused() -> None:
    count = Count()

    with pytest.raises(ValueError, match="must make new nodes"):
        await check_recovery(lambda config: Graph(start=count, id="same", checkpoint_config=config))


async def test_a_graph_that_does_not_take_the_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="pass its argument on"):
        await check_recovery(lambda config: Graph(start=Mail(), id="deaf"))
