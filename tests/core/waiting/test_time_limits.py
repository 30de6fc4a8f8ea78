"""An execution that takes too long fails, whether or not it can be stopped."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, NodeError, RunError, StepTimeoutError
from spark.graphs import Graph, Node, NodeContext, Retry, node
from spark_testing.clock import FakeClock
from tests.support.running import Does, Work


class Run:
    """A run of one node beside a test that moves its clock."""

    def __init__(self, work: Work, *, retry: Retry | None = None, **limits: Any) -> None:
        start = Does(work, name="slow")
        for name, limit in limits.items():
            setattr(start, name, limit)
        self.clock = FakeClock()
        self.graph = Graph(start, clock=self.clock, retry=retry)
        self.task = asyncio.create_task(self.graph.run())

    async def after(self, *moments: float) -> Any:
        """What the run returns when the clock is moved to these times, one after the other."""
        for moment in moments:
            await turns()
            self.clock.advance(moment - self.clock.seconds)
        await turns()
        return (await self.task).content


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def until(is_there: Callable[[], bool]) -> None:
    """Wait for what happens in a thread."""
    for _ in range(5000):
        if is_there():
            return
        await asyncio.sleep(0.001)


async def hangs(context: NodeContext) -> Any:
    await asyncio.Event().wait()


class TestTimeout:
    async def test_a_step_that_takes_longer_is_cancelled_and_fails_in_its_name(self) -> None:
        cancelled: list[str] = []

        async def slow(context: NodeContext) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(context.node)
                raise

        run = Run(slow, timeout=timedelta(seconds=5))
        await turns()
        run.clock.advance(4.9)
        await turns()
        assert not run.task.done()
        with pytest.raises(StepTimeoutError, match="Node 'slow' took longer than its timeout of 5 s") as caught:
            await run.after(5)
        assert cancelled == ["slow"]
        assert isinstance(caught.value, TimeoutError)

    async def test_each_attempt_has_the_whole_time_and_its_writes_are_dropped(self) -> None:
        async def slow(context: NodeContext) -> Any:
            await context.graph_state.append("tries", context.attempt)
            if context.attempt < 3:
                await asyncio.Event().wait()
            return {"attempt": context.attempt}

        run = Run(slow, timeout=5, retry=Retry(retry_on=TimeoutError, jitter=False))
        assert await run.after(5, 6, 11, 13) == {"attempt": 3}
        assert await run.graph.get_state("tries") == [3]

    async def test_what_a_node_returns_after_its_time_does_not_count(self) -> None:
        async def late(context: NodeContext) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return {"late": True}

        with pytest.raises(StepTimeoutError):
            await Run(late, timeout=5).after(5)

    async def test_a_node_that_does_not_stop_is_reported_and_left_to_itself(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        release, contexts = asyncio.Event(), list[NodeContext]()

        async def stubborn(context: NodeContext) -> Any:
            contexts.append(context)
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            with pytest.raises(RunError, match="has ended"):
                await context.graph_state.set("late", True)
            with pytest.raises(RunError, match="has ended"):
                await context.run("late", print)
            release.clear()

        run = Run(stubborn, timeout=5)
        with caplog.at_level(logging.WARNING, "spark.graphs"), pytest.raises(StepTimeoutError, match="did not stop"):
            await run.after(5, 7.5, 10)
        assert "did not stop when it was cancelled" in caplog.text
        release.set()
        await turns()
        assert not release.is_set()  # it got as far as that

    async def test_a_plain_function_fails_at_once_and_its_thread_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun, release, done = threading.Event(), threading.Event(), threading.Event()
        refused: list[str] = []

        @node(timeout=5, name="blocks")
        def blocks(context: NodeContext) -> Any:
            context.state["before"] = 1
            begun.set()
            release.wait(60)
            try:
                context.state["after"] = 1
            except RunError as error:
                refused.append(str(error))
            done.set()
            return {"late": True}

        clock = FakeClock()
        graph = Graph(blocks, clock=clock)
        running = asyncio.create_task(graph.run())
        await asyncio.to_thread(begun.wait, 60)
        clock.advance(5)
        with pytest.raises(StepTimeoutError, match="a plain function, which can't be stopped: it keeps running"):
            await running
        assert "can't be stopped" in caplog.text
        assert graph.create_checkpoint().node_states.get("blocks", {}) == {}

        release.set()
        await asyncio.to_thread(done.wait, 60)
        assert len(refused) == 1
        await turns()

    async def test_steps_in_parallel_have_times_of_their_own(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Does(hangs, name="hangs"), Does(lambda context: {}, name="quick")]
        clock = FakeClock()
        graph = Graph(start, clock=clock, timeout=9)
        running = asyncio.create_task(graph.run())
        await turns()
        clock.advance(9)
        with pytest.raises(StepTimeoutError, match="'hangs'"):
            await running
        assert graph.progress is not None
        assert graph.progress.iteration == 2

    async def test_cancelling_the_run_cancels_a_step_that_is_timed(self) -> None:
        stopped: list[bool] = []

        async def slow(context: NodeContext) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(True)

        run = Run(slow, timeout=5)
        await turns()
        run.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.task
        assert stopped == [True]
        assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]

    async def test_durable_calls_of_a_timed_step_are_told_apart_as_elsewhere(self) -> None:
        called: list[str] = []

        async def slow(context: NodeContext) -> Any:
            keys = ["a", "b"] if context.attempt == 1 else ["other", "b"]
            for key in keys:
                await context.run(key, called.append, key)
            await asyncio.Event().wait()

        run = Run(slow, timeout=5, retry=Retry(jitter=False, retry_on=StepTimeoutError))
        await until(lambda: called == ["a", "b"])
        with pytest.raises(NodeError, match="other"):
            await run.after(5, 6)
        assert called == ["a", "b"]

    async def test_a_clock_that_fails_fails_the_step(self) -> None:
        class Broken(FakeClock):
            async def sleep(self, seconds: float) -> None:
                raise OSError("no clock")

        with pytest.raises(OSError, match="no clock"):
            await Graph(Does(hangs, name="slow"), timeout=5, clock=Broken()).run()

    async def test_nothing_is_left_when_a_step_ends_in_time(self) -> None:
        assert await Run(lambda context: {"in": "time"}, timeout=5, idle_timeout=3).after() == {"in": "time"}
        await turns()
        assert len(asyncio.all_tasks()) == 1


class TestIdleTimeout:
    async def test_a_step_without_a_sign_of_life_fails(self) -> None:
        with pytest.raises(StepTimeoutError, match=r"no sign of life for its idle_timeout of 3 s.*context\.heartbeat"):
            await Run(hangs, idle_timeout=3, timeout=60).after(3)

    @pytest.mark.parametrize(
        "sign",
        [NodeContext.heartbeat, lambda context: context.emit("token"), lambda context: context.run("call", print)],
    )
    async def test_signs_of_life_keep_it_going(self, sign: Callable[[NodeContext], Any]) -> None:
        beats, given = asyncio.Queue[None](), asyncio.Semaphore(0)

        async def works(context: NodeContext) -> Any:
            for _ in range(3):
                await beats.get()
                awaited = sign(context)
                if awaited is not None:
                    await awaited
                given.release()
            await asyncio.Event().wait()

        run = Run(works, idle_timeout=3)
        for _ in range(3):
            await turns()
            run.clock.advance(2)
            beats.put_nowait(None)
            await asyncio.wait_for(given.acquire(), 60)  # a plain function is called in a thread
        run.clock.advance(2.9)
        await turns()
        assert not run.task.done()
        with pytest.raises(StepTimeoutError):
            await run.after(9)

    async def test_heartbeats_of_a_node_without_limits_are_fine(self) -> None:
        assert await Run(lambda context: context.heartbeat()).after() is None


class TestWhereItIsSaid:
    async def test_a_nodes_own_limit_wins_over_the_graphs(self) -> None:
        class Patient(Node):
            timeout = None

            async def process(self) -> Any:
                await released.wait()
                return {}

        released, clock = asyncio.Event(), FakeClock()
        running = asyncio.create_task(Graph(Patient(), timeout=5, clock=clock).run())
        await turns()
        clock.advance(9)
        await turns()
        released.set()
        assert (await running).content == {}

    @pytest.mark.parametrize("limit", [0, -1, "5", True, float("inf"), timedelta(0)])
    def test_what_is_no_time_is_refused(self, limit: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="positive number of seconds"):
            Graph(Does(hangs, name="a"), timeout=limit)
