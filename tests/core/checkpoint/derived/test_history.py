"""A history beside that of a graph: in every store what was added comes back in order, and nobody takes it for a graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, CheckpointNotFoundError, InvalidIdError, SequenceTakenError
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepLast,
    register_type,
)
from spark.graphs.checkpoint.derived.history import DerivedHistory
from spark.graphs.checkpoint.ids import parse_derived_id
from spark.graphs.checkpoint.storage import derived_id
from spark_testing import FaultyBackend
from tests.plugins.support.kinds import SELDOM_S3, store_of
from tests.support.aes_gcm import AesGcm
from tests.support.minimal_backend import MinimalBackend
from tests.support.running import countdown, every_step
from tests.support.variants import first_of

LONG = "🙈" * 200


@register_type
@dataclass
class Price:
    """A value of a type of the user's."""

    amount: int


@pytest.fixture(params=[*first_of(["memory", "minimal", "file", "sqlite"], always=3), SELDOM_S3])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    is_minimal = request.param == "minimal"
    async with MinimalBackend() if is_minimal else store_of(request.param, request, tmp_path) as made:
        yield made


async def two_graphs(store: CheckpointBackend) -> CheckpointManager:
    """Graphs of two steps, and each with messages."""
    for graph_id in ("A", "b"):
        await Graph(countdown(), id=graph_id, checkpoint_config=every_step(store)).run({"limit": 2})
        for number in range(3):
            await DerivedHistory(store, "inbox", graph_id).append({"number": number})
    return CheckpointManager(store)


@pytest.mark.parametrize("graph_id", ["g", "a/b.c~d", "x" * 184, "x" * 185, "x" * 200, LONG])
def test_an_id_of_any_length_has_its_own_derived_ids(graph_id: str) -> None:
    made = [derived_id(kind, graph_id) for kind in ("inbox", "claim")]
    assert all(len(each) <= 200 and each.isprintable() for each in made)
    assert len({*made, derived_id("inbox", graph_id[:-1] + "é")}) == 3
    is_short = len(graph_id) <= 184
    assert parse_derived_id(made[0]) == ("inbox", graph_id if is_short else None)
    assert parse_derived_id(graph_id) is None


class TestHistory:
    async def test_what_was_added_comes_back_in_order(self, store: CheckpointBackend) -> None:
        history = DerivedHistory(store, "inbox", LONG)
        await asyncio.gather(*(history.append({"value": Price(number)}, {"name": "n"}) for number in range(5)))

        found = await DerivedHistory(store, "inbox", LONG).read()

        assert [each.sequence for each in found] == [1, 2, 3, 4, 5]
        assert {each.values["value"].amount for each in found} == {0, 1, 2, 3, 4}
        assert {each.metadata["name"] for each in found} == {"n"}
        assert {each.metadata["graph_id"] for each in found} == {LONG}
        assert [each.sequence for each in await history.read(after=3)] == [4, 5]
        assert await history.read(after=5) == []
        assert [each.sequence for each in await history.get([4, 2, 9])] == [2, 4]
        latest = await history.latest()
        assert latest is not None
        assert latest == found[-1]
        headers = (await store.latest_headers([history.id])).headers
        assert headers[history.id].metadata["name"] == "n"

    async def test_what_was_deleted_is_never_numbered_again(self, store: CheckpointBackend) -> None:
        history = DerivedHistory(store, "inbox", "g")
        for number in range(4):
            await history.append({"number": number})
        await history.delete([1, 3, 9])
        assert [each.sequence for each in await history.read()] == [2, 4]
        await history.delete(range(5))
        assert await history.read() == []
        assert await history.latest() is None
        assert (await history.append({})).sequence == 5

    async def test_a_place_that_somebody_took_is_refused(self, store: CheckpointBackend) -> None:
        history = DerivedHistory(store, "claim", "g")
        assert (await history.append({"owner": "one"}, at=1)).sequence == 1
        with pytest.raises(SequenceTakenError):
            await history.append({"owner": "two"}, at=1)
        assert [each.values["owner"] for each in await history.read()] == ["one"]


class TestFaults:
    async def test_a_lost_answer_adds_nothing_twice(self) -> None:
        store = FaultyBackend(InMemoryCheckpointBackend())
        history = DerivedHistory(store, "inbox", "g")
        store.lose_answer("put", error=SequenceTakenError("as a backend says that tried again"))
        assert (await history.append({"number": 1})).sequence == 1
        assert [each.values["number"] for each in await history.read()] == [1]

    async def test_what_could_not_be_added_is_said(self) -> None:
        store = FaultyBackend(InMemoryCheckpointBackend())
        store.fail("put")
        with pytest.raises(BackendError):
            await DerivedHistory(store, "inbox", "g").append({})
        assert await DerivedHistory(store, "inbox", "g").read() == []

    async def test_a_store_that_refuses_every_sequence_is_not_asked_for_ever(self) -> None:
        store = MinimalBackend()
        store.next_sequence = _always_one  # type: ignore[method-assign]
        await DerivedHistory(store, "inbox", "g").append({})
        with pytest.raises(BackendError, match="contradict"):
            await DerivedHistory(store, "inbox", "g").append({})

    async def test_it_is_stored_as_the_store_stores_checkpoints(self) -> None:
        store = MinimalBackend(codec=AesGcm("5a" * 32), compression=True)
        history = DerivedHistory(store, "inbox", "g")
        await history.append({"secret": "swordfish" * 10})
        (record,) = store.stored.values()
        assert b"swordfish" not in record.payload
        assert (await history.read())[0].values["secret"] == "swordfish" * 10


