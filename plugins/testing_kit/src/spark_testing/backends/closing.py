"""Event loops, closing, and what is left behind."""

from __future__ import annotations

import asyncio

from spark.graphs.checkpoint import CheckpointBackend
from spark_testing.backends.store import GivenStore, OpenAnother
from spark_testing.leaks import Held, leaked_since
from spark_testing.records import make_record


class Closing(GivenStore):
    """Event loops, closing, and what is left behind."""

    async def test_serves_one_event_loop_after_another(self, backend: CheckpointBackend) -> None:
        record = make_record()

        await asyncio.to_thread(asyncio.run, backend.put(record))
        listed = await asyncio.to_thread(asyncio.run, backend.list())

        assert [info.sequence for info in listed.infos] == [1]
        assert await backend.get("g", 1) == record

    async def test_closing_twice_is_fine(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record())
        await backend.close()
        await backend.close()

    async def test_is_an_async_context_manager(self, backend: CheckpointBackend) -> None:
        async with backend as entered:
            await entered.put(make_record())

        assert entered is backend

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

        assert await leaked_since(before, lasting=self.lasting_threads) == []


async def _use(backend: CheckpointBackend, first: int) -> None:
    await asyncio.gather(*(backend.put(make_record("g", sequence)) for sequence in range(first, first + 5)))
    await asyncio.gather(*(backend.get("g", sequence) for sequence in range(first, first + 5)))
    await asyncio.gather(backend.list(), backend.latest("g"), backend.find("nobody"), backend.delete("g", first))
    saving = asyncio.create_task(backend.put(make_record("g", first + 5)))
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.wait([saving])
