"""What else goes on while a run is asked to stop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from spark.errors import BackendError, ClaimedError
from spark.graphs import Budget, Graph, JoinNode, Message, NodeContext, Retry, Task, node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    Claim,
    InMemoryCheckpointBackend,
)
from spark_testing.clock import FakeClock
from tests.support.draining import Service, Waits, stored, until
from tests.support.loop_time import LoopTime
from tests.support.running import Does, Failure, every_step, history


class Sum(JoinNode):
    """Adds what arrives."""

    async def process(self, context: NodeContext) -> Any:
        return sum(context.inputs)


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_whatever_the_durability_the_boundary_is_stored(durability: str) -> None:
    service = Service(lambda: service.graph.drain(), durability=durability)
    await service.graph.run()
    last = (await history(service.graph))[-1]
    assert (last.graph_state, last.execution_metadata["reason"]) == ({"count": 3}, "drained")
    service.graph = service.again(CheckpointHandler())
    assert (await service.graph.run(resume=True)).status == "completed"


async def test_a_plain_node_that_blocks_its_thread_is_reported_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    let_go, began = threading.Event(), threading.Event()

    @node
    def blocks(context: NodeContext) -> Any:
        began.set()
        let_go.wait()
        return "late"

    graph = stored(blocks, cancel_grace=0.02)
    run = asyncio.create_task(graph.run())
    await until(began.is_set)
    graph.drain(grace=0.01)
    message = await run
    let_go.set()

    assert message.status == "drained"
    assert "'blocks' did not stop when cancelled" in caplog.text
    assert (await graph.run(resume=True)).content == "late"


async def test_items_of_a_map_that_have_not_begun_do_not_begin() -> None:
    go_on, begun = asyncio.Event(), list[int]()

    async def item(context: NodeContext) -> Any:
        begun.append(context.inputs)
        await go_on.wait()
        return context.inputs * 2

    split = Does(lambda context: {"items": [*range(10)]}, name="split")
    split.each("items", limit=3) >> Does(item, name="item") >> (total := Sum(name="total"))
    graph = stored(split)
    run = asyncio.create_task(graph.run())
    await until(lambda: len(begun) == 3)
    graph.drain()
    go_on.set()

    assert (await run).status == "drained"
    assert begun == [0, 1, 2]
    message = await graph.run(resume=True)
    assert (message.node, message.content, len(begun)) == (total.label(), 90, 10)


async def test_thousands_of_steps_that_are_about_to_begin_do_not() -> None:
    go_on, begun = asyncio.Event(), list[int]()

    async def item(context: NodeContext) -> Any:
        begun.append(context.inputs)
        graph.drain()
        asyncio.get_running_loop().call_later(0.02, go_on.set)
        await go_on.wait()

    split = Does(lambda context: {"items": [*range(2000)]}, name="split")
    split.each("items", limit=2000) >> Does(item, name="item")
    graph = Graph(split)
    assert (await graph.run()).status == "drained"
    assert len(begun) < 200


async def test_a_durable_call_that_is_under_way_ends_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, calls, time = asyncio.Event(), list[str](), LoopTime(monkeypatch)

    async def charge() -> str:
        calls.append("charge")
        await go_on.wait()
        return "receipt"

    async def pays(context: NodeContext) -> Any:
        receipt = await context.run("charge", charge)
        await asyncio.Event().wait() if len(calls) < 2 and hangs else None
        return receipt

    hangs = True
    graph = stored(Does(pays, name="pays"))
    run = asyncio.create_task(graph.run())
    await until(lambda: calls)
    graph.drain(grace=0.1)
    go_on.set()
    for _ in range(20):
        await asyncio.sleep(0)  # by then it is recorded
    time.advance(0.1)
    assert (await run).status == "drained"
    hangs = False
    assert (await graph.run(resume=True)).content == "receipt"
    assert calls == ["charge"]


async def test_a_failed_step_that_is_to_be_retried_waits_in_the_store() -> None:
    attempts = []

    def fails_once(context: NodeContext) -> Any:
        attempts.append(context.attempt)
        graph.drain()
        if len(attempts) == 1:
            raise Failure
        return "done"

    flaky = Does(fails_once, name="flaky")
    flaky.retry = Retry(initial_interval=0.01)
    graph = stored(flaky)
    message = await graph.run()
    assert (message.status, message.due is not None) == ("drained", True)
    assert (await graph.run(resume=True)).content == "done"
    assert attempts == [1, 2]


async def test_a_run_that_is_cancelled_after_that_is_saved_and_raises() -> None:
    graph = stored(Waits(name="waits"))
    run = asyncio.create_task(graph.run())
    await until(lambda: graph.progress and graph.progress.running)
    graph.drain()
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await history(graph))[-1].execution_metadata["reason"] == "cancelled"


async def test_a_budget_of_time_shortens_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    start, time = Does(lambda context: {}, name="start"), LoopTime(monkeypatch)
    start >> [Waits(name="one"), Waits(name="other")]
    graph = stored(start)
    run = asyncio.create_task(graph.run(Task(budget=Budget(max_seconds=0.02))))
    await until(lambda: graph.progress and len(graph.progress.running) == 2)
    graph.drain()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not run.done()
    time.advance(0.02)
    assert (await run).status == "drained"


async def test_the_last_iteration_of_a_budget_may_be_the_boundary() -> None:
    service = Service(lambda: service.graph.drain())
    message = await service.graph.run(Task(budget=Budget(max_iterations=3)))
    assert message.status == "drained"


async def test_a_claim_is_released_at_the_end() -> None:
    service = Service(lambda: service.graph.drain())
    await service.graph.run(claim=True)
    (run,) = await CheckpointManager(service.backend).runs()
    assert (run.status, run.owner) == ("drained", None)


async def test_a_claim_that_is_lost_meanwhile_ends_it_at_once_and_nothing_is_saved() -> None:
    def begun(clock: FakeClock, **arguments: Any) -> tuple[Graph, asyncio.Task[Message]]:
        start = Does(lambda context: {}, name="start")
        start >> [Waits(name="one"), Waits(name="other")]
        graph = Graph(start, id="claimed", checkpoint_config=every_step(store), clock=clock)
        return graph, asyncio.create_task(graph.run(claim=Claim(), **arguments))

    store, late, clock = InMemoryCheckpointBackend(), FakeClock(), FakeClock()
    ours, run = begun(late)
    await until(lambda: ours.progress and len(ours.progress.running) == 2)
    ours.drain()
    clock.advance(60)
    theirs, their_run = begun(clock, resume=True)
    await until(lambda: theirs.progress and len(theirs.progress.running) == 2)
    late.advance(60)

    with pytest.raises(ClaimedError, match="taken over"):
        await asyncio.wait_for(run, 60)
    theirs.drain(grace=0)
    assert (await their_run).status == "drained"
    reasons = [checkpoint.execution_metadata["reason"] for checkpoint in await history(theirs)]
    assert reasons.count("drained") == 1


async def test_a_store_that_fails_shows() -> None:
    class Full(InMemoryCheckpointBackend):
        async def put(*args: Any, **kwargs: Any) -> Any:
            if is_full:
                raise OSError("no space left on device")
            return await super().put(*args, **kwargs)

    def fills(context: NodeContext) -> Any:
        nonlocal is_full
        is_full = True
        graph.drain()
        return {}

    is_full, start = False, Does(fills, name="fills")
    start >> Does(lambda context: {}, name="next")
    graph = Graph(start, id="full", checkpoint_config=CheckpointConfig(backend=Full()))
    with pytest.raises(BackendError, match="no space left"):
        await graph.run()
