"""A run that is asked to stop does so at a boundary, saves where it stands, and can be resumed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.draining import Service, Waits, stored, until
from tests.support.running import Countdown, Does, Failure, every_step, fan_out, history


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
