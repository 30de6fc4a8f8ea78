"""Which checkpoints stay: rules as pure functions, and as a run applies them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, RuleError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointInfo,
    CheckpointManager,
    InMemoryCheckpointBackend,
    KeepAll,
    KeepFor,
    KeepLast,
    Retention,
)
from spark.graphs.checkpoint.policies.retention import oldest_surplus, surplus
from spark_testing.records import make_record
from tests.support.running import Does, countdown, every_step, history

NOW = datetime(2030, 1, 10, tzinfo=UTC)


def line(sequence: int, *, days_old: float = 0) -> CheckpointInfo:
    return CheckpointInfo(
        checkpoint_id=f"c{sequence}",
        graph_id="g",
        sequence=sequence,
        timestamp=NOW - timedelta(days=days_old),
        size=1,
    )


def deleted(retention: Retention, *checkpoints: CheckpointInfo) -> list[int]:
    return [info.sequence for info in surplus(checkpoints, retention=retention, now=NOW)]


class Asked(KeepLast):
    """Notes which checkpoints it is asked about."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.sequences: list[int] = []

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        self.sequences.append(checkpoint.sequence)
        return super().keeps(checkpoint, age=age, now=now)


@pytest.mark.parametrize(
    "retention",
    [
        KeepLast(1),
        KeepLast(4),
        KeepLast(99),
        KeepFor(days=3.5),
        KeepAll(),
        KeepLast(2) | KeepFor(days=4),
        KeepLast(5) & KeepFor(days=2),
    ],
)
def test_a_rule_that_keeps_what_is_younger_gives_up_the_same_whichever_way_it_is_asked(retention: Retention) -> None:
    """Each save of a run asks only about the oldest ones, instead of all."""
    lines = [line(sequence, days_old=10 - sequence) for sequence in range(1, 11)]

    for count in range(1, 11):
        *earlier, newest = lines[:count]
        given_up = oldest_surplus(earlier, retention=retention, now=newest.timestamp)
        assert given_up == surplus(lines[:count], retention=retention, now=newest.timestamp)


def test_nothing_beyond_the_first_that_is_kept_is_looked_at() -> None:
    """A history of thousands would otherwise be walked at each save."""
    retention = Asked(5)

    given_up = oldest_surplus([line(sequence) for sequence in range(1, 9)], retention=retention, now=NOW)

    assert [info.sequence for info in given_up] == [1, 2, 3, 4]
    assert retention.sequences == [1, 2, 3, 4, 5]


def test_of_a_rule_that_raises_nothing_is_given_up() -> None:
    class Broken(KeepLast):
        def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
            raise ZeroDivisionError("of the rule")

    with pytest.raises(RuleError, match=r"ZeroDivisionError.*graph 'g', which are all kept"):
        oldest_surplus([line(1), line(2)], retention=Broken(1), now=NOW)


class TestRules:
    def test_keep_last(self) -> None:
        assert deleted(KeepLast(2), *map(line, range(1, 6))) == [1, 2, 3]
        assert deleted(KeepLast(9), *map(line, range(1, 6))) == []

    def test_keep_for_is_strict(self) -> None:
        assert deleted(KeepFor(days=7), line(1, days_old=8), line(2, days_old=7), line(3, days_old=6.9), line(4)) == [
            1,
            2,
        ]

    def test_either_and_both(self) -> None:
        history = [line(n, days_old=10 - n) for n in range(1, 11)]

        assert deleted(KeepLast(2) | KeepFor(days=4), *history) == [1, 2, 3, 4, 5, 6]
        assert deleted(KeepLast(2) & KeepFor(days=4), *history) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert repr(KeepLast(2) | KeepFor(days=1) & KeepAll()) == "(KeepLast(2) | (KeepFor(seconds=86400) & KeepAll()))"

    def test_the_latest_always_stays(self) -> None:
        """Without it there would be nothing to continue from, and no trace that somebody else writes this history."""
        assert deleted(KeepFor(days=1), line(1, days_old=9), line(2, days_old=8)) == [1]

    def test_age_is_by_sequence_and_not_by_clock(self) -> None:
        assert deleted(KeepLast(1), line(1, days_old=0), line(2, days_old=5)) == [1]

    @pytest.mark.parametrize("rule", [KeepFor(days=7), KeepLast(1) | KeepFor(days=7), KeepFor(days=7) & KeepAll()])
    def test_a_checkpoint_stamped_by_a_clock_that_stood_wrong_does_not_keep_those_after_it(
        self, rule: Retention
    ) -> None:
        history = [line(1, days_old=9), line(2, days_old=-999), line(3, days_old=8), line(4, days_old=1), line(5)]

        assert deleted(rule, *history) == [1, 3]

    @pytest.mark.parametrize("wrong", [{}, {"days": -1}, {"hours": 0}])
    def test_a_span_is_positive(self, wrong: dict[str, float]) -> None:
        with pytest.raises(GraphDefinitionError, match="positive span of time"):
            KeepFor(**wrong)

    def test_what_is_no_rule_can_not_be_combined(self) -> None:
        with pytest.raises(GraphDefinitionError, match="5 is not a retention rule"):
            KeepLast(2) & 5  # type: ignore[operator]


