"""The triggers of a run: started, told, asked what they remember, and stopped, whatever happens."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from spark.errors import BackendError, GraphRestoreError, RuleError
from spark.graphs import Budget, Graph, NodeContext, Task
from spark.graphs.checkpoint import (
    AfterNode,
    AtIterations,
    Boundary,
    CheckpointConfig,
    CheckpointManager,
    EveryIterations,
    InMemoryCheckpointBackend,
    Trigger,
    WhenImproved,
)
from spark.graphs.checkpoint.storage import Record
from tests.support.running import Countdown, Does, Failure, countdown, history


class Counts(Trigger):
    """Remembers how often it was asked; due at each third time. All that happens to it is noted."""

    log: list[str]

    def __init__(self, label: str = "counts") -> None:
        self.label = label
        self.log = []
        self.asked = 0

    def start(self) -> Trigger:
        self.log.append("start")
        rule = type(self)(self.label)
        rule.log = self.log
        return rule

    def is_due(self, boundary: Boundary) -> bool:
        self.asked += 1
        return self.asked % 3 == 0

    def saved(self, boundary: Boundary) -> None:
        self.log.append(f"saved {boundary.iteration}")

    def memory(self) -> Any:
        return {"asked": self.asked}

    def recall(self, memory: Any) -> None:
        self.log.append(f"recall {memory['asked']}")
        self.asked = memory["asked"]

    def stop(self) -> None:
        self.log.append("stop")


async def fail(context: NodeContext) -> None:
    raise Failure


async def forever(context: NodeContext) -> None:
    await asyncio.Event().wait()


def told(checkpoint: Any) -> tuple[int, Any]:
    facts = checkpoint.execution_metadata
    return facts["iteration"], facts.get("triggers")


def remembering(asked: int) -> list[dict[str, Any]]:
    return [{"rule": f"{Counts.__module__}:{Counts.__qualname__}", "memory": {"asked": asked}}]


def counting(rule: Trigger, **more: Any) -> Graph:
    config = CheckpointConfig(trigger=rule, auto_cleanup=False, **more)
    return Graph(countdown(), id="counting", checkpoint_config=config)


class TestOneRun:
    async def test_a_rule_is_started_told_and_stopped_once(self) -> None:
        rule = Counts()

        await counting(rule).run({"limit": 7})

        assert rule.log == ["start", "saved 3", "saved 6", "saved 7", "stop"]
        assert rule.asked == 0  # the rule of the configuration is never asked

    async def test_what_it_remembers_is_that_of_the_boundary(self) -> None:
        graph = counting(Counts())

        await graph.run({"limit": 7})

        assert [told(each) for each in await history(graph)] == [
            (3, remembering(3)),
            (6, remembering(6)),
            (7, remembering(6)),
        ]

    async def test_rules_that_remember_nothing_leave_nothing(self) -> None:
        graph = counting(EveryIterations(2) | AtIterations(3))

        await graph.run({"limit": 4})

        assert [told(each) for each in await history(graph)] == [(2, None), (3, None), (4, None)]

    async def test_two_of_one_name_get_back_their_own(self) -> None:
        """Also where the first of them remembers nothing, so that there is nothing to store for it."""

        class Last(Counts):
            def memory(self) -> Any:
                return {"asked": self.asked} if self.label == "last" else None

        first, last = Last("first"), Last("last")
        config = CheckpointConfig(trigger=first | (last & Last("none")), auto_cleanup=False)
        graph = Graph(countdown(), id="two", checkpoint_config=config)
        await graph.run({"limit": 7})
        checkpoint = (await history(graph))[0]

        await Graph.from_checkpoint(checkpoint, checkpoint_config=config).run()

        assert [line for line in first.log + last.log if "recall" in line] == ["recall 3"]
        assert "recall 3" in last.log

    @pytest.mark.parametrize("durability", ["sync", "async", "exit"])
    async def test_also_of_checkpoints_that_are_saved_later(self, durability: Any) -> None:
        graph = counting(Counts(), durability=durability)

        await graph.run({"limit": 8})

        expected = {3: remembering(3), 6: remembering(6), 8: remembering(7)}
        stored = dict(told(each) for each in await history(graph))
        assert stored == ({8: expected[8]} if durability == "exit" else expected)

    async def test_what_it_returned_may_change_afterwards(self) -> None:
        """A memory that grows in place must not grow in a checkpoint that waits to be saved."""

        class Lists(Counts):
            def __init__(self, label: str = "lists") -> None:
                super().__init__(label)
                self.seen: list[int] = []

            def is_due(self, boundary: Boundary) -> bool:
                self.seen.append(boundary.iteration)
                return True

            def memory(self) -> Any:
                return self.seen

        graph = counting(Lists(), durability="async")

        await graph.run({"limit": 5})

        memories = [each.execution_metadata["triggers"][0]["memory"] for each in await history(graph)]
        assert memories == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4]]

    async def test_runs_of_one_graph_after_another_begin_anew(self) -> None:
        rule = Counts()
        graph = counting(rule)

        for _ in range(2):
            await graph.run({"limit": 2})
            graph = graph.with_checkpoints(graph.checkpoint_config)

        assert rule.log == ["start", "saved 2", "stop", "start", "saved 1", "stop"]

    async def test_a_checkpoint_made_by_hand_has_what_the_rule_remembers(self) -> None:
        made = []

        class ByHand(Countdown):
            async def process(self, context: NodeContext) -> Any:
                made.append(graph.create_checkpoint())
                return await super().process(context)

        start = ByHand()
        start.on(done=False) >> start
        graph = Graph(start, checkpoint_config=CheckpointConfig(trigger=Counts()))

        await graph.run({"limit": 3})

        assert [told(each) for each in made] == [(0, remembering(0)), (1, remembering(1)), (2, remembering(2))]


class TestHoweverItEnds:
    async def test_it_fails(self) -> None:
        rule = Counts()
        graph = Graph(Does(fail, name="fails"), checkpoint_config=CheckpointConfig(trigger=rule))

        with pytest.raises(Failure):
            await graph.run()

        assert rule.log == ["start", "stop"]

    async def test_it_is_cancelled(self) -> None:
        rule = Counts()
        begun = asyncio.Event()

        async def wait(context: NodeContext) -> None:
            begun.set()
            await asyncio.Event().wait()

        graph = Graph(Does(wait, name="waits"), checkpoint_config=CheckpointConfig(trigger=rule))
        run = asyncio.create_task(graph.run())
        await begun.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert rule.log == ["start", "stop"]

    async def test_its_budget_ends(self) -> None:
        rule = Counts()
        with pytest.raises(TimeoutError):
            await counting(rule).run(Task(inputs={"limit": 9}, budget=Budget(max_iterations=4)))

        assert rule.log == ["start", "saved 3", "saved 4", "stop"]

    def test_nobody_waits_for_it_any_more(self) -> None:
        """The event loop was closed on a run that was under way."""
        rule = Counts()
        graph = Graph(Does(forever, name="waits"), checkpoint_config=CheckpointConfig(trigger=rule))
        loop = asyncio.new_event_loop()
        run = loop.create_task(graph.run())
        loop.run_until_complete(asyncio.sleep(0))
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        loop.set_exception_handler(lambda loop, context: None)
        assert rule.log == ["start"]
        loop.close()

        run.get_coro().close()  # type: ignore[union-attr]

        assert rule.log == ["start", "stop"]

    async def test_it_never_began(self) -> None:
        """The store could not be asked."""

        class Broken(InMemoryCheckpointBackend):
            async def next_sequence(self, graph_id: str) -> int:
                raise BackendError("no connection")

        rule = Counts()
        with pytest.raises(BackendError):
            await counting(rule, backend=Broken()).run({"limit": 3})

        assert rule.log == ["start", "stop"]

    async def test_saving_fails(self) -> None:
        """What is resumed later is the checkpoint before, with what was remembered there."""

        class Full(InMemoryCheckpointBackend):
            room = 1

            async def put(self, record: Record) -> None:
                self.room -= 1
                if self.room < 0:
                    raise BackendError("the disk is full")
                await super().put(record)

        rule, backend = Counts(), Full()
        with pytest.raises(BackendError):
            await counting(rule, backend=backend).run({"limit": 9})
        backend.room = 99
        again = Counts()
        graph = counting(again, backend=backend)
        await graph.run(resume=True)

        assert rule.log == ["start", "saved 3", "saved 6", "stop"]
        assert again.log == ["start", "recall 3", "saved 6", "saved 9", "stop"]

    async def test_a_rule_that_can_not_stop_is_only_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        class Stuck(Counts):
            def stop(self) -> None:
                raise Failure("stuck")

        message = await counting(Stuck() | EveryIterations(1)).run({"limit": 1})

        assert message.status == "completed"
        assert "could not be stopped" in caplog.text


class TestResuming:
    async def test_a_killed_run_gives_it_back_what_it_remembered(self) -> None:
        backend = InMemoryCheckpointBackend()
        with pytest.raises(TimeoutError):
            await counting(Counts(), backend=backend).run(Task(inputs={"limit": 8}, budget=Budget(max_iterations=4)))
        rule = Counts()

        await counting(rule, backend=backend).run(resume=True)

        assert rule.log == ["start", "recall 4", "saved 6", "saved 8", "stop"]

    async def test_a_fork_has_it_too(self) -> None:
        backend = InMemoryCheckpointBackend()
        first = counting(Counts(), backend=backend)
        await first.run({"limit": 5})
        (at_three, _) = await history(first)
        rule = Counts()
        fork = Graph(
            countdown(),
            id="fork",
            checkpoint_config=CheckpointConfig(backend=backend, trigger=rule, auto_cleanup=False),
        )

        await fork.run(resume=at_three.fork("fork"))

        assert rule.log == ["start", "recall 3", "saved 5", "stop"]

    async def test_a_new_run_in_the_stored_state_does_not(self) -> None:
        backend = InMemoryCheckpointBackend()
        await counting(Counts(), backend=backend).run({"limit": 3})
        rule = Counts()

        await counting(rule, backend=backend).run({"limit": 4}, resume="state")

        assert rule.log == ["start", "saved 1", "stop"]

    async def test_others_may_have_been_added_and_removed_since(self) -> None:
        """Each gets what one with its name remembered, in order; one that is new gets nothing."""
        backend = InMemoryCheckpointBackend()
        before = WhenImproved("count", "max", min_delta=9) & AfterNode("Countdown") | Counts()
        with pytest.raises(TimeoutError):
            await counting(before, backend=backend).run(Task(inputs={"limit": 8}, budget=Budget(max_iterations=4)))
        rule = Counts()

        await counting(rule | WhenImproved("other"), backend=backend).run(resume=True)

        assert "recall 4" in rule.log

    async def test_of_two_with_one_name_each_gets_its_own(self) -> None:
        backend = InMemoryCheckpointBackend()
        with pytest.raises(TimeoutError):
            await counting(Counts() & EveryIterations(9) | EveryIterations(1) & Counts(), backend=backend).run(
                Task(inputs={"limit": 8}, budget=Budget(max_iterations=4))
            )
        checkpoint = await CheckpointManager(backend).load_latest("counting")
        assert checkpoint is not None
        (one, other) = checkpoint.execution_metadata["triggers"]
        one["memory"], other["memory"] = {"asked": 1}, {"asked": 2}
        first, second = Counts(), Counts()

        await counting(first & EveryIterations(9) | second, backend=InMemoryCheckpointBackend()).run(resume=checkpoint)

        assert (first.log[1], second.log[1]) == ("recall 1", "recall 2")

    async def test_what_is_stored_is_not_trusted(self) -> None:
        backend = InMemoryCheckpointBackend()
        first = counting(Counts(), backend=backend)
        await first.run({"limit": 4})
        (at_three, _) = await history(first)
        for nonsense in ("text", {"rule": "x"}, [5, None, {"memory": 1}], [{"rule": ["x"]}]):
            checkpoint = at_three.isolated()
            checkpoint.execution_metadata["triggers"] = nonsense
            rule = Counts()
            graph = counting(rule, backend=InMemoryCheckpointBackend())

            if isinstance(nonsense, list):
                await graph.run(resume=checkpoint)
                assert "start" in rule.log
            else:
                with pytest.raises(GraphRestoreError, match="triggers"):
                    await graph.run(resume=checkpoint)

    async def test_a_rule_that_can_not_take_it_up_ends_the_run_before_it_begins(self) -> None:
        backend = InMemoryCheckpointBackend()
        first = counting(Counts(), backend=backend)
        await first.run({"limit": 4})
        (at_three, _) = await history(first)
        at_three.execution_metadata["triggers"][0]["memory"] = "old"
        rule = Counts()
        graph = counting(rule, backend=InMemoryCheckpointBackend())

        with pytest.raises(RuleError, match=r"Counts raised TypeError.* restore what it remembered"):
            await graph.run(resume=at_three)

        assert rule.log == ["start", "stop"]
        assert await history(graph) == []


class TestBrokenRules:
    async def test_one_that_can_not_start_ends_the_run_before_it_begins(self) -> None:
        class Broken(Counts):
            def start(self) -> Trigger:
                raise Failure("no sensor")

        beside = Counts()
        graph = counting(beside | Broken())

        with pytest.raises(RuleError, match=r"raised Failure: no sensor.* had to start"):
            await graph.run({"limit": 3})

        assert await history(graph) == []
        assert beside.log == ["start", "stop"]

    async def test_one_that_starts_nothing_is_refused(self) -> None:
        class Empty(Counts):
            def start(self) -> Trigger:
                return None  # type: ignore[return-value]

        with pytest.raises(RuleError, match=r"returned None, which is not a Trigger"):
            await counting(Empty()).run({"limit": 3})

    @pytest.mark.parametrize("method", ["saved", "memory"])
    async def test_one_that_raises_when_a_checkpoint_is_made_has_it_made_all_the_same(self, method: str) -> None:
        class Broken(Counts):
            def saved(self, boundary: Boundary) -> None:
                if method == "saved" and boundary.iteration == 6:
                    raise Failure("lost count")

            def memory(self) -> Any:
                if method == "memory" and self.asked == 6:
                    raise Failure("lost count")
                return super().memory()

        rule = Broken()
        graph = counting(rule)

        with pytest.raises(RuleError, match="raised Failure: lost count"):
            await graph.run({"limit": 9})

        assert [told(each)[0] for each in await history(graph)] == [3, 6]
        assert rule.log[-1] == "stop"

    async def test_what_broke_first_is_said(self) -> None:
        class Broken(Counts):
            def saved(self, boundary: Boundary) -> None:
                raise Failure("lost count")

            def memory(self) -> Any:
                raise Failure("because of that")

        with pytest.raises(RuleError, match="raised Failure: lost count"):
            await counting(Broken()).run({"limit": 9})

    async def test_one_that_remembers_what_can_not_be_stored_is_named(self) -> None:
        class Holds(Counts):
            def memory(self) -> Any:
                return object()

        graph = counting(Holds())

        with pytest.raises(RuleError, match=r"Holds raised SerializationError: the memory of the triggers"):
            await graph.run({"limit": 3})

    async def test_one_that_broke_at_the_end_leaves_the_last_checkpoint(self) -> None:
        class Broken(Counts):
            def saved(self, boundary: Boundary) -> None:
                raise Failure("lost count")

        graph = counting(Broken())

        with pytest.raises(RuleError, match="lost count"):
            await graph.run({"limit": 2})

        assert [told(each)[0] for each in await history(graph)] == [2]

    @pytest.mark.parametrize("also", [EveryIterations(2), AfterNode("Countdown")], ids=["later", "at once"])
    async def test_nothing_of_it_waits_for_the_garbage_collector(self, also: Trigger) -> None:
        class LostCountError(Exception):
            pass

        class Broken(Counts):
            def saved(self, boundary: Boundary) -> None:
                raise LostCountError

        class Full(InMemoryCheckpointBackend):
            async def put(self, record: Record) -> None:
                raise BackendError("the disk is full")

        for backend in (InMemoryCheckpointBackend(), Full()):
            gc.collect()
            gc.disable()
            try:
                with pytest.raises((RuleError, BackendError)):
                    await counting(Broken() | also, backend=backend).run({"limit": 9})
                assert not [each for each in gc.get_objects() if isinstance(each, LostCountError)]
            finally:
                gc.enable()
