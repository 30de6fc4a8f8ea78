"""The event loop gets a turn from work that never really waits, and no more turns than it needs."""

from __future__ import annotations

import asyncio

from spark.graphs.concurrency.breath import Breath


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Turns:
    """Counts the turns of the event loop from now on."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        self._loop.call_soon(self._turn)


async def test_work_that_never_waits_gives_the_loop_a_turn_each_time() -> None:
    breath, turns = Breath(Time()), Turns()

    for taken in range(1, 4):
        await breath.take()
        assert turns.count == taken


async def test_whoever_has_waited_for_the_loop_meanwhile_waits_no_more() -> None:
    """A graph whose saves wait for a disk would otherwise wait twice for all others at each step."""
    breath, turns = Breath(Time()), Turns()
    await breath.take()
    await asyncio.sleep(0)  # as a save does
    before = turns.count

    await breath.take()

    assert turns.count == before


async def test_a_turn_counts_once() -> None:
    breath, turns = Breath(Time()), Turns()
    await breath.take()
    await asyncio.sleep(0)
    await breath.take()
    before = turns.count

    await breath.take()

    assert turns.count == before + 1


async def test_it_is_due_a_pause_after_it_was_made_and_after_each_turn() -> None:
    """The loop is kept for about five milliseconds at most, which is two pauses."""
    time = Time()
    breath = Breath(time)
    pause = breath.due - time.now
    assert 0 < pause <= 0.0025

    time.now += 60
    await breath.take()

    assert breath.due == time.now + pause