async def sequences(graph: Graph) -> list[int | None]:
    return [checkpoint.sequence for checkpoint in await history(graph)]


class TestRuns:
    async def test_the_oldest_go_when_there_are_too_many(self) -> None:
        graph = Graph(
            countdown(), checkpoint_config=every_step(InMemoryCheckpointBackend(), auto_cleanup=True, max_checkpoints=3)
        )
        await graph.run({"limit": 8})

        assert await sequences(graph) == [6, 7, 8]

    async def test_ten_are_kept_by_default(self) -> None:
        graph = Graph(countdown(), checkpoint_config=CheckpointConfig(trigger_on_iteration=1))
        await graph.run({"limit": 15})

        assert len(await history(graph)) == 10

    async def test_nothing_is_deleted_without_auto_cleanup(self) -> None:
        config = every_step(InMemoryCheckpointBackend(), auto_cleanup=False, max_checkpoints=1)
        graph = Graph(countdown(), checkpoint_config=config)
        await graph.run({"limit": 5})

        assert len(await history(graph)) == 5

    async def test_it_counts_the_checkpoints_of_earlier_runs_too(self) -> None:
        config = every_step(InMemoryCheckpointBackend(), auto_cleanup=True, max_checkpoints=3)
        graph = Graph(countdown(), checkpoint_config=config)
        await graph.run({"limit": 3})
        await graph.run({"limit": 4})

        assert await sequences(graph) == [2, 3, 4]

    async def test_a_clock_that_stood_wrong_once_stops_neither_cleaning_up_nor_pruning(self) -> None:
        backend = InMemoryCheckpointBackend()
        for sequence, year in enumerate([2999, 2001, 2002], start=1):
            await backend.put(make_record("g", sequence, timestamp=datetime(year, 1, 1, tzinfo=UTC)))
        pruned = await CheckpointManager(backend).prune(KeepFor(days=1), dry_run=True)
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, retention=KeepFor(days=1))
        await Graph(countdown(), id="g", checkpoint_config=config).run({"limit": 2})

        assert [info.sequence for info in pruned] == [2]
        assert [info.sequence for info in (await backend.list("g")).infos] == [1, 4, 5]

    async def test_it_is_per_graph(self) -> None:
        backend = InMemoryCheckpointBackend()
        for graph_id in "ab":
            config = every_step(backend, auto_cleanup=True, max_checkpoints=2)
            await Graph(countdown(), id=graph_id, checkpoint_config=config).run({"limit": 4})

        assert [info.checkpoint_id for info in (await backend.list()).infos] == [
            "ckpt_a_000003",
            "ckpt_a_000004",
            "ckpt_b_000003",
            "ckpt_b_000004",
        ]

    async def test_those_made_by_hand_are_exempt_and_do_not_count(self) -> None:
        backend = InMemoryCheckpointBackend()

        async def work(context: NodeContext) -> Any:
            if context.iteration in (1, 4):
                await graph.create_checkpoint(f"by hand {context.iteration}").save(backend)
            return {"more": context.iteration < 5}

        loop = Does(work, name="loop")
        loop.on(more=True) >> loop
        config = every_step(backend, auto_cleanup=True, max_checkpoints=2)
        graph = Graph(loop, id="g", checkpoint_config=config)
        await graph.run()

        assert [info.checkpoint_id for info in (await backend.list()).infos] == [
            "by hand 1",
            "by hand 4",
            "ckpt_g_000007",
            "ckpt_g_000008",
        ]

    async def test_a_rule_of_ones_own_replaces_the_number(self) -> None:
        class KeepEven(Retention):
            def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
                return checkpoint.sequence % 2 == 0

        config = CheckpointConfig(trigger_on_iteration=1, retention=KeepEven() | KeepLast(1))
        graph = Graph(countdown(), checkpoint_config=config)
        await graph.run({"limit": 7})

        assert await sequences(graph) == [2, 4, 6, 7]
