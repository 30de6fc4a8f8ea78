"""Several runs at once, bounds, and closing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import ExecutorError
from spark.graphs import Graph, JoinNode, Message
from spark.graphs.executors import Executor, StepChannel, StepHandle, StepInput, StepResult
from spark_testing.leaks import Held, leaked_since
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import GivenExecutor, lines, run, until
from spark_testing.suites.executors.stopping import is_alive


class Sharing(GivenExecutor):
    """Several runs at once, bounds, and closing."""

    async def test_it_never_has_more_steps_than_it_says(self, executor: Executor) -> None:
        start = nodes.Split()
        start.each("items") >> nodes.Echo() >> JoinNode()
        counted = Counted(executor)

        message = await Graph(start, executor=counted).run({"items": list(range(self.many))})

        assert message.content == {"results": list(range(self.many))}, "results of a map are lost, doubled or mixed up"
        assert counted.most <= executor.max_in_flight <= self.many / 2, (
            "max_in_flight bounds how many steps are held at a time: give a number that suits the workers, not the runs."
        )

    async def test_it_serves_several_event_loops_and_threads_at_once(self, executor: Executor) -> None:
        def elsewhere() -> Message:
            return asyncio.run(Graph(nodes.branches(), executor=executor).run())

        found = await asyncio.gather(
            *(asyncio.to_thread(elsewhere) for _ in range(3)), Graph(nodes.branches(), executor=executor).run()
        )

        assert {message.content["inputs"]["results"][2]["number"] for message in found} == {3}, (
            "runs in several event loops don't each get their own results"
        )

    async def test_when_it_is_closed_nothing_is_left(self, executor: Executor) -> None:
        await run(nodes.Echo(), executor=executor)  # what stays for the next executor, such as a cluster, is there
        before = Held.now()
        closed = self.make_executor()
        start = nodes.Echo()
        start >> [nodes.Work(name="a"), nodes.Work(name="b")] >> JoinNode() >> nodes.Pid()
        pid = (await run(start, executor=closed)).message.content

        closed.idle()
        closed.close()
        closed.close()

        assert await leaked_since(before, lasting=self.lasting) == [], "closed, the executor leaves something behind"
        if self.in_processes and self.ends_workers:
            await until(lambda: not is_alive(pid), what="the workers of a closed executor had ended")

    async def test_what_is_under_way_when_it_is_closed_fails(self, file: str) -> None:
        executor = self.make_executor()
        start = nodes.Echo()
        start >> [nodes.Waits(name=name) for name in "abcde"]
        running = asyncio.create_task(Graph(start, executor=executor).run({"file": file}))
        await until(lambda: len(lines(file)) >= 2, what="two steps had begun")

        executor.close()

        with pytest.raises(ExecutorError):
            await running

    async def test_a_step_that_comes_when_it_is_closed_fails(self) -> None:
        executor = self.make_executor()
        executor.close()

        with pytest.raises(ExecutorError):
            await Graph(nodes.Echo(), executor=executor).run()


class Counted(Executor):
    """Counts the steps that an executor has at a time."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.max_in_flight = executor.max_in_flight
        self.packs_code = executor.packs_code
        self.now = self.most = 0

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        self.now += 1
        self.most = max(self.most, self.now)
        return CountedStep(self, await self._executor.submit(step, channel))

    def pack(self, code: Any) -> bytes:
        return self._executor.pack(code)

    def close(self) -> None:
        """The executor belongs to the suite."""


class CountedStep(StepHandle):
    """One of them."""

    def __init__(self, counted: Counted, handle: StepHandle) -> None:
        self._counted = counted
        self._handle = handle

    async def result(self) -> StepResult:
        result = await self._handle.result()
        self._counted.now -= 1
        return result

    async def cancel(self) -> None:
        await self._handle.cancel()

    def release(self) -> None:
        self._handle.release()
