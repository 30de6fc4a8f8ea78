"""A run that is asked to stop does so at a boundary, saves where it stands, and can be resumed."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from tests.support.running import Countdown, Does, Failure, every_step, fan_out, history


class Service:
    """A loop that asks its own run to stop in one of its steps, in the way that a test chooses."""

    def __init__(self, stop: Any, *, at: int = 3) -> None:
        self.backend = InMemoryCheckpointBackend()
        self.graph = self._graph(stop, at)

    def _graph(self, stop: Any, at: int) -> Graph:
        async def work(context: NodeContext) -> Any:
            count = await context.graph_state.get("count", 0) + 1
            await context.graph_state.set("count", count)
            if count == at:
                stop()
                await asyncio.sleep(0)
            return {"done": count >= 5}

        loop = Does(work, name="loop")
        loop.on(done=False) >> loop
        return Graph(loop, id="service", checkpoint_config=every_step(self.backend))


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


@pytest.mark.parametrize("arguments", [{"reason": 5}, {"grace": -1}, {"grace": True}, {"grace": float("nan")}], ids=str)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(GraphDefinitionError, match=r"drain\("):
        Graph(Countdown()).drain(**arguments)
