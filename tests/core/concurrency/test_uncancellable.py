"""Waiting that a cancellation does not cut off."""

from __future__ import annotations

import asyncio

import pytest

from spark.graphs.checkpoint.storage import wait_uncancellable


class Work:
    """Ends when it is told to, and counts how often it was asked to end sooner."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.asked = 0
        self.has_ended = False

    async def run(self) -> str:
        await self.may_end.wait()
        self.has_ended = True
        return "done"

    def end_sooner(self) -> None:
        self.asked += 1
        self.may_end.set()


async def test_it_returns_what_the_work_returns_and_raises_what_it_raises() -> None:
    work = Work()
    work.may_end.set()

    async def fails() -> None:
        raise ValueError("of the work")

    assert await wait_uncancellable(work.run()) == "done"
    with pytest.raises(ValueError, match="of the work"):
        await wait_uncancellable(fails())


async def test_however_often_the_caller_is_cancelled_the_work_ends_first() -> None:
    work = Work()
    caller = asyncio.create_task(wait_uncancellable(work.run()))
    for _ in range(3):
        await asyncio.sleep(0)
        caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()

    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert work.has_ended


async def test_a_caller_that_is_cancelled_may_have_the_work_end_sooner() -> None:
    work = Work()
    caller = asyncio.create_task(wait_uncancellable(work.run(), on_cancel=work.end_sooner))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert (work.asked, work.has_ended) == (1, True)


async def test_an_error_that_comes_after_the_cancellation_is_not_reported_as_never_retrieved() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    may_fail = asyncio.Event()

    async def fails() -> None:
        await may_fail.wait()
        raise ValueError("too late")

    caller = asyncio.create_task(wait_uncancellable(fails()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.sleep(0)
    may_fail.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0)

    assert told == []


async def test_work_that_was_cancelled_itself_cancels_whoever_waits_for_it() -> None:
    work = asyncio.create_task(Work().run())
    caller = asyncio.create_task(wait_uncancellable(work))
    await asyncio.sleep(0)
    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await caller
