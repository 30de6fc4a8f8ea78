"""A run that is asked to stop does so at a boundary, saves where it stands, and can be resumed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import BackendError, GraphDefinitionError
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Retry, Task, node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.running import Countdown, Does, Failure, every_step, fan_out, history


class Service:
    """A loop that asks its own run to stop in one of its steps, in the way that a test chooses."""

    def __init__(self, stop: Any, *, at: int = 3, **config: Any) -> None:
        self.backend = InMemoryCheckpointBackend()
        self.graph = self._graph(stop, at, **config)

    def again(self, handler: CheckpointHandler) -> Graph:
        """The same in another process, which nothing asks to stop but the handler."""
        return self._graph(lambda: None, 0, handler=handler)

    def _graph(self, stop: Any, at: int, **config: Any) -> Graph:
        async def work(context: NodeContext) -> Any:
            count = await context.graph_state.get("count", 0) + 1
            await context.graph_state.set("count", count)
            if count == at:
                stop()
                await asyncio.sleep(0)
            return {"done": count >= 5}

        loop = Does(work, name="loop")
        loop.on(done=False) >> loop
        return Graph(loop, id="service", checkpoint_config=every_step(self.backend, **config))


def stored(start: Node, *, id: str = "stored", **more: Any) -> Graph:
    """A graph with a checkpoint at every boundary."""
    return Graph(start, id=id, checkpoint_config=every_step(InMemoryCheckpointBackend(), **more))


async def until(condition: Callable[[], Any]) -> None:
    """Let others run until it is true."""
    while not condition():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0)


class TestBoundary:
    async def test_the_step_that_runs_is_committed_and_no_other_begins(self) -> None:
        service = Service(lambda: service.graph.drain("new version"))
        message = await service.graph.run()

        assert (message.status, message.reason, message.content) == ("drained", "new version", None)
        assert service.graph.get_state_snapshot() == {"count": 3}
        last = (await history(service.graph))[-1]
        assert last.execution_metadata["reason"] == "drained"

    async def test_the_run_is_resumed_where_it_stopped(self) -> None:
        service = Service(lambda: service.graph.drain())
        drained = await service.graph.run()
        message = await service.graph.run(resume=True)

        assert (message.status, message.content) == ("completed", {"done": True})
        assert message.run_id == drained.run_id
        assert service.graph.get_state_snapshot() == {"count": 5}

    async def test_a_run_whose_last_step_it_was_is_complete(self) -> None:
        service = Service(lambda: service.graph.drain(), at=5)
        assert (await service.graph.run()).status == "completed"

    async def test_a_request_before_the_first_step_is_kept(self) -> None:
        service = Service(lambda: None)
        run = asyncio.create_task(service.graph.run())
        await asyncio.sleep(0)
        assert service.graph.drain("early")
        assert (await run).status == "drained"
        assert service.graph.get_state_snapshot() == {}

    async def test_without_a_run_there_is_nothing_to_stop_and_nothing_is_kept(self) -> None:
        service = Service(lambda: None)
        assert not service.graph.drain()
        assert (await service.graph.run()).status == "completed"

    async def test_a_run_that_waits_for_a_time_stops_at_once(self) -> None:
        async def waits(context: NodeContext) -> Any:
            await context.sleep(timedelta(hours=1))

        graph = Graph(Does(waits, name="waits"), id="waits", checkpoint_config=every_step(InMemoryCheckpointBackend()))
        run = asyncio.create_task(graph.run())
        await until(lambda: graph.progress and graph.progress.checkpoint)
        graph.drain()
        message = await run
        assert message.status == "drained"
        assert message.due is not None


class TestFromElsewhere:
    async def test_from_another_thread(self) -> None:
        def from_a_thread() -> None:
            thread = threading.Thread(target=service.graph.drain)
            thread.start()
            thread.join()

        service = Service(from_a_thread)
        assert (await service.graph.run()).status == "drained"

    async def test_from_a_signal_handler(self) -> None:
        service = Service(lambda: signal.raise_signal(signal.SIGUSR1))
        before = signal.signal(signal.SIGUSR1, lambda *_: service.graph.drain("signal"))
        try:
            message = await service.graph.run()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert (message.status, message.reason) == ("drained", "signal")

    async def test_from_a_signal_handler_of_the_event_loop_also_while_no_step_ever_waits(self) -> None:
        def counts(context: NodeContext) -> Any:
            steps.append(context.iteration)
            if len(steps) == 3:
                signal.raise_signal(signal.SIGUSR1)  # the event loop calls its handler when it has a turn
            return {"done": len(steps) >= 100_000}

        def stop() -> None:
            at.append(len(steps))
            graph.drain("signal")

        steps, at = list[int](), list[int]()
        loop, events = Does(counts, name="loop"), asyncio.get_running_loop()
        loop.on(done=False) >> loop
        graph = Graph(loop, id="busy", checkpoint_config=CheckpointConfig(backend=InMemoryCheckpointBackend()))
        events.add_signal_handler(signal.SIGUSR1, stop)
        try:
            message = await graph.run()
        finally:
            events.remove_signal_handler(signal.SIGUSR1)
        assert (message.status, message.reason) == ("drained", "signal")
        assert [len(steps)] == at

    async def test_from_a_signal_handler_while_all_steps_wait(self) -> None:
        graph = stored(Waits(name="waits"))
        before = signal.signal(signal.SIGUSR1, lambda *_: graph.drain(grace=0))
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            assert (await graph.run()).status == "drained"
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, before)

    async def test_from_many_threads_at_once_with_the_first_reason(self) -> None:
        def from_threads() -> None:
            threads = [threading.Thread(target=service.graph.drain, args=("same",)) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            service.graph.drain("later")

        service = Service(from_threads)
        message = await service.graph.run()
        assert (message.status, message.reason) == ("drained", "same")

    async def test_from_an_observer_of_checkpoints(self) -> None:
        class Stops(CheckpointHandler):
            async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
                if checkpoint.execution_metadata["iteration"] == 2:
                    service.graph.drain("hook")

        service = Service(lambda: None, handler=Stops())
        message = await service.graph.run()
        assert (message.status, message.reason) == ("drained", "hook")
        assert service.graph.get_state_snapshot() == {"count": 2}

    async def test_from_a_plain_node_in_its_thread(self) -> None:
        @node
        def stops(context: NodeContext) -> Any:
            graph.drain("thread")

        @node
        def after(context: NodeContext) -> Any:
            raise AssertionError("it must not begin")

        stops >> after
        graph = stored(stops)
        assert (await graph.run()).reason == "thread"

    async def test_from_an_observer_while_the_run_is_restored(self) -> None:
        class Stops(CheckpointHandler):
            async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
                service.graph.drain("early")
                service.graph.drain("later", grace=0)

        service = Service(lambda: service.graph.drain())
        await service.graph.run()
        service.graph = service.again(Stops())
        message = await service.graph.run(resume=True)
        assert (message.status, message.reason) == ("drained", "early")
        assert service.graph.get_state_snapshot() == {"count": 3}

    async def test_loading_is_no_run_that_could_be_asked(self) -> None:
        """The request would be lost, so the caller hears of it."""

        class Slow(InMemoryCheckpointBackend):
            async def get_latest(self, graph_id: str) -> Any:
                asked.append(graph.drain())
                return await super().get_latest(graph_id)

        asked: list[bool] = []
        graph = Graph(Does(lambda context: {}, name="a"), id="slow", checkpoint_config=every_step(Slow()))
        await graph.load()
        assert asked == [False]
        assert (await graph.run(resume=True)).status == "drained"
        assert asked == [False, True]

    async def test_each_of_several_graphs_is_asked_by_itself(self) -> None:
        graphs = [stored(Waits(name="waits"), id=f"graph {number}") for number in range(3)]
        runs = [asyncio.create_task(graph.run()) for graph in graphs]
        await until(lambda: all(graph.progress and graph.progress.running for graph in graphs))
        for graph in graphs[:2]:
            graph.drain(graph.graph_id, grace=0)
        assert [(await run).reason for run in runs[:2]] == ["graph 0", "graph 1"]
        assert not runs[2].done()
        graphs[2].drain(grace=0)
        assert (await runs[2]).status == "drained"


class Sum(JoinNode):
    """Adds what arrives."""

    async def process(self, context: NodeContext) -> Any:
        return sum(context.inputs)


class Waits(Node):
    """Waits until it is cancelled, and notes that it was."""

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)
        self.was_cancelled = False

    async def process(self, context: NodeContext) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


class TestGrace:
    async def test_running_branches_finish_and_count(self) -> None:
        go_on = asyncio.Event()

        async def finishes(context: NodeContext) -> Any:
            await go_on.wait()
            await context.graph_state.set("finished", True)

        def stops(context: NodeContext) -> Any:
            graph.drain()
            asyncio.get_running_loop().call_soon(go_on.set)

        graph = fan_out(finishes, stops)
        assert (await graph.run()).status == "completed"
        assert graph.get_state_snapshot() == {"finished": True}

    @pytest.mark.parametrize("beside", [False, True])
    async def test_what_does_not_finish_in_time_is_cancelled_and_stays_pending(self, beside: bool) -> None:
        slow, start = Waits(name="slow"), Does(lambda context: {}, name="start")
        start >> ([slow, Does(lambda context: {}, name="other")] if beside else [slow])
        backend = InMemoryCheckpointBackend()
        graph = Graph(start, id="slow", checkpoint_config=every_step(backend))
        run = asyncio.create_task(graph.run())
        await until(lambda: graph.progress and "slow" in graph.progress.running)
        graph.drain(grace=0)

        assert (await run).status == "drained"
        assert slow.was_cancelled
        frontier = (await history(graph))[-1].frontier
        assert frontier is not None
        assert "slow" in [token["node"] for token in frontier["tokens"].values()]

    async def test_it_also_shortens_what_branches_get_after_a_failure(self) -> None:
        async def fails(context: NodeContext) -> Any:
            asyncio.get_running_loop().call_soon(lambda: graph.drain(grace=0))
            raise Failure

        graph = fan_out(fails, Waits(name="slow").process)
        with pytest.raises(Failure):
            await graph.run()

    async def test_a_branch_that_fails_meanwhile_fails_the_run(self) -> None:
        async def fails(context: NodeContext) -> Any:
            await asyncio.sleep(0)
            raise Failure

        graph = fan_out(fails, lambda context: graph.drain())
        with pytest.raises(Failure):
            await graph.run()


class TestBeside:
    """What else goes on while a run is asked to stop."""

    @pytest.mark.parametrize("durability", ["async", "exit"])
    async def test_whatever_the_durability_the_boundary_is_stored(self, durability: str) -> None:
        service = Service(lambda: service.graph.drain(), durability=durability)
        await service.graph.run()
        last = (await history(service.graph))[-1]
        assert (last.graph_state, last.execution_metadata["reason"]) == ({"count": 3}, "drained")
        service.graph = service.again(CheckpointHandler())
        assert (await service.graph.run(resume=True)).status == "completed"

    async def test_a_plain_node_that_blocks_its_thread_is_reported_and_repeated(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
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

    async def test_items_of_a_map_that_have_not_begun_do_not_begin(self) -> None:
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

    async def test_thousands_of_steps_that_are_about_to_begin_do_not(self) -> None:
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

    async def test_a_durable_call_that_is_under_way_ends_and_is_recorded(self) -> None:
        go_on, calls = asyncio.Event(), list[str]()

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
        assert (await run).status == "drained"
        hangs = False
        assert (await graph.run(resume=True)).content == "receipt"
        assert calls == ["charge"]

    async def test_a_failed_step_that_is_to_be_retried_waits_in_the_store(self) -> None:
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

    async def test_a_run_that_is_cancelled_after_that_is_saved_and_raises(self) -> None:
        graph = stored(Waits(name="waits"))
        run = asyncio.create_task(graph.run())
        await until(lambda: graph.progress and graph.progress.running)
        graph.drain()
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert (await history(graph))[-1].execution_metadata["reason"] == "cancelled"

    async def test_a_budget_of_time_shortens_the_grace(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Waits(name="one"), Waits(name="other")]
        graph = stored(start)
        run = asyncio.create_task(graph.run(Task(budget=Budget(max_seconds=0.02))))
        await until(lambda: graph.progress and len(graph.progress.running) == 2)
        graph.drain()
        assert (await run).status == "drained"

    async def test_the_last_iteration_of_a_budget_may_be_the_boundary(self) -> None:
        service = Service(lambda: service.graph.drain())
        message = await service.graph.run(Task(budget=Budget(max_iterations=3)))
        assert message.status == "drained"

    async def test_a_claim_is_released_at_the_end(self) -> None:
        service = Service(lambda: service.graph.drain())
        await service.graph.run(claim=True)
        (run,) = await CheckpointManager(service.backend).runs()
        assert (run.status, run.owner) == ("drained", None)

    async def test_a_store_that_fails_shows(self) -> None:
        class Full(InMemoryCheckpointBackend):
            async def put(self, *args: Any, **kwargs: Any) -> Any:
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


@pytest.mark.parametrize("arguments", [{"reason": 5}, {"grace": -1}, {"grace": True}, {"grace": float("nan")}], ids=str)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GraphDefinitionError, match=r"drain\("):
        Graph(Countdown()).drain(**arguments)
