"""The flow of one checkpoint: its place in the history, its rivals, lost answers, and what is deleted only afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from spark.errors import BackendError, BudgetExceededError, CheckpointConflictError, SequenceTakenError
from spark.graphs import Budget, Graph, Node, NodeContext, Task
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    InMemoryCheckpointBackend,
    Listing,
)
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import FakeClock
from tests.support.loop_time import LoopTime
from tests.support.running import Does, FailsOnce, Failure, countdown, every_step, history

Act = Callable[[], Awaitable[Any]]


class Faulty(InMemoryCheckpointBackend):
    """A store that does something unusual at its n-th put."""

    def __init__(self, at: int, fault: Callable[[Faulty, Record], Awaitable[None]]) -> None:
        super().__init__()
        self.puts = 0
        self._at = at
        self._fault = fault

    async def put(self, record: Record) -> None:
        self.puts += 1
        if self.puts == self._at:
            await self._fault(self, record)
        else:
            await self.store(record)

    async def store(self, record: Record) -> None:
        await InMemoryCheckpointBackend.put(self, record)


async def sequences(backend: InMemoryCheckpointBackend, graph_id: str = "g") -> list[int]:
    return [info.sequence for info in (await backend.list(graph_id)).infos]


def acting(act: Act, *, at: int, last: int) -> Node:
    """A loop that does something in its ``at``-th step and ends with its ``last``."""

    async def work(context: NodeContext) -> Any:
        if context.iteration + 1 == at:
            await act()
        return {"more": context.iteration + 1 < last}

    loop = Does(work, name="loop")
    loop.on(more=True) >> loop
    return loop


def rival(backend: InMemoryCheckpointBackend, *, steps: int = 1, **more: Any) -> Act:
    """Somebody else who runs the same graph id against the same store."""

    async def run() -> None:
        await Graph(countdown(), id="g", checkpoint_config=every_step(backend, **more)).run({"limit": steps})

    return run


class TestHistory:
    async def test_sequences_and_parents_follow_each_other(self) -> None:
        backend = InMemoryCheckpointBackend()
        graph = Graph(countdown(), id="g", checkpoint_config=every_step(backend))
        await graph.run({"limit": 3})

        found = await history(graph)
        assert [checkpoint.checkpoint_id for checkpoint in found] == ["ckpt_g_000001", "ckpt_g_000002", "ckpt_g_000003"]
        assert [(checkpoint.sequence, checkpoint.parent) for checkpoint in found] == [(1, None), (2, 1), (3, 2)]

    async def test_continuing_from_an_older_one_takes_the_next_free_sequence_with_that_one_as_parent(self) -> None:
        backend = InMemoryCheckpointBackend()
        await rival(backend, steps=4)()
        older = await CheckpointManager(backend).load_checkpoint("ckpt_g_000002")
        graph = Graph.from_checkpoint(older, start=countdown(), checkpoint_config=every_step(backend))
        await graph.run()

        assert [(one.sequence, one.parent) for one in await history(graph)][3:] == [(4, 3), (5, 2), (6, 5)]

    async def test_a_second_run_begins_without_a_parent(self) -> None:
        backend = InMemoryCheckpointBackend()
        await rival(backend)()
        await rival(backend)()

        assert [(await CheckpointManager(backend).load_latest("g")).parent] == [None]

    async def test_a_checkpoint_saved_by_hand_in_between_is_skipped_over(self) -> None:
        backend = InMemoryCheckpointBackend()

        async def save() -> None:
            await graph.create_checkpoint("mine").save(backend)

        graph = Graph(acting(save, at=2, last=3), id="g", checkpoint_config=every_step(backend))
        await graph.run()

        found = [(one.checkpoint_id, one.sequence, one.parent) for one in await history(graph)]
        assert found == [
            ("ckpt_g_000001", 1, None),
            ("mine", 2, None),
            ("ckpt_g_000003", 3, 1),
            ("ckpt_g_000004", 4, 3),
        ]


class TestRivals:
    async def test_of_two_graphs_with_one_id_in_one_store_the_one_that_comes_second_stops(self) -> None:
        backend = InMemoryCheckpointBackend()
        loop = acting(rival(backend, steps=2), at=2, last=5)
        graph = Graph(loop, id="g", checkpoint_config=every_step(backend))

        with pytest.raises(CheckpointConflictError, match=r"checkpoint 2 of graph 'g'.*'ckpt_g_00000[23]'") as caught:
            await graph.run()

        assert isinstance(caught.value.__cause__, SequenceTakenError)
        assert await sequences(backend) == [1, 2, 3]

    async def test_also_when_retention_has_deleted_what_was_in_the_way(self) -> None:
        """A long pause: the rival's history has gone far beyond the sequence that is tried."""
        backend = InMemoryCheckpointBackend()
        rivals = rival(backend, steps=9, auto_cleanup=True, max_checkpoints=1)
        graph = Graph(acting(rivals, at=2, last=5), id="g", checkpoint_config=every_step(backend))

        with pytest.raises(CheckpointConflictError):
            await graph.run()

        assert await sequences(backend) == [10]

    async def test_also_when_it_is_deleted_between_the_listing_and_the_look(self) -> None:
        class Hurried(InMemoryCheckpointBackend):
            """The rival goes on while the loser looks around."""

            looks = 0

            async def get(self, graph_id: str, sequence: int) -> Record | None:
                self.looks += 1
                if self.looks <= 3:
                    await rival(self, steps=1, auto_cleanup=True, max_checkpoints=1)()
                return await super().get(graph_id, sequence)

        backend = Hurried()
        rivals = rival(backend, steps=2, auto_cleanup=True, max_checkpoints=1)
        graph = Graph(acting(rivals, at=2, last=5), id="g", checkpoint_config=every_step(backend))

        with pytest.raises(CheckpointConflictError):
            await graph.run()

    async def test_also_when_the_rival_writes_between_the_listing_and_the_next_try(self) -> None:
        class Hurried(InMemoryCheckpointBackend):
            is_armed = False

            async def next_sequence(self, graph_id: str) -> int:
                if self.is_armed:
                    self.is_armed = False
                    await rival(self)()
                return await super().next_sequence(graph_id)

        backend = Hurried()

        async def save_by_hand() -> None:
            await graph.create_checkpoint("mine").save(backend)
            backend.is_armed = True

        graph = Graph(acting(save_by_hand, at=2, last=5), id="g", checkpoint_config=every_step(backend))

        with pytest.raises(CheckpointConflictError):
            await graph.run()

        assert await sequences(backend) == [1, 2, 3]

    async def test_also_when_the_rival_writes_between_the_loading_and_the_opening(self) -> None:
        """Otherwise the run would go on from an older boundary, and what the rival was told is safe would be lost."""

        class Overtaken(InMemoryCheckpointBackend):
            is_armed = False

            async def list(self, graph_id: str | None = None) -> Listing:
                if self.is_armed:
                    self.is_armed = False
                    await rival(self)()
                return await super().list(graph_id)

        backend = Overtaken()
        with pytest.raises(BudgetExceededError):
            await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run(
                Task(inputs={"limit": 9}, budget=Budget(max_iterations=2))
            )
        stood_at = (await sequences(backend))[-1]
        backend.is_armed = True

        with pytest.raises(CheckpointConflictError):
            await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run(resume=True)

        assert await sequences(backend) == [*range(1, stood_at + 2)]

    async def test_a_failing_node_is_not_hidden_by_a_conflict(self) -> None:
        backend = InMemoryCheckpointBackend()

        async def fail() -> None:
            await rival(backend)()
            raise Failure

        graph = Graph(acting(fail, at=2, last=5), id="g", checkpoint_config=every_step(backend))

        with pytest.raises(Failure) as caught:
            await graph.run()

        assert "another process continued the same graph id" in caught.value.__notes__[0]

    async def test_another_graph_id_in_the_same_store_is_no_rival(self) -> None:
        backend = InMemoryCheckpointBackend()
        graphs = [Graph(countdown(), id=name, checkpoint_config=every_step(backend)) for name in "ab"]
        await asyncio.gather(*(graph.run({"limit": 3}) for graph in graphs))

        assert await sequences(backend, "a") == await sequences(backend, "b") == [1, 2, 3]


