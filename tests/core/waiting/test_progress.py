"""A long step commits what it has done so far, and goes on from there when it is repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import BackendError, RunError, StateConflictError
from spark.graphs import Graph, JoinNode, Node, NodeContext, Retry
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark_testing import check_recovery
from spark_testing.clock import SkippingClock
from tests.support.running import Does, Failure, every_step, fan_out, history


class Import:
    """Reads ten pages, commits after each, and fails once in the middle."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.fails_at = {4}

    async def __call__(self, context: NodeContext) -> Any:
        for page in range(context.state.get("page", 0), 10):
            self.read.append(page)
            await context.graph_state.append("rows", f"row {page}")
            if page in self.fails_at:
                self.fails_at.remove(page)
                raise Failure(page)
            context.state["page"] = page + 1
            await context.commit()
        return {"attempt": context.attempt}


ROWS = [f"row {page}" for page in range(10)]


class TestRepeatedSteps:
    async def test_a_retry_goes_on_from_what_was_committed(self) -> None:
        work = Import()
        graph = Graph(Does(work, name="import"), retry=Retry(), clock=SkippingClock())
        assert (await graph.run()).content == {"attempt": 2}
        assert work.read == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]
        assert await graph.get_state("rows") == ROWS
        assert graph.progress is not None
        assert graph.progress.iteration == 1

    async def test_so_does_another_process_after_a_kill(self) -> None:
        work, backend = Import(), InMemoryCheckpointBackend()
        config = every_step(backend, trigger_on_failure=False)
        with pytest.raises(Failure):
            await Graph(Does(work, name="import"), id="shop", checkpoint_config=config).run()
        assert (await history(Graph(Does(work, name="import"), id="shop", checkpoint_config=config)))[
            -1
        ].graph_state == {"rows": ROWS[:4]}

        resumed = Graph(Does(work, name="import"), id="shop", checkpoint_config=config)
        await resumed.run(resume=True)
        assert work.read == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]
        assert await resumed.get_state("rows") == ROWS

    async def test_a_question_after_it_keeps_what_was_committed_and_drops_the_rest(self) -> None:
        async def asks(context: NodeContext) -> Any:
            seen = await context.graph_state.get("n", 0)
            await context.graph_state.set("n", seen + 1)
            await context.commit()
            await context.graph_state.set("n", 100)
            return [seen, await context.interrupt("?")]

        config = every_step(InMemoryCheckpointBackend())
        asked = await Graph(Does(asks, name="asks"), id="shop", checkpoint_config=config).run()
        done = Graph(Does(asks, name="asks"), id="shop", checkpoint_config=config)
        assert (await done.run(resume={asked.interrupts[0].id: "yes"})).content == [1, "yes"]

    async def test_wherever_the_process_is_killed_the_end_is_the_same(self) -> None:
        """With retries, commits within a step, durable calls, a map, and an error that is handled."""

        class Imports(Node):
            retry = Retry(jitter=False)

            async def process(self, context: NodeContext) -> Any:
                for page in range(context.state.get("page", 0), 3):
                    await context.graph_state.append("rows", page)
                    context.state["page"] = page + 1
                    await context.commit()
                await context.run("pay", int)
                if context.attempt < 3:
                    raise Failure
                return {"items": [1, 2, 3]}

        def build(config: CheckpointConfig) -> Graph:
            imports, join = Imports(), JoinNode(name="join")
            worker = Does(lambda context: 6 // (context.inputs - 2), name="worker")
            imports.each("items") >> worker >> join
            worker.on_error(ZeroDivisionError) >> Does(lambda context: context.inputs["inputs"], name="handler") >> join
            return Graph(imports, id="imports", clock=SkippingClock(), checkpoint_config=config)

        report = await check_recovery(build, inside_steps=True)
        assert report.differences == []
        assert len(report.crashes) > 20


class TestOtherSteps:
    async def test_parallel_branches_see_it(self) -> None:
        written, seen = asyncio.Event(), asyncio.Event()

        async def writes(context: NodeContext) -> Any:
            await context.graph_state.set("a", 1)
            await context.commit()
            written.set()
            await seen.wait()

        async def reads(context: NodeContext) -> Any:
            await written.wait()
            assert await context.graph_state.get("a") == 1
            seen.set()

        await asyncio.wait_for(fan_out(writes, reads).run(), 60)

    async def test_a_conflict_is_raised_there_and_nothing_is_committed(self) -> None:
        read, committed = asyncio.Event(), asyncio.Event()

        async def first(context: NodeContext) -> Any:
            await context.graph_state.get("a")
            await context.graph_state.update("b", lambda value: value + 1, 0)
            context.state["c"] = 1
            read.set()
            await committed.wait()
            await context.graph_state.set("a", "mine")
            with pytest.raises(StateConflictError):
                await context.commit()
            await context.graph_state.set("a", "mine")
            raise Failure

        async def second(context: NodeContext) -> Any:
            await read.wait()
            await context.graph_state.set("a", "theirs")
            await context.commit()
            committed.set()

        graph = fan_out(first, second)
        with pytest.raises(Failure):
            await graph.run()
        assert graph.get_state_snapshot() == {"a": "theirs"}
        assert graph.create_checkpoint().node_states == {}

    async def test_after_it_the_step_reads_anew_and_updates_are_applied_once(self) -> None:
        turn = [asyncio.Event() for _ in range(2)]

        async def first(context: NodeContext) -> Any:
            await context.graph_state.get("a")
            await context.graph_state.append("list", 1)
            await context.commit()
            turn[0].set()
            await turn[1].wait()
            assert await context.graph_state.get("a") == "theirs"
            await context.graph_state.set("a", "mine")
            await context.graph_state.append("list", 2)
            await context.commit()
            await context.commit()

        async def second(context: NodeContext) -> Any:
            await turn[0].wait()
            await context.graph_state.set("a", "theirs")
            await context.commit()
            turn[1].set()

        graph = fan_out(first, second)
        await graph.run()
        assert graph.get_state_snapshot() == {"list": [1, 2], "a": "mine"}

    async def test_a_commit_that_failed_has_changed_nothing_and_may_be_tried_again(self) -> None:
        async def work(context: NodeContext) -> Any:
            state = context.graph_state
            await state.update("count", lambda count: count + 1, 0)
            await state.update("other", lambda other: other / 0, 1)
            with pytest.raises(ZeroDivisionError):
                await context.commit()
            await state.set("other", "right")
            await state.update("count", lambda count: count + 1, 0)
            await context.commit()

        graph = Graph(Does(work, name="work"))
        await graph.run()
        assert graph.get_state_snapshot() == {"other": "right", "count": 2}


class TestRefused:
    async def test_while_a_transaction_block_is_open(self) -> None:
        async def work(context: NodeContext) -> Any:
            async with context.graph_state.transaction() as block:
                await block.set("a", 1)
                with pytest.raises(RunError, match="transaction block"):
                    await context.commit()
            await context.commit()

        await Graph(Does(work, name="work")).run()

    async def test_after_the_step_has_ended(self) -> None:
        kept: list[NodeContext] = []
        await Graph(Does(kept.append, name="work")).run()
        with pytest.raises(RunError, match="has ended"):
            await kept[0].commit()

    async def test_if_it_cannot_be_saved_the_run_stops_whatever_the_step_does(self) -> None:
        class Full(InMemoryCheckpointBackend):
            async def put(self, *record: Any, **more: Any) -> None:
                raise BackendError("The disk is full.")

        attempts: list[int] = []

        async def work(context: NodeContext) -> Any:
            attempts.append(context.attempt)
            await context.graph_state.set("a", 1)
            await context.commit()

        graph = Graph(Does(work, name="work"), id="shop", retry=Retry(), checkpoint_config=every_step(Full()))
        with pytest.raises(BackendError):
            await graph.run()
        assert attempts == [1]
