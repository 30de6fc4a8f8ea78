"""A graph that runs on the backend, and a history that is copied elsewhere: what the backend is for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any, Final

import pytest

from spark.errors import CheckpointConflictError, CheckpointDamagedError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import HOSTILE_IDS, make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother, Spoil

_NAMES_FOUR: Final = r"(?<![0-9a-z])0*4(?![0-9a-z])"
"""In a message: the sequence 4, as a number or the end of a name."""


Act = Callable[[], Awaitable[None]]


class PowerCut(BaseException):
    """Ends a run at once, without a last checkpoint."""


class Count(Node):
    """Counts to eight, with a large value in the state, and acts in one of its steps."""

    def __init__(self, *, at: int, act: Act) -> None:
        super().__init__()
        self._at = at
        self._act = act

    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        if count % 3 == 0:
            await context.graph_state.set("large", f"{count} " * 20_000)
        if count == self._at:
            await self._act()
        return {"count": count, "done": count == 8}


class Running(GivenStore):
    """A graph that runs on the backend, and a history that is copied elsewhere: what the backend is for."""

    async def test_a_graph_resumes_where_it_stopped(self, backend: CheckpointBackend) -> None:
        """With retention, which deletes behind it, and a large value that changes now and then."""
        with pytest.raises(PowerCut):
            await _counting(backend, at=5).run()
        resumed = _counting(backend)
        result = await resumed.run(resume=True)

        assert result.content == {"count": 8, "done": True}, (
            "A run that was cut off at step 5 was resumed, and did not end as it would have without that."
        )
        assert await resumed.get_state("large") == "6 " * 20_000, (
            "A large value that was saved before the run was cut off, or after, is not in the state of the resumed run."
        )
        manager = CheckpointManager(backend)
        infos = await manager.list_checkpoints("counting")
        assert [info.sequence for info in infos] == [6, 7, 8], (
            "Retention keeps three checkpoints, so 6, 7 and 8 must be left of eight."
        )
        assert await manager.load_checkpoint(infos[0].checkpoint_id) is not None, (
            "A checkpoint that is listed can't be loaded."
        )
        assert (await manager.verify()).damaged == [], "verify() finds damage in a store that nobody damaged."

    async def test_a_writer_whose_history_was_taken_over_and_deleted_stops(self, backend: CheckpointBackend) -> None:
        """The one that is overtaken in mid-step learns of it, though nothing of the other's history is left to see."""

        async def take_over() -> None:
            await _counting(backend).run(resume=True)
            await CheckpointManager(backend).delete_all_checkpoints("counting")

        with pytest.raises(CheckpointConflictError):
            await _counting(backend, at=5, act=take_over).run()
        assert (await backend.list("counting")).infos == [], (
            "an overtaken writer continued after its history was deleted"
        )

    async def test_a_damaged_checkpoint_is_an_error_and_never_a_guess(
        self, backend: CheckpointBackend, open_another: OpenAnother | None, spoil: Spoil | None
    ) -> None:
        """Continuing from an older one, or from the start, would be one; and what is intact is still found."""
        if open_another is None or spoil is None:
            return
        with pytest.raises(PowerCut):
            await _counting(backend, at=5).run()
        spoil("counting", 4)

        async with open_another() as reader:
            with pytest.raises(CheckpointDamagedError, match=_NAMES_FOUR):
                await CheckpointManager(reader).load_latest("counting")
            with pytest.raises(CheckpointDamagedError, match=_NAMES_FOUR):
                await _counting(reader).run(resume=True)
            assert {2, 3} <= {info.sequence for info in (await reader.list("counting")).infos}, (
                "One record is damaged: the intact ones must still be listed."
            )
            assert (await CheckpointManager(reader).load_checkpoint("ckpt_counting_000003")).sequence == 3, (
                "One record is damaged: an intact one must still be loaded by its id."
            )

    async def test_nothing_is_collected_while_a_checkpoint_is_damaged(
        self, backend: CheckpointBackend, open_another: OpenAnother | None, spoil: Spoil | None
    ) -> None:
        """It may be repaired, and then needs its large values; what is logged, and whether, plays no part."""
        if open_another is None or spoil is None:
            return
        with pytest.raises(PowerCut):
            await _counting(backend, at=5).run()
        spoil("counting", 3)

        async with open_another() as reader:
            manager, before = CheckpointManager(reader), await reader.blob_names("counting")
            with pytest.raises(CheckpointDamagedError) if before else nullcontext():
                await manager.remove_orphans("counting")
            assert await reader.blob_names("counting") == before, "large values of a damaged checkpoint were removed"
            assert not (await manager.verify()).is_fine, "a damaged checkpoint is said to be fine"

    async def test_a_history_is_carried_to_another_store_and_back(self, backend: CheckpointBackend) -> None:
        """Whatever stands in a record, one backend takes it as the other gives it."""
        source, target = InMemoryCheckpointBackend(), InMemoryCheckpointBackend()
        for number, hostile in enumerate(HOSTILE_IDS[:8], 1):
            await source.put(make_record(hostile, number, checkpoint_id=f"x{hostile}" if number % 2 else None))

        await _carry(source, backend)
        await _carry(backend, target)

        assert (await target.list()).infos == (await source.list()).infos, (
            "Records were carried to this backend and on to another, and are listed otherwise there."
        )
        for info in (await source.list()).infos:
            assert await target.get(info.graph_id, info.sequence) == await source.get(info.graph_id, info.sequence), (
                "A record was carried to this backend and on to another, and is not as it was."
            )


async def _die() -> None:
    raise PowerCut


def _counting(backend: CheckpointBackend, *, at: int = 0, act: Act = _die) -> Graph:
    count = Count(at=at, act=act)
    count.on(done=False) >> count
    config = CheckpointConfig(
        backend=backend, trigger_on_iteration=1, max_checkpoints=3, trigger_on_failure=False, trigger_on_cancel=False
    )
    return Graph(start=count, id="counting", checkpoint_config=config)


async def _carry(source: CheckpointBackend, target: CheckpointBackend) -> None:
    records = [await source.get(info.graph_id, info.sequence) for info in (await source.list()).infos]
    await asyncio.gather(*(target.put(record) for record in records if record is not None))
