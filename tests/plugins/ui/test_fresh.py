"""A view of the store is read once for all who ask, and shown a little old where reading takes long."""

from __future__ import annotations

import asyncio

import pytest

from spark.errors import BackendError
from spark_ui.access import fresh
from spark_ui.access.fresh import Fresh


class Slow:
    """Reads 1, 2, 3…, each when it is let go."""

    def __init__(self) -> None:
        self.reads = 0
        self.go = asyncio.Event()

    async def read(self) -> int:
        self.reads += 1
        number = self.reads
        await self.go.wait()
        return number


async def test_all_who_ask_meanwhile_share_one_reading() -> None:
    slow = Slow()
    view = Fresh(slow.read, name="numbers")
    asked = [asyncio.create_task(view.latest()) for _ in range(5)]
    await asyncio.sleep(0)
    slow.go.set()

    assert await asyncio.gather(*asked) == [1] * 5
    assert slow.reads == 1


async def test_a_view_that_takes_long_to_read_is_shown_while_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "_QUICK", -1.0)  # every reading takes long
    monkeypatch.setattr(fresh, "_SHARE", 0)  # and is old at once
    slow = Slow()
    slow.go.set()
    view = Fresh(slow.read, name="numbers")
    assert await view.latest() == 1

    slow.go.clear()
    assert (await view.latest(), await view.latest()) == (1, 1)
    await asyncio.sleep(0)
    assert slow.reads == 2
    await view.close()


async def test_one_who_leaves_does_not_stop_the_reading_for_others() -> None:
    slow = Slow()
    view = Fresh(slow.read, name="numbers")
    leaves, stays = asyncio.create_task(view.latest()), asyncio.create_task(view.latest())
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    slow.go.set()

    assert await stays == 1


async def test_an_error_is_for_those_who_waited_and_the_next_reads_again() -> None:
    async def read() -> int:
        raise BackendError("gone")

    view = Fresh(read, name="numbers")

    for _ in range(2):
        with pytest.raises(BackendError, match="gone"):
            await view.latest()
    assert view.known() is None
    await view.close()


async def test_once_it_cant_be_read_everybody_is_told_however_long_reading_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fresh, "_QUICK", -1.0)
    monkeypatch.setattr(fresh, "_SHARE", 0)
    is_there = True

    async def read() -> int:
        if not is_there:
            raise BackendError("gone")
        return 1

    view = Fresh(read, name="numbers")
    assert await view.latest() == 1

    is_there = False
    await view.latest()  # the last view, while the next one is read
    with pytest.raises(BackendError, match="gone"):
        await asyncio.wait_for(_until_told(view), 60)
    is_there = True
    assert await view.latest() == 1
    await view.close()


async def _until_told(view: Fresh[int]) -> None:
    while True:
        await view.latest()
        await asyncio.sleep(0)
