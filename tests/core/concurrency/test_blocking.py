"""Blocking work in a thread: what its caller gets, and what a cancellation leaves behind, which is nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, GraphCheckpoint
from spark.graphs.concurrency.blocking import run_blocking
from tests.support.running import Does, Failure, countdown


class Gate:
    """A call that ends when it is let go."""

    def __init__(self) -> None:
        self.reached, self.opened, self.ended = threading.Event(), threading.Event(), threading.Event()

    def wait(self) -> str:
        self.reached.set()
        assert self.opened.wait(60)
        self.ended.set()
        return "done"


@pytest.fixture
def one_thread() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_call_gets_its_arguments_and_its_result_comes_back(one_thread: Executor) -> None:
    assert await run_blocking(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]
    assert await run_blocking(sorted, [1, 3, 2], reverse=True, executor=one_thread) == [3, 2, 1]


async def test_it_runs_in_a_thread_of_the_executor_that_was_given(one_thread: Executor) -> None:
    ran_in = await run_blocking(threading.get_ident, executor=one_thread)

    assert ran_in != threading.get_ident()
    assert await run_blocking(threading.get_ident, executor=one_thread) == ran_in


@pytest.mark.parametrize("error", [ValueError("bad"), OSError(28, "full"), SystemExit(3)])
async def test_what_the_call_raises_its_caller_sees(one_thread: Executor, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await run_blocking(raising(error), executor=one_thread)

    assert caught.value is error


def raising(error: BaseException) -> Callable[[], Any]:
    def call() -> None:
        raise error

    return call


async def test_a_stop_iteration_does_not_leave_its_caller_waiting() -> None:
    """asyncio refuses to carry one, and whoever waited for the call would wait for ever."""
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await asyncio.wait_for(run_blocking(next, iter([])), 60)


@pytest.mark.parametrize("own", [True, False], ids=["own threads", "threads of the loop"])
async def test_a_call_that_has_begun_outlasts_every_cancellation(one_thread: Executor, own: bool) -> None:
    gate = Gate()
    task = asyncio.create_task(run_blocking(gate.wait, executor=one_thread if own else None))
    await asyncio.to_thread(gate.reached.wait, 60)
    for _ in range(3):
        task.cancel()
        await turns()

    assert not task.done()
    gate.opened.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert gate.ended.is_set()


async def test_a_call_that_has_not_begun_never_does_once_it_is_cancelled(one_thread: Executor) -> None:
    """And its caller need not wait for those before it."""
    gate, ran = Gate(), []
    running = asyncio.create_task(run_blocking(gate.wait, executor=one_thread))
    await asyncio.to_thread(gate.reached.wait, 60)
    queued = asyncio.create_task(run_blocking(ran.append, 1, executor=one_thread))
    await turns()
    queued.cancel()
    await asyncio.wait([queued], timeout=60)

    assert queued.cancelled()
    gate.opened.set()
    assert await running == "done"
    await run_blocking(list, executor=one_thread)
    assert ran == []


async def test_a_cancelled_call_that_fails_is_still_cancelled(one_thread: Executor) -> None:
    """And asyncio does not complain of an exception that nobody looked at."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    gate = Gate()

    def fail() -> None:
        gate.wait()
        raise OSError(28, "full")

    task = asyncio.create_task(run_blocking(fail, executor=one_thread))
    await asyncio.to_thread(gate.reached.wait, 60)
    task.cancel()
    await turns()
    gate.opened.set()
    await asyncio.wait([task])
    was_cancelled = task.cancelled()
    del task
    gc.collect()  # asyncio complains when the last reference is gone

    assert was_cancelled
    assert complaints == []


async def test_cancelled_at_any_turn_a_call_has_ended_or_never_begins(one_thread: Executor) -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        ended.append(number)

    for number in range(200):
        task = asyncio.create_task(run_blocking(work, number, executor=one_thread))
        await turns(number % 7)
        task.cancel()
        await asyncio.wait([task])
        seen = (list(begun), list(ended))
        assert seen[0] == seen[1]
        await run_blocking(list, executor=one_thread)
        assert (begun, ended) == seen


