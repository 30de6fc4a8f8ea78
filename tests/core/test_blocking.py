"""Blocking work in a thread: what its caller gets, and what a cancellation leaves behind, which is nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest

from spark.graphs.blocking import run_blocking


class Gate:
    """A call that ends when it is let go."""

    def __init__(self) -> None:
        self.reached, self.opened, self.ended = threading.Event(), threading.Event(), threading.Event()

    def wait(self) -> str:
        self.reached.set()
        assert self.opened.wait(10)
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
        await asyncio.wait_for(run_blocking(next, iter([])), 5)


@pytest.mark.parametrize("own", [True, False], ids=["own threads", "threads of the loop"])
async def test_a_call_that_has_begun_outlasts_every_cancellation(one_thread: Executor, own: bool) -> None:
    gate = Gate()
    task = asyncio.create_task(run_blocking(gate.wait, executor=one_thread if own else None))
    await asyncio.to_thread(gate.reached.wait, 10)
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
    await asyncio.to_thread(gate.reached.wait, 10)
    queued = asyncio.create_task(run_blocking(ran.append, 1, executor=one_thread))
    await turns()
    queued.cancel()
    await asyncio.wait([queued], timeout=5)

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
    await asyncio.to_thread(gate.reached.wait, 10)
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
