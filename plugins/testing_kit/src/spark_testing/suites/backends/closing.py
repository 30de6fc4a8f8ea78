"""Event loops, closing, and what is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing import leaks
from spark_testing.leaks import Held, leaked_since
from spark_testing.records import make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother


class Closing(GivenStore):
    """Event loops, closing, and what is left behind."""

    async def test_serves_one_event_loop_after_another(self, backend: CheckpointBackend) -> None:
        record = make_record()

        await asyncio.to_thread(asyncio.run, backend.put(record))
        listed = await asyncio.to_thread(asyncio.run, backend.list())

        assert [info.sequence for info in listed.infos] == [1], (
            "A record was saved in one event loop and must be listed in another, after the first was closed."
        )
        assert await backend.get("g", 1) == record, (
            "A record was saved in one event loop and must be read in another, after the first was closed."
        )

    async def test_calls_that_wait_for_each_other_serve_one_event_loop_after_another(
        self, backend: CheckpointBackend
    ) -> None:
        """A lock of asyncio belongs to the loop in which somebody first had to wait for it."""
        for number in range(3):
            graph_id = f"g{number}"
            saving = _save_at_once(backend, graph_id)
            done = await (asyncio.to_thread(asyncio.run, saving) if number < 2 else saving)
            assert done == [1, 2, 3, 4, 5], (
                f"five saves at once in event loop {number + 1} of 3, and {done} are listed; all five must be"
            )

    async def test_closing_strands_no_call_that_is_under_way(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """It ends, well or with an error; and what it says it has saved is there."""
        used = backend if open_another is None else open_another()
        calls: list[asyncio.Task[Any]] = [
            asyncio.create_task(used.put(make_record("g", sequence))) for sequence in range(1, 6)
        ]
        calls += [asyncio.create_task(used.delete("h", 1)), asyncio.create_task(used.find("nobody"))]
        await asyncio.sleep(0)
        await used.close()
        _, stranded = await asyncio.wait(calls, timeout=leaks.LONGEST_WAIT)
        for call in stranded:
            call.cancel()
        assert not stranded, f"{len(stranded)} calls that were under way when the backend was closed never ended"
        if open_another is not None:
            saved = {number for number, call in enumerate(calls[:5], 1) if call.exception() is None}
            there = {info.sequence for info in (await backend.list("g")).infos}
            assert saved <= there, (
                f"put reported {saved} as saved while the backend was closed, and only {there} are there"
            )

    async def test_closing_twice_is_fine(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record())
        await backend.close()
        await backend.close()

    async def test_is_an_async_context_manager(self, backend: CheckpointBackend) -> None:
        async with backend as entered:
            await entered.put(make_record())

        assert entered is backend, "`async with backend as entered` must give the backend itself."

    async def test_closing_leaves_no_task_thread_or_descriptor(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """After everything went well, and after calls that were cancelled."""
        if open_another is not None:
            async with open_another() as first:
                await _use(first, 1)  # what libraries open once and keep is open now
        before = Held.now()

        used = backend if open_another is None else open_another()
        await _use(used, 10)
        await used.close()

        assert await leaked_since(before, lasting=self.lasting_threads) == [], (
            "These were there after close() and not before the backend was used: close() must end all that it started."
        )


async def _save_at_once(backend: CheckpointBackend, graph_id: str) -> list[int]:
    await asyncio.gather(*(backend.put(make_record(graph_id, sequence)) for sequence in range(1, 6)))
    return [info.sequence for info in (await backend.list(graph_id)).infos]


async def _use(backend: CheckpointBackend, first: int) -> None:
    await asyncio.gather(*(backend.put(make_record("g", sequence)) for sequence in range(first, first + 5)))
    await asyncio.gather(*(backend.get("g", sequence) for sequence in range(first, first + 5)))
    await asyncio.gather(backend.list(), backend.latest("g"), backend.find("nobody"), backend.delete("g", first))
    saving = asyncio.create_task(backend.put(make_record("g", first + 5)))
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.wait([saving])
