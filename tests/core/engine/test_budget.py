"""Limits of a run: over them comes a checkpoint, then an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import BudgetExceededError
from spark.graphs import Budget, Graph, NodeContext, Task, TaskType
from spark.graphs.checkpoint import CheckpointConfig
from spark_testing.clock import FakeClock
from tests.support.loop_time import LoopTime
from tests.support.running import Does, Ticking, countdown, history


async def test_a_hanging_node_is_stopped_when_the_seconds_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    start, time = Does(lambda context: {}, name="start"), LoopTime(monkeypatch)

    async def hangs(context: NodeContext) -> None:
        time.advance(0.01)
        await asyncio.Event().wait()

    start >> [Does(hangs, name=name) for name in "ab"]
    graph = Graph(
        start, id="hanging", checkpoint_config=CheckpointConfig(), clock=FakeClock()
    )  # only the timer ends it

    with pytest.raises(
        BudgetExceededError, match=r"graph 'hanging' used up its budget of 0\.01 s after 1 iterations"
    ) as caught:
        await graph.run(Task(type=TaskType.LONG_RUNNING, budget=Budget(max_seconds=0.01)))

    (checkpoint,) = await history(graph)
    assert isinstance(caught.value, TimeoutError)
    assert checkpoint.checkpoint_id in caught.value.__notes__[0]
    assert checkpoint.execution_metadata["reason"] == "budget"
    assert checkpoint.config["mode"] == "LONG_RUNNING"
    assert [token["node"] for token in checkpoint.frontier["tokens"].values()] == ["a", "b"]


async def test_seconds_are_measured_at_every_boundary_too() -> None:
    """Steps that never wait give a timer no chance; the clock is asked after each."""
    graph = Graph(countdown(), clock=Ticking(1))

    with pytest.raises(BudgetExceededError):
        await graph.run(Task(inputs={"limit": 10**9}, budget=Budget(max_seconds=50)))

    assert 10 < await graph.get_state("count") <= 50


async def test_iterations_are_limited_and_the_run_goes_on_with_a_new_budget() -> None:
    graph = Graph(countdown(), checkpoint_config=CheckpointConfig())

    with pytest.raises(BudgetExceededError, match="budget of 3 iterations"):
        await graph.run(Task(inputs={"limit": 5}, budget=Budget(max_iterations=3)))
    assert await graph.get_state("count") == 3

    message = await graph.run(Task(budget=Budget(max_iterations=10)), resume=True)
    assert message.content["count"] == 5


async def test_iterations_are_counted_on_across_a_resume() -> None:
    graph = Graph(countdown(), checkpoint_config=CheckpointConfig())
    for limit in (3, 4):
        with pytest.raises(BudgetExceededError):
            await graph.run(Task(inputs={"limit": 9}, budget=Budget(max_iterations=limit)), resume=True)

    assert await graph.get_state("count") == 4


async def test_a_budget_that_is_used_up_already_lets_nothing_run() -> None:
    graph = Graph(countdown(), checkpoint_config=CheckpointConfig())
    for _ in range(2):
        with pytest.raises(BudgetExceededError):
            await graph.run(Task(inputs={"limit": 9}, budget=Budget(max_iterations=3)), resume=True)

    assert await graph.get_state("count") == 3


async def test_a_run_that_ends_with_its_last_iteration_is_not_over_budget() -> None:
    message = await Graph(countdown()).run(Task(inputs={"limit": 3}, budget=Budget(max_iterations=3)))

    assert message.content["count"] == 3


async def test_a_budget_makes_a_checkpoint_even_where_failures_do_not() -> None:
    graph = Graph(countdown(), checkpoint_config=CheckpointConfig(trigger_on_failure=False))
    with pytest.raises(BudgetExceededError):
        await graph.run(Task(inputs={"limit": 5}, budget=Budget(max_iterations=3)))

    assert len(await history(graph)) == 1


async def test_a_timeout_of_a_node_is_not_taken_for_the_budget() -> None:
    async def times_out(context: NodeContext) -> Any:
        raise TimeoutError("the node's own")

    graph = Graph(Does(times_out, name="start"), checkpoint_config=CheckpointConfig())

    with pytest.raises(TimeoutError, match="the node's own") as caught:
        await graph.run(Task(budget=Budget(max_seconds=60)))

    assert not isinstance(caught.value, BudgetExceededError)
    assert (await history(graph))[-1].execution_metadata["reason"] == "failed"


async def test_without_checkpoints_the_error_comes_all_the_same() -> None:
    with pytest.raises(BudgetExceededError):
        await Graph(countdown()).run(Task(inputs={"limit": 5}, budget=Budget(max_iterations=3)))
