"""When a checkpoint is due: rules as pure functions of the boundary, and as a run asks them."""

from __future__ import annotations

from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    AfterNode,
    Boundary,
    CheckpointConfig,
    EveryIterations,
    EverySeconds,
    InMemoryCheckpointBackend,
    Trigger,
    WithinOverhead,
)
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import FakeClock
from tests.support.running import Countdown, Does, countdown, every_step, history


def boundary(iteration: int = 1, *names: str, elapsed: float = 0.0, checkpointed: float = 0.0) -> Boundary:
    return Boundary(iteration, names[0] if names else "node", frozenset(names), elapsed, checkpointed)


async def iterations(graph: Graph) -> list[int]:
    return [checkpoint.execution_metadata["iteration"] for checkpoint in await history(graph)]


class TestRules:
    def test_every_iterations(self) -> None:
        assert [n for n in range(1, 11) if EveryIterations(3).is_due(boundary(n))] == [3, 6, 9]

    @pytest.mark.parametrize(
        ("elapsed", "checkpointed", "is_due"),
        [(29, 0, False), (30, 0, True), (31, 30, False), (95, 31, True), (119, 95, False), (120, 95, True)],
    )
    def test_every_seconds_is_due_once_per_multiple_that_was_passed(
        self, elapsed: float, checkpointed: float, is_due: bool
    ) -> None:
        assert EverySeconds(30).is_due(boundary(elapsed=elapsed, checkpointed=checkpointed)) is is_due

    def test_after_node_matches_any_of_its_names(self) -> None:
        rule = AfterNode("train", "Train")

        assert rule.is_due(boundary(1, "Train", "other"))
        assert not rule.is_due(boundary(1, "other"))
        assert rule.nodes() == {"train", "Train"}

    def test_any_and_all(self) -> None:
        rule = EveryIterations(2) & AfterNode("a") | EverySeconds(10)

        assert rule.is_due(boundary(2, "a"))
        assert not rule.is_due(boundary(3, "a"))
        assert not rule.is_due(boundary(2, "b"))
        assert rule.is_due(boundary(3, "b", elapsed=10))
        assert rule.nodes() == {"a"}
        assert repr(rule) == "EveryIterations(2) & AfterNode('a') | EverySeconds(10)"
        assert repr(AfterNode("a") & (EveryIterations(2) | EverySeconds(10))) == (
            "AfterNode('a') & (EveryIterations(2) | EverySeconds(10))"
        )

    def test_what_is_no_trigger_can_not_be_combined(self) -> None:
        with pytest.raises(GraphDefinitionError, match="5 is not a trigger"):
            EveryIterations(2) | 5  # type: ignore[operator]


class TestRuns:
    async def test_iterations(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig(trigger_on_iteration=5))
        await graph.run({"limit": 12})

        assert await iterations(graph) == [5, 10, 12]

    async def test_without_a_trigger_there_is_the_final_one(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig())
        await graph.run({"limit": 3})

        (checkpoint,) = await history(graph)
        assert checkpoint.execution_metadata["reason"] == "completed"

    async def test_a_trigger_due_at_the_end_makes_one_checkpoint(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig(trigger_on_iteration=3))
        await graph.run({"limit": 3})

        assert await iterations(graph) == [3]

    async def test_several_triggers_due_at_one_boundary_make_one_checkpoint(self) -> None:
        config = CheckpointConfig(trigger_on_iteration=2, trigger_on_node="Countdown", trigger=EveryIterations(1))
        graph = Graph(countdown(), checkpoint_config=config)
        await graph.run({"limit": 3})

        assert await iterations(graph) == [1, 2, 3]

    @pytest.mark.parametrize("name", ["key", "Does"])
    async def test_a_node_is_known_by_key_and_class_name(self, name: str) -> None:
        start = countdown()
        start.on(done=True) >> Does(lambda context: {}, name="key") >> Does(lambda context: {}, name="last")
        graph = Graph(start, checkpoint_config=CheckpointConfig(trigger_on_node=[name]))
        await graph.run({"limit": 2})

        assert await iterations(graph) == [3, 4]

    async def test_seconds_with_a_node_that_takes_longer_than_several_multiples(self) -> None:
        clock = FakeClock(100.0)
        ends = [110.0, 130.0, 135.0, 228.0, 249.0, 250.0]

        async def work(context: NodeContext) -> Any:
            clock.advance(ends[context.iteration] - clock.seconds)
            return {"more": context.iteration < len(ends) - 1}

        loop = Does(work, name="loop")
        loop.on(more=True) >> loop
        graph = Graph(loop, checkpoint_config=CheckpointConfig(trigger_on_seconds=30.0), clock=clock)
        await graph.run()

        # Due at 130, caught up once at 228 for 160, 190 and 220, and next due at 250, which is the end.
        assert await iterations(graph) == [2, 4, 6]

    async def test_the_clock_starts_with_each_run(self) -> None:
        clock = FakeClock()

        async def work(context: NodeContext) -> Any:
            clock.advance(20)
            return {"more": context.iteration % 2 == 0}

        loop = Does(work, name="loop")
        loop.on(more=True) >> loop
        graph = Graph(loop, checkpoint_config=CheckpointConfig(trigger_on_seconds=30.0), clock=clock)
        await graph.run()
        await graph.run()

        assert await iterations(graph) == [2, 2]

    async def test_a_rule_of_ones_own_is_asked_at_every_boundary_but_the_last(self) -> None:
        seen: list[Boundary] = []

        class Own(Trigger):
            def is_due(self, boundary: Boundary) -> bool:
                seen.append(boundary)
                return False

        graph = Graph(countdown(), checkpoint_config=CheckpointConfig(trigger=Own()), clock=FakeClock())
        await graph.run({"limit": 3})

        assert seen == [Boundary(n, "Countdown", ("Countdown",), 0.0, 0.0) for n in (1, 2)]

    async def test_disabled_means_no_checkpoint_at_all(self) -> None:
        backend = InMemoryCheckpointBackend()
        graph = Graph(countdown(), checkpoint_config=every_step(backend, enabled=False))
        await graph.run({"limit": 3})

        assert graph.checkpoint_backend is None
        assert (await backend.list()).infos == []


