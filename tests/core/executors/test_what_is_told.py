"""What an executor is told of a step, so that it can choose where and how to execute it."""

from __future__ import annotations

from typing import Any

from spark.graphs import Graph, Node
from spark_testing.suites.executors import nodes
from tests.support.pickled_executor import PickledExecutor


async def told_of(node: Node, **options: Any) -> tuple[bool, bool]:
    with PickledExecutor() as executor:
        await Graph(node, executor=executor, **options).run()
        (step,) = executor.steps  # type: ignore[attr-defined]
    return step.is_async, step.is_timed


async def test_it_knows_async_nodes_from_plain_ones() -> None:
    assert (await told_of(nodes.Emits()))[0] is True
    assert (await told_of(nodes.Echo()))[0] is False
    assert (await told_of(nodes.emits_plainly))[0] is False


async def test_it_knows_whether_it_counts_when_the_step_begins() -> None:
    assert (await told_of(nodes.Emits()))[1] is False
    assert (await told_of(nodes.Emits(timeout=60)))[1] is True
    assert (await told_of(nodes.Emits(idle_timeout=60)))[1] is True
