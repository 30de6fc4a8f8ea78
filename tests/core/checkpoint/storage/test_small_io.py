"""Small I/O runs in the event loop's thread while it is fast there; now and then a trial finds out whether it would be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import InMemoryCheckpointBackend, open_backend
from spark.graphs.checkpoint.storage import InlineLimits, SmallIO

LIMITS = InlineLimits()
FAST, SLOW = LIMITS.mean_seconds / 4, LIMITS.mean_seconds * 4
STALL = LIMITS.stall_seconds * 2

HERE, THERE = "the event loop's thread", "another thread"


class Disk:
    """A clock, and calls that take as long by it as they are told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.places: list[str] = []
        self._loop_thread = threading.get_ident()

    def clock(self) -> float:
        return self.now

    def call(self, seconds: float, result: Any = "done") -> Callable[[], Any]:
        def call() -> Any:
            self.places.append(HERE if threading.get_ident() == self._loop_thread else THERE)
            self.now += seconds
            if isinstance(result, Exception):
                raise result
            return result

        return call


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def small_io(disk: Disk) -> SmallIO:
    return SmallIO(True, clock=disk.clock)


async def where(small_io: SmallIO, disk: Disk, *seconds: float, graphs: str = "", nbytes: int = 0) -> list[str]:
    """Where calls ran that took so long, one after another."""
    before = len(disk.places)
    for number, each in enumerate(seconds):
        graph_id = graphs[number] if graphs else None
        assert await small_io.run(disk.call(each), nbytes=nbytes, graph_id=graph_id) == "done"
    return disk.places[before:]


async def test_nothing_is_tried_here_before_another_thread_was_quick(small_io: SmallIO, disk: Disk) -> None:
    assert await where(small_io, disk, *[STALL] * 100) == [THERE] * 100
    assert await where(small_io, disk, SLOW, FAST) == [THERE, HERE]


async def test_after_a_fast_trial_calls_run_here(small_io: SmallIO, disk: Disk) -> None:
    assert await where(small_io, disk, *[FAST] * 100) == [THERE, *[HERE] * 99]


async def test_after_a_slow_trial_the_next_is_far_off(small_io: SmallIO, disk: Disk) -> None:
    places = await where(small_io, disk, *[SLOW] * 101)

    assert 3 <= places.count(HERE) <= 4


async def test_one_slow_call_is_forgiven_and_two_are_not(small_io: SmallIO, disk: Disk) -> None:
    await where(small_io, disk, *[FAST] * 20)

    assert await where(small_io, disk, SLOW, SLOW) == [HERE, HERE]
    await where(small_io, disk, SLOW)  # a trial
    assert await where(small_io, disk, FAST) == [THERE]


async def test_a_disk_that_stalls_holds_the_event_loop_up_once(small_io: SmallIO, disk: Disk) -> None:
    """However fast it was until then; and only when a thread has seen the end of it, calls run here again."""
    await where(small_io, disk, *[FAST] * 1_000)

    assert await where(small_io, disk, *[STALL] * 50) == [HERE, *[THERE] * 49]
    assert await where(small_io, disk, FAST, FAST, FAST) == [THERE, HERE, HERE]


async def test_a_stall_that_ends_in_an_error_counts_too(small_io: SmallIO, disk: Disk) -> None:
    await where(small_io, disk, *[FAST] * 20)
    for _ in range(3):
        with pytest.raises(OSError, match="broken"):
            await small_io.run(disk.call(STALL, OSError("broken")))

    assert disk.places[-3:] == [HERE, THERE, THERE]


async def test_graphs_by_turns_and_large_calls_are_not_for_the_event_loop(small_io: SmallIO, disk: Disk) -> None:
    await where(small_io, disk, *[FAST] * 3)

    assert await where(small_io, disk, *[FAST] * 5, graphs="aabaa") == [THERE, HERE, THERE, THERE, HERE]
    assert await where(small_io, disk, FAST, nbytes=LIMITS.nbytes) == [HERE]
    assert await where(small_io, disk, FAST, nbytes=LIMITS.nbytes + 1) == [THERE]


async def test_where_it_is_not_allowed_nothing_ever_runs_here(disk: Disk) -> None:
    small_io = SmallIO(False, clock=disk.clock)

    assert await where(small_io, disk, *[FAST] * 100) == [THERE] * 100
    assert small_io.try_inline(disk.call(FAST)) is None


async def test_a_backend_can_hand_over_a_call_itself(small_io: SmallIO, disk: Disk) -> None:
    """One that has threads with connections of their own asks for this thread first, and then a thread of its own."""
    assert small_io.try_inline(disk.call(FAST)) is None
    assert small_io.in_thread(disk.call(FAST)) == "done"

    assert small_io.try_inline(disk.call(FAST)) == "done"
    assert small_io.try_inline(disk.call(STALL, None)) is None  # it could not do its work
    assert small_io.try_inline(disk.call(STALL)) == "done"  # so its time did not count
    assert small_io.try_inline(disk.call(FAST)) is None


@pytest.mark.parametrize("value", ["false", 0, None, "no"])
def test_only_true_and_false_are_options(value: Any) -> None:
    """The text "false" would count as true."""
    with pytest.raises(GraphDefinitionError, match="inline_io="):
        InMemoryCheckpointBackend(inline_io=value)


def test_memory_takes_the_option_that_every_backend_takes() -> None:
    assert open_backend("memory://").inline_io
    assert not open_backend("memory://?inline_io=false").inline_io
    assert not open_backend("memory", inline_io=False).inline_io