class Slow(InMemoryCheckpointBackend):
    """Outlives the process, as far as graphs know, and takes a second for each save."""

    persistent = True

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    async def put(self, record: Record) -> None:
        self._clock.advance(1.0)
        await super().put(record)


class TestWithinOverhead:
    @pytest.mark.parametrize(
        ("saving", "last", "elapsed", "is_due"),
        [
            (0.0, None, 0.0, True),  # the first
            (1.0, 1.0, 39.9, False),
            (1.0, 1.0, 40.0, True),
            (2.0, 0.5, 49.9, False),
            (2.0, 0.5, 50.0, True),
            (0.0, 0.0, 0.0, True),  # what costs nothing may be done always
        ],
    )
    def test_it_is_due_when_that_and_the_next_save_stay_within_the_share(
        self, saving: float, last: float | None, elapsed: float, is_due: bool
    ) -> None:
        here = Boundary(7, "node", frozenset({"node"}), elapsed, 0.0, saving, last)

        assert WithinOverhead(0.05).is_due(here) is is_due

    @pytest.mark.parametrize("wrong", [0, -0.1, 1.1, True, "much", float("nan"), None])
    def test_a_share_is_more_than_0_and_at_most_1(self, wrong: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="give a share"):
            WithinOverhead(wrong)
        if wrong != 0:
            with pytest.raises(GraphDefinitionError, match="max_overhead="):
                CheckpointConfig(max_overhead=wrong)

    @pytest.mark.parametrize(
        ("step", "settings", "expected"),
        [
            (1.0, {}, [1, 39, 58, 60]),  # 40 s after the start, two saves may have taken 2 s
            (1.0, {"max_overhead": 0.5}, [1, *range(3, 61)]),
            (100.0, {}, [*range(1, 61)]),
            (1.0, {"max_overhead": 0}, [60]),
            (1.0, {"trigger": EveryIterations(25)}, [25, 50, 60]),
            (1.0, {"trigger": WithinOverhead(0.05) & EveryIterations(2)}, [2, 40, 58, 60]),
        ],
    )
    async def test_without_a_trigger_a_run_spends_no_more_than_the_share_on_checkpoints(
        self, step: float, settings: dict[str, Any], expected: list[int]
    ) -> None:
        clock = FakeClock()

        class Works(Countdown):
            async def process(self, context: NodeContext) -> Any:
                clock.advance(step)
                return await super().process(context)

        loop = Works()
        loop.on(done=False) >> loop
        config = CheckpointConfig(backend=Slow(clock), auto_cleanup=False, **settings)
        graph = Graph(loop, id="g", checkpoint_config=config, clock=clock)
        await graph.run({"limit": 60})

        assert [checkpoint.execution_metadata["iteration"] for checkpoint in await history(graph)] == expected

    async def test_with_async_only_what_holds_the_run_up_counts(self) -> None:
        """Saving goes on beside the run, so that a slow store makes it wait only when it is behind."""
        clock = FakeClock()
        config = CheckpointConfig(backend=Slow(FakeClock()), durability="async", auto_cleanup=False)
        graph = Graph(countdown(), id="g", checkpoint_config=config, clock=clock)
        await graph.run({"limit": 9})

        assert len(await history(graph)) == 9