class TestLostAnswers:
    async def test_a_record_of_ones_own_in_the_way_is_recognised(self) -> None:
        """It was stored, the answer was lost, and the plugin's own second try found the sequence taken."""

        async def stored_after_all(backend: Faulty, record: Record) -> None:
            await backend.store(record)
            raise SequenceTakenError("taken")

        backend = Faulty(2, stored_after_all)
        graph = Graph(countdown(), id="g", checkpoint_config=every_step(backend))
        await graph.run({"limit": 4})

        assert [(one.sequence, one.parent) for one in await history(graph)] == [(1, None), (2, 1), (3, 2), (4, 3)]

    async def test_one_stored_before_the_storage_failed_is_what_the_next_run_continues_from(self) -> None:
        async def stored_and_failed(backend: Faulty, record: Record) -> None:
            await backend.store(record)
            raise ConnectionResetError("connection lost")

        backend = Faulty(2, stored_and_failed)
        graph = Graph(countdown(), id="g", checkpoint_config=every_step(backend))
        with pytest.raises(BackendError, match="connection lost"):
            await graph.run({"limit": 4})
        await graph.run(resume=True)

        assert [one.graph_state["count"] for one in await history(graph)] == [1, 2, 3, 4]

    @pytest.mark.thorough
    async def test_one_whose_saving_was_cancelled_is_no_rival(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The budget ends while a checkpoint is being saved: it was stored, and one more is made."""

        async def stored_and_hangs(backend: Faulty, record: Record) -> None:
            await backend.store(record)
            monkeypatch.undo()  # only from now on do the seconds of the budget pass
            await asyncio.Event().wait()

        LoopTime(monkeypatch)
        backend = Faulty(2, stored_and_hangs)
        graph = Graph(countdown(), id="g", checkpoint_config=every_step(backend), clock=FakeClock())
        with pytest.raises(BudgetExceededError):
            await graph.run(Task(inputs={"limit": 4}, budget=Budget(max_seconds=0.02)))
        await graph.run(resume=True)

        found = [(one.sequence, one.parent, one.graph_state["count"]) for one in await history(graph)]
        assert found == [(1, None, 1), (2, 1, 2), (3, 2, 2), (4, 3, 3), (5, 4, 4)]

    async def test_a_backend_that_contradicts_itself_is_found_out(self) -> None:
        class Liar(InMemoryCheckpointBackend):
            name = "liar"

            async def put(self, record: Record) -> None:
                raise SequenceTakenError("always")

        with pytest.raises(BackendError, match=r"The liar backend offered 100 sequences .* contradict each other"):
            await Graph(countdown(), checkpoint_config=every_step(Liar())).run({"limit": 1})


class TestRetentionAfterwards:
    async def test_nothing_is_deleted_before_the_new_one_is_durable(self) -> None:
        async def full(backend: Faulty, record: Record) -> None:
            raise OSError("disk full")

        backend = Faulty(3, full)
        config = every_step(backend, auto_cleanup=True, max_checkpoints=2)
        with pytest.raises(BackendError, match="disk full"):
            await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 9})

        assert await sequences(backend) == [1, 2]

    async def test_a_failing_deletion_is_logged_and_tried_again(self, caplog: pytest.LogCaptureFixture) -> None:
        class Sticky(InMemoryCheckpointBackend):
            failures = 2

            async def delete(self, graph_id: str, sequence: int) -> bool:
                if self.failures:
                    self.failures -= 1
                    raise PermissionError("not now")
                return await super().delete(graph_id, sequence)

        backend = Sticky()
        config = every_step(backend, auto_cleanup=True, max_checkpoints=1)
        await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 5})

        assert await sequences(backend) == [5]
        assert [record.message.partition(":")[0] for record in caplog.records] == [
            "The memory backend failed while deleting checkpoint 'ckpt_g_000001'",
            "The memory backend failed while deleting checkpoint 'ckpt_g_000001' and 1 more",
        ]

    async def test_one_deletion_at_a_time_goes_on_beside_the_run(self) -> None:
        class Slow(InMemoryCheckpointBackend):
            persistent = True
            deleting = most = 0

            async def delete(self, graph_id: str, sequence: int) -> bool:
                self.deleting += 1
                self.most = max(self.most, self.deleting)
                for _ in range(50):
                    await asyncio.sleep(0)
                self.deleting -= 1
                return await super().delete(graph_id, sequence)

        backend = Slow()
        config = every_step(backend, auto_cleanup=True, max_checkpoints=1)
        await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 5})

        assert (backend.most, backend.deleting) == (1, 0)
        assert await sequences(backend) == [5]

    async def test_what_was_deleted_before_a_failure_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        class Sticky(InMemoryCheckpointBackend):
            failures = 1

            async def delete(self, graph_id: str, sequence: int) -> bool:
                if sequence == 3 and self.failures:
                    self.failures -= 1
                    raise PermissionError("not now")
                return await super().delete(graph_id, sequence)

        class Told(CheckpointHandler):
            def __init__(self) -> None:
                self.ids: list[str] = []

            async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
                self.ids.append(checkpoint_id)

        backend, told = Sticky(), Told()
        await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run({"limit": 5})
        config = every_step(backend, auto_cleanup=True, max_checkpoints=1, handler=told)
        await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 2})

        assert told.ids == [f"ckpt_g_{sequence:06d}" for sequence in range(1, 7)]
        assert await sequences(backend) == [7]
        (record,) = caplog.records
        assert "deleted 2 of 5 checkpoints of graph 'g', and failed at sequence 3: PermissionError" in record.message

    async def test_a_handler_that_ends_the_run_does_not_keep_others_from_hearing(self) -> None:
        class Ends(CheckpointHandler):
            def __init__(self) -> None:
                self.ids: list[str] = []

            async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
                self.ids.append(checkpoint_id)
                raise Failure(checkpoint_id)

        backend, ends = InMemoryCheckpointBackend(), Ends()
        await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run({"limit": 3})
        config = every_step(backend, auto_cleanup=True, max_checkpoints=1, handler=ends, handler_errors="raise")
        with pytest.raises(Failure, match="ckpt_g_000001"):
            await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 1})

        assert ends.ids == ["ckpt_g_000001", "ckpt_g_000002", "ckpt_g_000003"]


class TestOpening:
    async def test_a_run_that_can_not_open_its_history_runs_nothing_and_loses_nothing(self) -> None:
        class Offline(InMemoryCheckpointBackend):
            is_offline = False

            async def list(self, graph_id: str | None = None) -> Listing:
                if self.is_offline:
                    raise ConnectionRefusedError("offline")
                return await super().list(graph_id)

        backend = Offline()
        start = countdown()
        start.on(done=True) >> FailsOnce(name="fails")
        config = CheckpointConfig(backend=backend)
        with pytest.raises(Failure):
            await Graph(start, id="g", checkpoint_config=config).run({"limit": 2})
        graph = Graph.from_checkpoint(
            await CheckpointManager(backend).load_checkpoint("ckpt_g_000001"), start=start, checkpoint_config=config
        )
        backend.is_offline = True
        with pytest.raises(BackendError, match="offline"):
            await graph.run()
        backend.is_offline = False
        await graph.run()

        assert graph.get_state_snapshot() == {"count": 2, "done": ["fails"]}


class TestForgotten:
    async def test_a_run_that_saves_often_does_not_ask_whether_its_graph_was_forgotten(self) -> None:
        class Asked(InMemoryCheckpointBackend):
            count = 0

            async def next_sequence(self, graph_id: str) -> int:
                self.count += graph_id == "g"  # and not its inbox
                return await super().next_sequence(graph_id)

        def wait(context: NodeContext) -> Any:
            clock.advance(6)
            return {"more": context.iteration < 5}

        backend, clock = Asked(), FakeClock()
        loop = Does(wait, name="loop")
        loop.on(more=True) >> loop
        await Graph(loop, id="g", checkpoint_config=every_step(backend), clock=clock).run()

        assert backend.count == 1, "when the run began"

    async def test_one_whose_only_checkpoint_was_forgotten_is_refused_too(self) -> None:
        backend, clock = InMemoryCheckpointBackend(), FakeClock()

        async def be_stopped() -> None:
            assert await sequences(backend) == [1]
            await backend.forget("g")
            clock.advance(11)

        graph = Graph(acting(be_stopped, at=2, last=5), id="g", checkpoint_config=every_step(backend), clock=clock)

        with pytest.raises(CheckpointConflictError, match="forgotten in the meantime"):
            await graph.run()

    @pytest.mark.parametrize("at", [1, 3])
    async def test_a_run_that_was_stopped_while_its_graph_was_forgotten_is_refused(self, at: int) -> None:
        """Nothing in the store would do so: its next sequence is free again."""
        backend, clock = InMemoryCheckpointBackend(), FakeClock()
        await rival(backend, steps=2)()

        async def be_stopped() -> None:
            await backend.forget("g")
            clock.advance(11)

        graph = Graph(acting(be_stopped, at=at, last=5), id="g", checkpoint_config=every_step(backend), clock=clock)

        with pytest.raises(CheckpointConflictError, match="forgotten in the meantime"):
            await graph.run()
        assert await sequences(backend) == []
