"""A run: what it does when a node fails, when it is cancelled, and when it is asked to go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from spark.errors import BackendError, RunError, SerializationError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import FakeClock
from spark_testing.records import NOON
from tests.support.running import Countdown, Does, FailsOnce, Failure, countdown, every_step, history


def failing(*, beside: Node | None = None, config: CheckpointConfig | None = None, **more: Any) -> Graph:
    """start → fails, and if wanted another node beside it."""
    start = Does(lambda context: {"from": "start"}, name="start")
    start >> ([beside] if beside else []) + [FailsOnce(name="fails")]
    return Graph(start, id="failing", checkpoint_config=config or CheckpointConfig(), **more)


class FullDisk(InMemoryCheckpointBackend):
    """A store that refuses everything from its ``room``-th record on."""

    name = "full"

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def put(self, record: Record) -> None:
        if self.room <= 0:
            raise OSError(28, "No space left on device")
        self.room -= 1
        await super().put(record)


class TestFailure:
    async def test_the_exception_is_raised_as_it_is_with_a_note_naming_the_checkpoint(self) -> None:
        graph = failing()

        with pytest.raises(Failure) as caught:
            await graph.run()

        latest = (await history(graph))[-1]
        assert caught.value.args == ("the first time",)
        (note,) = caught.value.__notes__
        assert "node 'fails' failed" in note
        assert latest.checkpoint_id in note
        assert latest.execution_metadata["reason"] == "failed"

    async def test_the_failed_work_is_pending_again_with_its_inputs(self) -> None:
        graph = failing()
        with pytest.raises(Failure):
            await graph.run()

        frontier = (await history(graph))[-1].frontier
        assert frontier is not None
        (token,) = frontier["tokens"].values()
        assert (token["node"], frontier["contents"][token["content"]]) == ("fails", {"from": "start"})

    async def test_it_goes_on_with_the_failed_work_only(self) -> None:
        graph = failing()
        with pytest.raises(Failure):
            await graph.run()
        message = await graph.run(resume=True)

        assert message.content == {"from": "start"}
        assert await graph.get_state("done") == ["fails"]

    async def test_parallel_siblings_that_are_to_be_cancelled_are_pending_again(self) -> None:
        cancelled = asyncio.Event()

        async def waits(context: NodeContext) -> None:
            await context.graph_state.set("waited", True)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        graph = failing(beside=Does(waits, name="waits"), on_failure="cancel")
        with pytest.raises(Failure):
            await graph.run()

        latest = (await history(graph))[-1]
        assert cancelled.is_set()
        assert latest.frontier is not None
        assert [token["node"] for token in latest.frontier["tokens"].values()] == ["waits", "fails"]
        assert latest.graph_state == {}

    async def test_two_that_fail_at_once_are_both_pending_again(self) -> None:
        graph = failing(beside=FailsOnce(name="fails too"))
        with pytest.raises(Failure):
            await graph.run()
        await graph.run(resume=True)

        assert sorted(await graph.get_state("done")) == ["fails", "fails too"]

    async def test_no_task_is_left_behind(self) -> None:
        async def waits(context: NodeContext) -> None:
            await asyncio.Event().wait()

        graph = failing(beside=Does(waits, name="waits"), on_failure="cancel")
        with pytest.raises(Failure):
            await graph.run()

        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_run_that_fails_again_and_again_ends_as_if_it_never_had(self) -> None:
        attempts = 0

        class Moody(Countdown):
            async def process(self, context: NodeContext) -> Any:
                nonlocal attempts
                attempts += 1
                output = await super().process(context)
                if attempts % 3 == 0:
                    raise Failure
                return output

        loop = Moody()
        loop.on(done=False) >> loop
        graph = Graph(loop, checkpoint_config=CheckpointConfig(trigger_on_iteration=4))
        message = None
        while message is None:
            with suppress(Failure):
                message = await graph.run({"limit": 10}, resume=True)

        assert message.content["count"] == 10
        assert attempts == 14

    async def test_nothing_is_saved_when_it_is_switched_off(self) -> None:
        graph = failing(config=CheckpointConfig(trigger_on_failure=False))
        with pytest.raises(Failure) as caught:
            await graph.run()

        assert await history(graph) == []
        assert not hasattr(caught.value, "__notes__")

    async def test_without_checkpoints_the_exception_comes_as_it_is(self) -> None:
        with pytest.raises(Failure) as caught:
            await Graph(FailsOnce(name="fails")).run()

        assert not hasattr(caught.value, "__notes__")

    async def test_a_failure_while_saving_does_not_hide_the_exception_of_the_node(self) -> None:
        graph = failing(config=CheckpointConfig(backend=FullDisk(room=0)))

        with pytest.raises(Failure) as caught:
            await graph.run()

        (note,) = caught.value.__notes__
        assert "could not be saved" in note
        assert "No space left on device" in note

    async def test_a_checkpoint_that_can_not_be_saved_stops_the_run_and_the_older_ones_stay(self) -> None:
        graph = Graph(countdown(), id="full", checkpoint_config=every_step(FullDisk(room=2)))

        with pytest.raises(
            BackendError, match=r"full backend failed while saving checkpoint 'ckpt_full_000003': OSError"
        ):
            await graph.run({"limit": 5})

        assert [checkpoint.graph_state for checkpoint in await history(graph)] == [{"count": 1}, {"count": 2}]

    async def test_a_value_that_can_not_be_saved_stops_the_run_with_the_path_to_it(self) -> None:
        class Own:
            pass

        async def work(context: NodeContext) -> Any:
            await context.graph_state.set("k", [{"x": Own()}])
            return {}

        graph = Graph(Does(work, name="start"), checkpoint_config=CheckpointConfig())

        with pytest.raises(SerializationError) as caught:
            await graph.run()

        assert caught.value.path == "graph_state['k'][0]['x']"
        assert [checkpoint.graph_state for checkpoint in await history(graph)] == [{}]


class TestCancellation:
    async def test_a_cancelled_run_stops_its_nodes_and_can_be_continued(self) -> None:
        waiting, may_end = asyncio.Event(), asyncio.Event()

        async def waits(context: NodeContext) -> Any:
            await context.graph_state.update("executions", lambda n: n + 1, 0)
            waiting.set()
            await may_end.wait()
            return "ended"

        start = Does(lambda context: {}, name="start")
        start >> [Does(waits, name=name) for name in "ab"] >> JoinNode()
        graph = Graph(start, checkpoint_config=every_step(InMemoryCheckpointBackend()))
        running = asyncio.create_task(graph.run())
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert asyncio.all_tasks() == {asyncio.current_task()}
        may_end.set()
        message = await graph.run(resume=True)
        assert message.content == {"results": ["ended", "ended"]}
        assert await graph.get_state("executions") == 2

    async def test_one_graph_runs_once_at_a_time(self) -> None:
        may_end = asyncio.Event()

        async def waits(context: NodeContext) -> None:
            await may_end.wait()

        graph = Graph(Does(waits, name="waits"), id="busy")
        running = asyncio.create_task(graph.run())
        await asyncio.sleep(0)

        with pytest.raises(RunError, match="Graph 'busy' is running, so run has to wait"):
            await graph.run()
        with pytest.raises(RunError, match="start has to wait"):
            graph.start = JoinNode()

        may_end.set()
        await running
        await graph.run()


class TestIterations:
    async def test_they_count_node_executions(self) -> None:
        start = Does(lambda context: {}, name="start")
        start >> [Does(lambda context: {}, name=name) for name in "ab"] >> JoinNode()
        graph = Graph(start, checkpoint_config=CheckpointConfig())
        await graph.run()

        assert (await history(graph))[-1].execution_metadata["iteration"] == 4

    async def test_they_are_counted_on_across_a_resume_and_the_run_keeps_its_id(self) -> None:
        graph = failing(config=every_step(InMemoryCheckpointBackend()))
        with pytest.raises(Failure):
            await graph.run()
        await graph.run(resume=True)

        facts = [checkpoint.execution_metadata for checkpoint in await history(graph)]
        assert [(fact["iteration"], fact["reason"]) for fact in facts] == [
            (1, "trigger"),
            (1, "failed"),
            (2, "completed"),
        ]
        assert [fact["last_node"] for fact in facts] == ["start", "start", "fails"]
        assert len({fact["run_id"] for fact in facts}) == 1

    async def test_another_run_counts_from_the_beginning_under_another_id(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig(auto_cleanup=False))
        await graph.run({"limit": 3})
        await graph.run({"limit": 5})

        facts = [checkpoint.execution_metadata for checkpoint in await history(graph)]
        assert [fact["iteration"] for fact in facts] == [3, 2]
        assert facts[0]["run_id"] != facts[1]["run_id"]


class TestClockAndRandom:
    async def test_with_the_same_clock_and_random_source_runs_leave_the_same_checkpoints(self) -> None:
        async def left() -> list[Any]:
            config, clock = every_step(InMemoryCheckpointBackend()), FakeClock(now=NOON)
            start = Does(lambda context: clock.advance(60), name="start")
            start >> Does(lambda context: clock.advance(60), name="last")
            graph = Graph(start, checkpoint_config=config, clock=clock, random=Random(7))
            await graph.run()
            manual = graph.create_checkpoint()
            return [
                (each.checkpoint_id, each.timestamp, each.execution_metadata["run_id"])
                for each in [*await history(graph), manual]
            ]

        first, second = await left(), await left()

        assert first == second
        assert [timestamp for _, timestamp, _ in first] == [NOON + timedelta(minutes=n) for n in (1, 2, 2)]

    async def test_a_restored_graph_keeps_the_clock_of_the_graph_in_this_process(self) -> None:
        clock = FakeClock(now=NOON)
        graph = Graph(countdown(), id="g", checkpoint_config=CheckpointConfig(), clock=clock)
        await graph.run({"limit": 1})
        clock.advance(60)
        restored = Graph.from_checkpoint((await history(graph))[-1])

        assert restored.create_checkpoint().timestamp == NOON + timedelta(minutes=1)

    async def test_a_failure_is_stamped_by_the_clock(self) -> None:
        graph = Graph(Does(fail, name="fails"), checkpoint_config=CheckpointConfig(), clock=FakeClock(now=NOON))
        with pytest.raises(Failure):
            await graph.run()

        assert (await history(graph))[-1].execution_metadata["error"]["time"] == NOON.isoformat()


def fail(context: NodeContext) -> Any:
    raise Failure


class TestManualCheckpoints:
    async def test_one_taken_inside_a_node_stands_at_the_last_boundary(self) -> None:
        taken = []

        async def work(context: NodeContext) -> Any:
            await context.graph_state.set("k", "not committed yet")
            taken.append(graph.create_checkpoint("mine", metadata={"why": "risky"}))
            return {}

        start = Does(lambda context: {"x": 1}, name="start")
        start >> Does(work, name="second")
        graph = Graph(start, state={"k": "old"})
        await graph.run()
        (checkpoint,) = taken

        assert checkpoint.graph_state == {"k": "old"}
        assert [token["node"] for token in checkpoint.frontier["tokens"].values()] == ["second"]
        assert checkpoint.execution_metadata["metadata"] == {"why": "risky"}
        assert checkpoint.execution_metadata["reason"] == "manual"

    async def test_it_is_isolated_from_the_graph(self) -> None:
        graph = Graph(countdown(), state={"list": [1]})
        checkpoint = graph.create_checkpoint()
        checkpoint.graph_state["list"].append(2)
        await graph.set_state("list", [3])

        assert await graph.get_state("list") == [3]
        assert checkpoint.graph_state["list"] == [1, 2]

    async def test_what_the_caller_does_with_the_result_does_not_reach_it(self) -> None:
        graph = Graph(countdown())
        message = await graph.run({"limit": 1})
        message.content["count"] = "changed"

        assert graph.create_checkpoint().frontier["result"]["content"]["count"] == 1

    async def test_one_taken_before_any_run_begins_at_the_start(self) -> None:
        checkpoint = Graph(countdown(), id="unrun", state={"count": 2}).create_checkpoint()
        graph = Graph.from_checkpoint(checkpoint, start=countdown())
        await graph.run({"limit": 4})

        assert await graph.get_state("count") == 4
