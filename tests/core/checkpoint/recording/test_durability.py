"""When the run waits for the store, and what is saved however it ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from spark.errors import BackendError, GraphDefinitionError, SerializationError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.recording.saving import MOST_WAITING
from spark.graphs.checkpoint.storage import Record
from tests.support.running import Does, Failure, every_step, history


class Slow(InMemoryCheckpointBackend):
    """A store whose puts wait until the gate is open."""

    def __init__(self, *, fails_at: int = 0) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self.begun: list[int] = []
        self._fails_at = fails_at

    async def put(self, record: Record) -> None:
        self.begun.append(record.sequence)
        self.reached.set()
        await self.gate.wait()
        if record.sequence == self._fails_at:
            raise BackendError("the disk is full")
        await super().put(record)


class Counted:
    """A loop that counts in the state, and what can be seen of it from outside."""

    def __init__(self, *, last: int, fails_at: int = 0) -> None:
        self.steps = 0
        self._last = last
        self._fails_at = fails_at
        self.loop = Does(self._step, name="loop")
        self.loop.on(more=True) >> self.loop

    async def _step(self, context: NodeContext) -> Any:
        self.steps += 1
        if self.steps == self._fails_at:
            raise Failure("at last")
        await context.graph_state.set("count", context.iteration + 1)
        return {"more": context.iteration + 1 < self._last}


def graph_of(node: Node, backend: InMemoryCheckpointBackend, durability: str, **more: Any) -> Graph:
    return Graph(node, id="g", checkpoint_config=every_step(backend, durability=durability, **more))


async def turns(count: int = 100) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def counts(graph: Graph) -> list[int]:
    return [checkpoint.graph_state["count"] for checkpoint in await history(graph)]


class TestSync:
    async def test_the_next_step_waits_until_the_checkpoint_is_durable(self) -> None:
        backend, counted = Slow(), Counted(last=5)
        running = asyncio.create_task(graph_of(counted.loop, backend, "sync").run())
        await backend.reached.wait()
        await turns()

        assert (counted.steps, backend.begun) == (1, [1])
        backend.gate.set()
        await running


class TestAsync:
    async def test_the_run_goes_on_while_a_checkpoint_is_saved(self) -> None:
        backend, counted = Slow(), Counted(last=5)
        running = asyncio.create_task(graph_of(counted.loop, backend, "async").run())
        await backend.reached.wait()
        await turns()

        assert (counted.steps, backend.begun) == (5, [1])
        assert not running.done()
        backend.gate.set()
        await running

    async def test_each_is_the_boundary_at_which_it_was_taken_and_they_stay_in_order(self) -> None:
        backend, counted = Slow(), Counted(last=6)
        graph = graph_of(counted.loop, backend, "async")
        running = asyncio.create_task(graph.run())
        await backend.reached.wait()
        await turns()
        backend.gate.set()
        await running

        assert await counts(graph) == [1, 2, 3, 4, 5, 6]
        assert [checkpoint.parent for checkpoint in await history(graph)] == [None, 1, 2, 3, 4, 5]
        times = [checkpoint.timestamp for checkpoint in await history(graph)]
        assert times == sorted(times)

    async def test_no_more_wait_than_the_bound(self) -> None:
        backend, counted = Slow(), Counted(last=50)
        running = asyncio.create_task(graph_of(counted.loop, backend, "async").run())
        await backend.reached.wait()
        await turns(300)

        assert counted.steps == MOST_WAITING + 1
        backend.gate.set()
        await running
        assert counted.steps == 50

    async def test_the_first_failure_stops_the_run_and_nothing_is_saved_after_it(self) -> None:
        backend, counted = Slow(fails_at=3), Counted(last=500)
        backend.gate.set()
        with pytest.raises(BackendError, match="the disk is full"):
            await graph_of(counted.loop, backend, "async").run()

        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 2]
        assert counted.steps <= 3 + MOST_WAITING + 1

    async def test_a_failure_after_the_last_step_is_raised_all_the_same(self) -> None:
        backend, counted = Slow(fails_at=2), Counted(last=3)
        running = asyncio.create_task(graph_of(counted.loop, backend, "async").run())
        await backend.reached.wait()
        await turns()
        assert counted.steps == 3
        backend.gate.set()

        with pytest.raises(BackendError, match="the disk is full"):
            await running

    async def test_everything_is_saved_before_an_exception_leaves_the_run(self) -> None:
        backend, counted = Slow(), Counted(last=9, fails_at=5)
        graph = graph_of(counted.loop, backend, "async")
        running = asyncio.create_task(graph.run())
        await backend.reached.wait()
        await turns()
        backend.gate.set()
        with pytest.raises(Failure):
            await running

        assert await counts(graph) == [1, 2, 3, 4, 4]
        assert (await history(graph))[-1].execution_metadata["reason"] == "failed"

    async def test_a_cancelled_run_saves_what_it_took_before_it_is_left(self) -> None:
        backend, forever = Slow(), asyncio.Event()

        async def wait_at_the_fourth(context: NodeContext) -> Any:
            await context.graph_state.set("count", context.iteration + 1)
            if context.iteration == 3:
                await forever.wait()
            return {"more": True}

        loop = Does(wait_at_the_fourth, name="loop")
        loop.on(more=True) >> loop
        graph = graph_of(loop, backend, "async")
        running = asyncio.create_task(graph.run())
        await backend.reached.wait()
        await turns()
        running.cancel()
        await turns()
        assert not running.done()
        backend.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert await counts(graph) == [1, 2, 3, 3]
        assert (await history(graph))[-1].execution_metadata["reason"] == "cancelled"

    async def test_a_store_that_does_not_answer_holds_up_nobody_beyond_the_grace(self) -> None:
        backend, counted = Slow(), Counted(last=10**9)
        running = asyncio.create_task(graph_of(counted.loop, backend, "async", cancel_grace=0.05).run())
        for _ in range(2):
            await turns()
            running.cancel()

        await asyncio.wait([running], timeout=60)
        assert running.cancelled()
        assert [task for task in asyncio.all_tasks() if "saving" in task.get_name()] == []

    async def test_handlers_hear_of_each_once_it_is_durable(self) -> None:
        heard: list[int | None] = []

        class Listens(CheckpointHandler):
            async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
                assert await backend.get("g", checkpoint.sequence or 0) is not None
                heard.append(checkpoint.sequence)

        backend = InMemoryCheckpointBackend()
        await graph_of(Counted(last=20).loop, backend, "async", handler=Listens()).run()

        assert heard == list(range(1, 21))

    async def test_what_cant_be_saved_says_where_it_is(self) -> None:
        async def work(context: NodeContext) -> Any:
            await context.graph_state.set("bad", {"here": object()} if context.iteration == 2 else 1)
            return {"more": context.iteration < 30}

        loop = Does(work, name="loop")
        loop.on(more=True) >> loop
        with pytest.raises(SerializationError, match=r"graph_state\['bad'\]\['here'\]"):
            await graph_of(loop, InMemoryCheckpointBackend(), "async").run()


class TestExit:
    async def test_only_the_end_is_saved(self) -> None:
        backend, counted = InMemoryCheckpointBackend(), Counted(last=7)
        graph = graph_of(counted.loop, backend, "exit")
        await graph.run()

        assert await counts(graph) == [7]

    async def test_a_failure_is_an_end(self) -> None:
        backend, counted = InMemoryCheckpointBackend(), Counted(last=9, fails_at=5)
        graph = graph_of(counted.loop, backend, "exit")
        with pytest.raises(Failure):
            await graph.run()

        assert await counts(graph) == [4]
        assert (await history(graph))[-1].execution_metadata["reason"] == "failed"

    async def test_without_one_at_failure_the_last_that_was_due_is_saved(self) -> None:
        backend, counted = InMemoryCheckpointBackend(), Counted(last=9, fails_at=6)
        config = CheckpointConfig(backend=backend, trigger_on_iteration=2, durability="exit", trigger_on_failure=False)
        graph = Graph(counted.loop, id="g", checkpoint_config=config)
        with pytest.raises(Failure):
            await graph.run()

        assert await counts(graph) == [4]

    async def test_a_cancelled_run_saves_the_last_that_was_due(self) -> None:
        backend, reached = InMemoryCheckpointBackend(), asyncio.Event()

        async def wait_at_the_fourth(context: NodeContext) -> Any:
            await context.graph_state.set("count", context.iteration + 1)
            if context.iteration == 3:
                reached.set()
                await asyncio.Event().wait()
            return {"more": True}

        loop = Does(wait_at_the_fourth, name="loop")
        loop.on(more=True) >> loop
        graph = graph_of(loop, backend, "exit")
        running = asyncio.create_task(graph.run())
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert await counts(graph) == [3]
        assert await resumed_count(backend) == 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there, no task runs before whoever made it waits")
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_program_with_eager_tasks_saves_and_ends_like_others(durability: str) -> None:
    def count(context: NodeContext) -> Any:
        return {"more": context.iteration < 20}

    backend, loop = InMemoryCheckpointBackend(), Does(count, name="loop")
    loop.on(more=True) >> loop
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    try:
        async with asyncio.timeout(60):
            await graph_of(loop, backend, durability).run()
    finally:
        asyncio.get_running_loop().set_task_factory(None)

    assert len(await CheckpointManager(backend).list_checkpoints("g")) == (1 if durability == "exit" else 21)


async def resumed_count(backend: InMemoryCheckpointBackend) -> int:
    checkpoint = await CheckpointManager(backend).load_latest("g")
    assert checkpoint is not None
    count: int = checkpoint.graph_state["count"]
    return count


def test_another_word_is_refused() -> None:
    with pytest.raises(GraphDefinitionError, match="give 'sync', 'async' or 'exit'"):
        CheckpointConfig(durability="later")  # type: ignore[arg-type]
