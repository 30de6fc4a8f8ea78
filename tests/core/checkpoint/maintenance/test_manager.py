"""Looking at, loading and deleting stored checkpoints by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from spark.errors import (
    BackendError,
    CheckpointConflictError,
    CheckpointNotFoundError,
    DeletionError,
    GraphDefinitionError,
    InvalidIdError,
)
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepLast,
)
from spark.graphs.checkpoint.links import links_of
from tests.support.running import countdown, every_step


@pytest.fixture
def backend() -> InMemoryCheckpointBackend:
    return InMemoryCheckpointBackend()


@pytest.fixture
def manager(backend: InMemoryCheckpointBackend) -> CheckpointManager:
    return CheckpointManager(backend)


def made(checkpoint_id: str, *, graph_id: str = "g", at: datetime | None = None, **state: object) -> GraphCheckpoint:
    return GraphCheckpoint(checkpoint_id, graph_id, at or datetime.now(UTC), graph_state=state)


async def ids(manager: CheckpointManager, graph_id: str | None = None) -> list[str]:
    return [info.checkpoint_id for info in await manager.list_checkpoints(graph_id)]


class TestGraphIds:
    async def test_are_given_page_by_page(self, backend: InMemoryCheckpointBackend, manager: CheckpointManager) -> None:
        for graph_id in ("order 2", "order 10", "order 1", "other"):
            await made(graph_id, graph_id=graph_id).save(backend)

        assert await manager.graph_ids() == ["order 1", "order 10", "order 2", "other"]
        assert await manager.graph_ids("order ", limit=2) == ["order 1", "order 10"]
        assert await manager.graph_ids("order ", after="order 10", limit=2) == ["order 2"]

    @pytest.mark.parametrize("limit", [-1, 1.0, True, "1"])
    async def test_a_limit_that_is_no_number_is_refused(self, manager: CheckpointManager, limit: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="limit="):
            await manager.graph_ids(limit=limit)


class TestListing:
    async def test_oldest_first_by_sequence_and_not_by_clock_or_id(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        for day, checkpoint_id in [(3, "b"), (1, "c"), (2, "a")]:
            await made(checkpoint_id, at=datetime(2030, 1, day, tzinfo=UTC)).save(backend)

        assert await ids(manager, "g") == ["b", "c", "a"]
        latest = await manager.load_latest("g")
        assert latest is not None
        assert latest.checkpoint_id == "a"

    async def test_without_a_graph_id_those_of_all_graphs(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        for graph_id in "bab":
            await made(f"{graph_id}{len(await ids(manager))}", graph_id=graph_id).save(backend)

        assert await ids(manager) == ["a1", "b0", "b2"]
        assert await ids(manager, "unknown") == []
        assert await manager.load_latest("unknown") is None


class TestLoading:
    async def test_what_was_saved_comes_back(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        saved = made("mine", k=(1, {"a"}))
        info = await saved.save(backend)
        loaded = await manager.load_checkpoint("mine")

        assert loaded == saved
        assert (info.sequence, info.manual) == (1, True)
        assert links_of(loaded).store is backend

    @pytest.mark.parametrize(
        "checkpoint_id", ["nope", "", "ckpt_g_000001", "ckpt_g_" + "9" * 5000, "x" * 5000, "../x", "\0"]
    )
    async def test_an_unknown_id_is_an_error_that_says_where_to_look(
        self, manager: CheckpointManager, checkpoint_id: str
    ) -> None:
        with pytest.raises(
            CheckpointNotFoundError, match=r"The memory backend has no checkpoint .*list_checkpoints"
        ) as caught:
            await manager.load_checkpoint(checkpoint_id)

        assert isinstance(caught.value, KeyError)

    @pytest.mark.parametrize("checkpoint_id", ["", "a\0b", "x" * 5000, "\ud800"])
    def test_an_unusable_id_is_refused_before_anything_is_saved(self, checkpoint_id: str) -> None:
        with pytest.raises(InvalidIdError):
            made(checkpoint_id)


class TestSavingByHand:
    async def test_the_same_id_is_replaced(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        await made("mine", k=1).save(backend)
        await made("other").save(backend)
        await made("mine", k=2).save(backend)

        assert await ids(manager) == ["other", "mine"]
        assert (await manager.load_checkpoint("mine")).graph_state == {"k": 2}

    async def test_the_id_of_a_checkpoint_of_another_graph_is_refused(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        await made("mine", graph_id="first", k=1).save(backend)

        with pytest.raises(CheckpointConflictError, match=r"'mine' belongs to graph 'first'.*'second' would replace"):
            await made("mine", graph_id="second").save(backend)

        assert (await manager.load_checkpoint("mine")).graph_state == {"k": 1}

    async def test_a_checkpoint_of_a_run_keeps_its_place_in_another_store(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        graph = Graph(countdown(), id="g", checkpoint_config=every_step(backend))
        await graph.run({"limit": 3})
        elsewhere = InMemoryCheckpointBackend()
        await (await manager.load_checkpoint("ckpt_g_000002")).save(elsewhere)

        (info,) = (await elsewhere.list("g")).infos
        assert (info.checkpoint_id, info.sequence) == ("ckpt_g_000002", 2)

    async def test_a_fork_is_another_graph_that_names_its_origin(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        await made("mine", k=[1]).save(backend)
        original = await manager.load_checkpoint("mine")
        fork = original.fork("other")
        fork.graph_state["k"].append(2)
        await fork.save(backend)

        loaded = await manager.load_checkpoint("fork_other")
        assert (loaded.graph_id, loaded.origin, loaded.parent) == ("other", "mine", None)
        assert original.graph_state == {"k": [1]}


class TestDeleting:
    async def test_one(self, backend: InMemoryCheckpointBackend, manager: CheckpointManager) -> None:
        await made("mine").save(backend)

        assert await manager.delete_checkpoint("mine") is True
        assert await manager.delete_checkpoint("mine") is False
        assert await ids(manager) == []

    async def test_all_of_a_graph(self, backend: InMemoryCheckpointBackend, manager: CheckpointManager) -> None:
        for checkpoint_id, graph_id in [("a", "g"), ("b", "g"), ("c", "other")]:
            await made(checkpoint_id, graph_id=graph_id).save(backend)

        assert await manager.delete_all_checkpoints("g") == 2
        assert await ids(manager) == ["c"]

    @pytest.mark.parametrize(
        "cutoff",
        [
            datetime(2030, 1, 2, tzinfo=UTC),
            datetime(2030, 1, 2, 5, tzinfo=timezone(timedelta(hours=5))),
            datetime(2030, 1, 2, tzinfo=UTC).astimezone().replace(tzinfo=None),
        ],
        ids=["utc", "another zone", "naive is local"],
    )
    async def test_before_is_strict_and_compares_instants(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager, cutoff: datetime
    ) -> None:
        limit = datetime(2030, 1, 2, tzinfo=UTC)
        await made("older", at=limit - timedelta(microseconds=1)).save(backend)
        await made("same", at=limit).save(backend)
        await made("older, naive", at=(limit - timedelta(seconds=1)).astimezone().replace(tzinfo=None)).save(backend)

        assert await manager.cleanup_before(cutoff) == 2
        assert await ids(manager) == ["same"]

    async def test_before_can_be_narrowed_to_a_graph(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        for graph_id in "ab":
            await made(graph_id, graph_id=graph_id, at=datetime(2000, 1, 1, tzinfo=UTC)).save(backend)

        assert await manager.cleanup_before(datetime(2010, 1, 1, tzinfo=UTC), graph_id="a") == 1
        assert await ids(manager) == ["b"]


class TestPruning:
    async def test_it_deletes_what_retention_gives_up_in_each_graph_by_itself(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        for graph_id in "ab":
            await Graph(countdown(), id=graph_id, checkpoint_config=every_step(backend)).run({"limit": 4})
        await made("mine", graph_id="a").save(backend)

        pruned = await manager.prune(KeepLast(2))

        assert [(info.graph_id, info.sequence) for info in pruned] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
        assert await ids(manager) == ["ckpt_a_000003", "ckpt_a_000004", "mine", "ckpt_b_000003", "ckpt_b_000004"]

    async def test_a_dry_run_deletes_nothing(
        self, backend: InMemoryCheckpointBackend, manager: CheckpointManager
    ) -> None:
        await Graph(countdown(), id="a", checkpoint_config=every_step(backend)).run({"limit": 3})

        assert len(await manager.prune(KeepLast(1), graph_id="a", dry_run=True)) == 2
        assert len(await ids(manager)) == 3


class TestForgetting:
    async def test_handlers_are_told_of_each_checkpoint_also_when_the_store_fails_on_the_way(self) -> None:
        told: list[str] = []

        class Collector(CheckpointHandler):
            async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
                told.append(checkpoint_id)

        class FailsOnce(InMemoryCheckpointBackend):
            async def forget(self, graph_id: str) -> Any:
                if told:
                    return await super().forget(graph_id)
                await super().delete(graph_id, 1)
                raise DeletionError("no more", deleted=[1])

        backend = FailsOnce()
        manager = CheckpointManager(backend, Collector())
        for checkpoint_id in ("a", "b", "c"):
            await made(checkpoint_id).save(backend)
        await made("other", graph_id="other").save(backend)

        with pytest.raises(DeletionError, match="no more"):
            await manager.forget("g")
        assert told == ["a"]
        assert await manager.forget("g") == 2

        assert told == ["a", "b", "c"]
        assert await ids(manager) == ["other"]
        assert await backend.next_sequence("g") == 1

    async def test_a_backend_that_can_not_forget_removes_what_it_can(self) -> None:
        class Plain(InMemoryCheckpointBackend):
            forget = CheckpointBackend.forget

        backend = Plain()
        for checkpoint_id in ("a", "b"):
            await made(checkpoint_id).save(backend)

        assert await CheckpointManager(backend).forget("g") == 2
        assert (await backend.list()).infos == []
        assert await backend.next_sequence("g") == 3, "which keeps a writer out that was stopped"

    async def test_what_a_backend_raises_says_what_was_tried(self) -> None:
        class Broken(InMemoryCheckpointBackend):
            async def forget(self, graph_id: str) -> Any:
                raise OSError("no disk")

        with pytest.raises(BackendError, match="forgetting graph 'g': OSError: no disk"):
            await CheckpointManager(Broken()).forget("g")
