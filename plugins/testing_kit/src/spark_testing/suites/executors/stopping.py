"""Time limits, cancellation and draining: steps that have to stop, or to be waited for."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from spark.errors import StepTimeoutError
from spark.graphs import Graph, JoinNode, Node
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.executors import Executor, StepChannel, StepHandle, StepInput
from spark_testing.clock import FakeClock
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import GivenExecutor, at_once, lines, run, until


class Stopping(GivenExecutor):
    """Time limits, cancellation and draining."""

    async def test_a_step_whose_time_is_up_is_cancelled(self, executor: Executor, file: str) -> None:
        await end_of_time(nodes.Waits(timeout=60), executor, file)

        assert lines(file) == ["begins", "is cancelled"], "the step was not cancelled when its time was up"

    async def test_a_plain_node_whose_time_is_up_is_stopped(self, executor: Executor, file: str) -> None:
        if not self.in_processes:
            return
        await end_of_time(nodes.Spins(timeout=60), executor, file)

        await until(lambda: not is_alive(int(lines(file)[0])), what="the worker of a plain node had ended")
        assert (await run(nodes.Echo(), {"x": 1}, executor=executor)).message.content == {"x": 1}, (
            "after a step was stopped, the executor serves no more"
        )

    async def test_a_heartbeat_is_a_sign_of_life(self, executor: Executor) -> None:
        """However long the machine takes: time passes only after a heartbeat."""
        clock = FakeClock()
        aging = Aging(executor, clock, seconds=40)
        ran = await run(nodes.Beats(idle_timeout=60), executor=aging, clock=clock)

        assert ran.message.content == "alive", (
            "A node that took longer than its idle_timeout, but sent heartbeats, must continue."
        )
        assert clock.monotonic() > 60, "the heartbeats of a step did not reach its run"

    async def test_waiting_for_a_worker_takes_no_time_of_a_step(self, executor: Executor, file: str) -> None:
        clock, start = FakeClock(), nodes.Echo(name="start")
        held = [nodes.Held(name="first"), nodes.Held(name="second")]
        start >> [*held, nodes.Echo(name="third", timeout=60)] >> JoinNode()
        running = asyncio.create_task(run(start, {"file": file}, executor=executor, clock=clock))
        await until(lambda: len(lines(file)) == 2, what="two steps had begun")
        clock.advance(600)
        nodes.note(file, "go on")

        assert len((await running).message.content["results"]) == 3, "the results of steps that had to wait are lost"

    async def test_what_ends_too_late_is_dropped(self, executor: Executor) -> None:
        """Its time was up, and another attempt has begun: a second result must change nothing."""
        clock = FakeClock()
        aging = Aging(executor, clock, seconds=600)
        ran = await run(nodes.EndsLate(timeout=60, retry=at_once), executor=aging, clock=clock)

        assert ran.message.content == "in time", "a step that gives signs of life was stopped"
        assert ran.state["done"] == [2], "what a step wrote while it gave signs of life is lost"

    async def test_a_run_that_is_cancelled_cancels_its_steps(self, executor: Executor, file: str) -> None:
        running = asyncio.create_task(Graph(nodes.Waits(), executor=executor).run({"file": file}))
        await until(lambda: lines(file), what="the step had begun")
        running.cancel()

        with pytest.raises(asyncio.CancelledError):
            await running
        assert lines(file) == ["begins", "is cancelled"], "the step was not cancelled with its run"
        assert (await run(nodes.Echo(), {"x": 1}, executor=executor)).message.content == {"x": 1}, (
            "after a run was cancelled, the executor serves no more"
        )

    async def test_a_run_that_is_cancelled_stops_plain_nodes(self, executor: Executor, file: str) -> None:
        if not self.in_processes:
            return
        running = asyncio.create_task(Graph(nodes.Spins(), executor=executor).run({"file": file}))
        await until(lambda: lines(file), what="the step had begun")
        running.cancel()

        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: not is_alive(int(lines(file)[0])), what="the worker of a plain node had ended")

    async def test_a_run_that_is_drained_waits_for_its_steps(self, executor: Executor, file: str) -> None:
        """And continues after them."""
        store = InMemoryCheckpointBackend()
        start = nodes.Held(name="start")
        start >> nodes.Echo()

        def graph() -> Graph:
            return Graph(start, id="g", executor=executor, checkpoint_config=CheckpointConfig(backend=store))

        drained = graph()
        running = asyncio.create_task(drained.run({"file": file}))
        await until(lambda: lines(file), what="the step had begun")
        drained.drain("stopping")
        await asyncio.sleep(nodes.MEANWHILE)  # in which it could wrongly end
        nodes.note(file, "go on")
        message = await running
        resumed = await graph().run(resume=True)

        assert (message.status, resumed.content) == ("drained", {"file": file}), (
            "a drained run does not wait for its step, or can't be resumed"
        )
        assert lines(file) == ["start begins", "go on"], (
            "A step that was running when its run was drained must be committed."
        )


class Aging(Executor):
    """Lets time pass whenever a run has handled what a step told it, and at no other moment.

    :param seconds: how much.
    """

    def __init__(self, executor: Executor, clock: FakeClock, *, seconds: float) -> None:
        self._executor = executor
        self._clock = clock
        self._seconds = seconds
        self.max_in_flight = executor.max_in_flight
        self.packs_code = executor.packs_code

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        tell, loop = channel.tell, asyncio.get_running_loop()

        def told(message: Any) -> None:
            tell(message)  # is handled in the loop, and before what comes next
            loop.call_soon_threadsafe(self._clock.advance, self._seconds)

        channel.tell = told  # type: ignore[method-assign]
        return await self._executor.submit(step, channel)

    def pack(self, code: Any) -> bytes:
        return self._executor.pack(code)

    def close(self) -> None:
        """The executor belongs to the suite."""


async def end_of_time(node: Node, executor: Executor, file: str) -> None:
    """Run it, and have its time be over once it has begun."""
    clock = FakeClock()
    running = asyncio.create_task(run(node, {"file": file}, executor=executor, clock=clock))
    await until(lambda: lines(file), what="the step had begun")
    while not running.done():
        clock.advance(600)
        await asyncio.sleep(0.01)  # until the engine has heard that it has begun
    with pytest.raises(StepTimeoutError, match="longer than its timeout of"):
        await running


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