class TestThreads:
    """Nodes that block, and what saves checkpoints, don't wait for each other."""

    async def test_a_checkpoint_is_saved_while_every_thread_for_nodes_is_taken(self) -> None:
        is_saved = threading.Event()

        class Tells(CheckpointHandler):
            async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
                is_saved.set()

        class Blocks(Node):
            def process(self) -> bool:
                return is_saved.wait(60)

        async def take_threads(context: NodeContext) -> None:
            for _ in range(40):  # those of the event loop, as a program may do
                asyncio.get_running_loop().run_in_executor(None, is_saved.wait, 60)

        async def save_much(context: NodeContext) -> None:
            await turns()  # all threads are taken by now
            await context.graph_state.set("much", list(range(5_000)))  # so much is encoded in a thread

        start = Does(take_threads, name="start")
        start >> [*(Blocks() for _ in range(40)), Does(save_much, name="saves")]
        config = CheckpointConfig(trigger_on_node="saves", handler=Tells())
        message = await Graph(start, checkpoint_config=config).run()

        assert message.content is True

    async def test_so_many_plain_nodes_run_at_once_as_the_graph_has_threads(self) -> None:
        running: list[int] = []
        most = 0
        meeting = threading.Barrier(3)

        class Meets(Node):
            def process(self) -> None:
                nonlocal most
                running.append(1)
                most = max(most, len(running))
                meeting.wait(60)
                running.pop()

        start = Does(lambda context: {}, name="start")
        start >> [Meets() for _ in range(9)]
        await Graph(start, node_threads=3).run()

        assert most == 3

    async def test_without_a_number_they_are_32(self) -> None:
        meeting = threading.Barrier(32)

        class Meets(Node):
            def process(self) -> None:
                meeting.wait(60)

        start = Does(lambda context: {}, name="start")
        start >> [Meets() for _ in range(32)]
        await Graph(start).run()

    @pytest.mark.parametrize("wrong", [0, -1, 2.5, True, None, "4"])
    def test_their_number_is_a_whole_one(self, wrong: Any) -> None:
        with pytest.raises(GraphDefinitionError, match=r"node_threads=.*: give a whole number of at least 1"):
            Graph(countdown(), node_threads=wrong)

    @pytest.mark.parametrize("fails", [False, True])
    def test_none_is_left_when_the_run_and_the_loop_have_ended(self, fails: bool) -> None:
        class Plain(Node):
            def process(self) -> Any:
                if fails:
                    raise Failure
                return list(range(5_000))

        before = set(threading.enumerate())
        started: set[threading.Thread] = set()

        async def run() -> None:
            await run_blocking(list)
            with suppress(Failure):
                await Graph(Plain(), checkpoint_config=CheckpointConfig()).run()
            started.update(set(threading.enumerate()) - before)
            for thread in started:
                if thread.name.startswith("spark-node"):
                    thread.join(60)

        asyncio.run(run())

        assert any(thread.name.startswith("spark-checkpoint") for thread in started)
        assert not any(thread.is_alive() for thread in started)

    def test_what_a_loop_does_at_its_very_end_still_has_threads(self) -> None:
        done: list[str] = []

        async def closes_at_the_end() -> Any:
            try:
                yield
            finally:
                await asyncio.sleep(0.01)
                done.append(await run_blocking(str, "done"))

        kept = []

        async def run() -> None:
            await run_blocking(list)
            kept.append(closes_at_the_end())
            await anext(kept[0])

        asyncio.run(run())

        assert done == ["done"]

    def test_those_of_a_loop_that_was_only_closed_end_when_another_needs_some(self) -> None:
        before = set(threading.enumerate())
        loop = asyncio.new_event_loop()
        loop.run_until_complete(run_blocking(list))
        started = set(threading.enumerate()) - before
        loop.close()
        asyncio.run(run_blocking(list))
        for thread in started:
            thread.join(60)

        assert started
        assert not any(thread.is_alive() for thread in started)