async def _always_one(graph_id: str) -> int:
    return 1


class TestNoGraph:
    async def test_nothing_that_speaks_of_graphs_sees_it(self, store: CheckpointBackend) -> None:
        manager = await two_graphs(store)
        assert await manager.graph_ids() == ["A", "b"]
        assert await manager.graph_ids(limit=1) == ["A"]
        assert await manager.graph_ids(after="A", limit=1) == ["b"]
        assert await manager.graph_ids("__") == []
        assert {info.graph_id for info in await manager.list_checkpoints()} == {"A", "b"}
        both = [info.sequence for info in await manager.list_checkpoints()]
        assert [info.sequence for info in await manager.list_checkpoints(limit=len(both) - 1)] == both[:-1]
        assert (await manager.list_checkpoints(limit=1, newest_first=True))[0].graph_id == "b"
        assert await manager.list_checkpoints(derived_id("inbox", "A")) == []
        with pytest.raises(CheckpointNotFoundError):
            await manager.load_checkpoint(f"ckpt_{derived_id('inbox', 'A')}_000001")
        assert not await manager.delete_checkpoint(f"ckpt_{derived_id('inbox', 'A')}_000001")
        await manager.prune(KeepLast(1))
        await manager.cleanup_before(datetime.now(UTC) + timedelta(days=1))
        assert len(await DerivedHistory(store, "inbox", "A").read()) == 3

    async def test_users_can_not_have_such_an_id(self, store: CheckpointBackend) -> None:
        taken = derived_id("inbox", "A")
        with pytest.raises(InvalidIdError, match="reserved"):
            Graph(countdown(), id=taken)
        made = Graph(countdown(), id="A").create_checkpoint()
        with pytest.raises(InvalidIdError, match="reserved"):
            made.fork(taken)
        made.graph_id = taken
        with pytest.raises(InvalidIdError, match="reserved"):
            await made.save(store)
        with pytest.raises(InvalidIdError, match="reserved"):
            await CheckpointManager(store).forget(taken)

    async def test_verifying_counts_graphs_and_reports_all_damage(self) -> None:
        store = MinimalBackend()
        manager = await two_graphs(store)
        intact = (await manager.verify()).intact
        assert intact == len(await manager.list_checkpoints())
        spoilt = store.stored[derived_id("inbox", "b"), 2]
        spoilt._payload = b"{}"
        for found in (await manager.verify(), await manager.verify("b")):
            assert [info.graph_id for info, _ in found.damaged] == [derived_id("inbox", "b")]
        assert (await manager.verify("A")).is_fine


class TestForgetting:
    async def test_forgetting_a_graph_takes_it_along(self, store: CheckpointBackend) -> None:
        manager = await two_graphs(store)
        checkpoints = len(await manager.list_checkpoints("A"))
        assert await manager.forget("A") == checkpoints
        assert {each.graph_id for each in (await store.list()).infos} == {"b", derived_id("inbox", "b")}

    async def test_deleting_all_checkpoints_takes_it_along(self, store: CheckpointBackend) -> None:
        manager = await two_graphs(store)
        await manager.delete_all_checkpoints("A")
        assert {each.graph_id for each in (await store.list()).infos} == {"b", derived_id("inbox", "b")}
        assert (await DerivedHistory(store, "inbox", "A").append({})).sequence == 4

    @pytest.mark.parametrize("method", ["delete_many", "forget"])
    @pytest.mark.parametrize("at", [1, 2, 3])
    async def test_stopped_part_way_what_is_left_fits_together(self, method: str, at: int) -> None:
        """A checkpoint that is still there says by their sequences which messages were received; a new run gets no old ones."""
        store = FaultyBackend(InMemoryCheckpointBackend())
        manager = await two_graphs(store)
        store.fail(method, at=at)
        failed: list[Any] = []
        try:
            await manager.forget("A")
        except BackendError as error:
            failed.append(error)
        inbox = DerivedHistory(store, "inbox", "A")
        if await manager.load_latest("A") is None:
            assert await inbox.read() == []
        else:
            assert await inbox.next_sequence() == 4
        if failed:
            await manager.forget("A")
        assert await inbox.next_sequence() == 1
        assert await manager.list_checkpoints("A") == []


async def test_a_record_of_it_is_an_ordinary_one() -> None:
    """Whatever reads checkpoints reads it."""
    store = InMemoryCheckpointBackend()
    await DerivedHistory(store, "inbox", "g").append({"number": 1})
    record = await store.get(derived_id("inbox", "g"), 1)
    assert record is not None
    found = store.record_codec.decode(record)
    assert isinstance(found, GraphCheckpoint)
    assert found.graph_state == {"number": 1}
