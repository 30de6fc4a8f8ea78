"""Runs that are stored before they begin, and left to whoever looks next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, InputConflictError
from spark.graphs import Budget, Graph, NodeContext, Task
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark_testing.clock import FakeClock
from tests.support.running import Does


def order(id: str, store: InMemoryCheckpointBackend | None, done: list[Any], **options: Any) -> Graph:
    """One step, which notes its inputs and the state that it found."""

    async def work(context: NodeContext) -> Any:
        done.append((context.inputs, await context.graph_state.get("paid")))
        return "shipped"

    config = CheckpointConfig(backend=store) if store is not None else None
    return Graph(Does(work, name="ship"), id=id, state={"paid": 1}, checkpoint_config=config, **options)


async def test_a_submitted_run_is_durable_and_takes_no_step() -> None:
    store, done = InMemoryCheckpointBackend(), list[Any]()
    graph = order("order-1", store, done)

    assert await graph.submit({"item": "tea"})

    (run,) = await CheckpointManager(store).runs("queued")
    assert (run.graph_id, run.iteration, run.owner, done) == ("order-1", 0, None, [])
    assert run.run_id is not None


async def test_whoever_looks_next_runs_it_with_its_inputs_and_state() -> None:
    store, done = InMemoryCheckpointBackend(), list[Any]()
    graph = order("order-1", store, done)
    await graph.set_state("paid", 2)
    await graph.submit({"item": "tea"})
    manager = CheckpointManager(store)
    (queued,) = await manager.runs()

    recovery = await manager.resume_all(lambda id: order(id, store, done))

    message = recovery.resumed["order-1"]
    assert (message.status, message.content, message.run_id) == ("completed", "shipped", queued.run_id)
    assert done == [({"item": "tea"}, 2)]
    assert (await manager.resume_all(lambda id: order(id, store, done))).resumed == {}


async def test_the_graph_that_submitted_it_can_run_it_too() -> None:
    done = list[Any]()
    graph = order("order-1", InMemoryCheckpointBackend(), done)
    await graph.submit({"item": "tea"})

    assert (await graph.run(resume=True)).content == "shipped"
    assert len(done) == 1


async def test_sent_again_it_changes_nothing() -> None:
    """Neither while it waits, nor once it is complete; and with other inputs it is refused."""
    store, done = InMemoryCheckpointBackend(), list[Any]()
    assert await order("order-1", store, done).submit({"item": "tea"})

    assert not await order("order-1", store, done).submit({"item": "tea"})
    with pytest.raises(InputConflictError, match="differ in 'item'"):
        await order("order-1", store, done).submit({"item": "coffee"})
    await order("order-1", store, done).run(resume=True)
    assert not await order("order-1", store, done).submit({"item": "tea"})
    assert len(done) == len(await CheckpointManager(store).runs("completed")) == 1


async def test_of_several_that_submit_at_once_one_stores_it() -> None:
    store, done = InMemoryCheckpointBackend(), list[Any]()
    submitting = [order("order-1", store, done).submit({"item": "tea"}) for _ in range(5)]

    stored = await asyncio.gather(*submitting)

    assert sorted(stored) == [False, False, False, False, True]
    assert len(await CheckpointManager(store).list_checkpoints("order-1")) == 1


async def test_what_no_worker_could_find_or_know_is_refused() -> None:
    with pytest.raises(GraphDefinitionError, match="no store in which a worker could find the run"):
        await order("order-1", None, []).submit()
    with pytest.raises(GraphDefinitionError, match="checkpoints hold no budget"):
        await order("order-1", InMemoryCheckpointBackend(), []).submit(Task(budget=Budget(max_seconds=1)))


async def test_its_time_is_that_of_the_graph() -> None:
    store, clock = InMemoryCheckpointBackend(), FakeClock()
    await order("order-1", store, [], clock=clock).submit()

    (run,) = await CheckpointManager(store).runs("queued")
    assert run.since == clock.utc_now()
