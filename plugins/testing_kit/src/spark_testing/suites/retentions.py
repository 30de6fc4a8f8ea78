"""The suite that a retention rule proves itself by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, ClassVar

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointInfo,
    CheckpointManager,
    InMemoryCheckpointBackend,
    KeepAll,
    KeepLast,
    Retention,
)
from spark_testing.clock import FakeClock
from spark_testing.records import make_record
from spark_testing.suites.conformance import Conformance, is_of_the_kit
from spark_testing.suites.rules import NOON, check_options, check_repr, make_line
from spark_testing.suites.walk import walk

_STEPS = 12


class RetentionConformance(Conformance):
    """What every retention rule must do. Subclass it as ``Test…`` with the fixture ``retention``; say what it keeps."""

    history: ClassVar[Sequence[CheckpointInfo]]
    """A history of which the rule gives something up; see ``make_line``, which also says when it is looked at."""
    kept: ClassVar[Sequence[int]]
    """The sequences of those that the rule keeps, rising."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not is_of_the_kit(cls) and not (getattr(cls, "history", ()) and hasattr(cls, "kept")):
            raise TypeError(f"{cls.__qualname__} needs a history, and in kept the sequences that the rule keeps of it.")

    @pytest.fixture
    def retention(self) -> Retention:
        """A new rule."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'retention'.")

    def test_keeps_what_it_is_said_to_and_nothing_else(self, retention: Retention) -> None:
        assert _selected(retention, self.history) == [*self.kept], (
            "select() must give the lines of the suite's `history` that are in `kept`, and no others."
        )

    def test_selects_some_of_what_it_is_given_in_order(self, retention: Retention) -> None:
        for history in self._histories():
            selected = retention.select(history, now=NOON)
            known = {line.sequence: line for line in history}
            sequences = [line.sequence for line in selected]
            assert sequences == sorted({*sequences}), "select() must keep the order of the history, each line once."
            assert all(known.get(line.sequence) == line for line in selected), (
                "select() must give lines of the history, and no others."
            )

    def test_looks_and_changes_nothing(self, retention: Retention) -> None:
        for history in self._histories():
            given = [*history]
            before = deepcopy([(line, line.metadata) for line in given])
            first, second = _selected(retention, given), _selected(retention, given)
            assert [(line, line.metadata) for line in given] == before, (
                "select() changed what it was given: other rules, and the run, go by the same list."
            )
            assert first == second, (
                "Asked again about the same history, the rule answers otherwise: it must depend on it alone."
            )

    def test_judges_one_by_one_as_it_judges_all(self, retention: Retention) -> None:
        """Where the rule has ``keeps``, it must say the same as ``select``: a run may ask either."""
        for history in self._histories():
            try:
                kept = [
                    line.sequence
                    for place, line in enumerate(history)
                    if retention.keeps(line, age=len(history) - 1 - place, now=NOON)
                ]
            except NotImplementedError:
                assert not retention.keeps_younger, "A rule with keeps_younger needs keeps(), by which it is asked."
                return
            assert kept == _selected(retention, history), "keeps() and select() must keep the same checkpoints."

    def test_keeps_all_younger_ones_if_it_says_so(self, retention: Retention) -> None:
        """With ``keeps_younger``, nothing is checked beyond the first that is kept."""
        if retention.keeps_younger:
            for history in self._histories(is_rising=True):
                kept = _selected(retention, history)
                young = [line.sequence for line in history if kept and line.sequence >= kept[0]]
                assert kept == young, "keeps_younger is True, but a later checkpoint is given up than one that is kept."

    def test_goes_by_metadata_only_if_it_says_so(self, retention: Retention) -> None:
        if not retention.reads_metadata:
            for history in self._histories():
                bare = [replace(line, metadata={}) for line in history]
                assert _selected(retention, bare) == _selected(retention, history), (
                    "The rule reads metadata, which listings have only if reads_metadata is True."
                )

    def test_names_its_metrics(self, retention: Retention) -> None:
        assert isinstance(retention.metrics(), frozenset), "metrics() must return a frozenset."
        assert retention.reads_metadata or not retention.metrics(), (
            "A rule with metrics() goes by metadata: reads_metadata must be True."
        )
        CheckpointConfig(metrics=sorted(retention.metrics()))

    def test_combines_with_others(self, retention: Retention) -> None:
        """``|`` keeps what either keeps, ``&`` what both keep: so one gives up no more than its parts, the other no less."""
        for history in self._histories():
            own, last = {*_selected(retention, history)}, {*_selected(KeepLast(3), history)}
            assert {*_selected(retention | KeepLast(3), history)} == own | last, (
                "`|` must keep what any of its rules keeps."
            )
            assert {*_selected(retention & KeepLast(3), history)} == own & last, (
                "`&` must keep what all of its rules keep."
            )
            assert {*_selected(retention & KeepAll(), history)} == own, (
                "`rule & KeepAll()` must keep what the rule keeps."
            )

    def test_its_options_make_an_equal_one(self, retention: Retention) -> None:
        """Checkpoints record a rule by its name and options, and a restored graph makes it again."""
        check_options(retention)

    def test_has_a_repr_for_messages(self, retention: Retention) -> None:
        check_repr(retention)

    @pytest.mark.asyncio
    async def test_pruning_leaves_what_it_keeps_and_the_latest(self, retention: Retention) -> None:
        """Without the latest there would be nothing to continue from."""
        clock = FakeClock(now=NOON)
        for history in self._histories():
            backend = InMemoryCheckpointBackend()
            for line in history:
                record = make_record("g", line.sequence, timestamp=line.timestamp, metadata=dict(line.metadata))
                await backend.put(record)
            expected = sorted({*_selected(retention, history), *(line.sequence for line in history[-1:])})

            await CheckpointManager(backend, clock=clock).prune(retention, graph_id="g")

            assert [line.sequence for line in (await backend.list("g")).infos] == expected, (
                "prune() must leave what select() gives, and the latest."
            )

    @pytest.mark.asyncio
    async def test_a_run_deletes_as_it_says(self, retention: Retention) -> None:
        """After each checkpoint the rule decides about all that are left."""
        metrics = sorted({*retention.metrics(), "step"})
        states = [dict.fromkeys(metrics, (step * 7) % _STEPS) for step in range(_STEPS)]
        backend, clock = InMemoryCheckpointBackend(), FakeClock(now=NOON)
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1, retention=retention)

        await Graph(start=walk(states), id="run", checkpoint_config=config, clock=clock).run()

        left: list[CheckpointInfo] = []
        for step, state in enumerate(states, 1):
            left.append(make_line(step, metadata=state))
            kept = {line.sequence for line in retention.select(left, now=NOON)} | {step}
            left = [line for line in left if line.sequence in kept]
        assert [line.sequence for line in (await backend.list("run")).infos] == [line.sequence for line in left], (
            "A run must leave what select() gives each time that a checkpoint is made, and the latest."
        )

    def _histories(self, *, is_rising: bool = False) -> Iterator[list[CheckpointInfo]]:
        """The suite's own, and others: none, one, long ones with gaps, with clocks that stood wrong, with and without metrics."""
        metrics = sorted({"loss", *(name for line in self.history for name in line.metadata)})
        if not is_rising:
            yield [*self.history]
        yield []
        yield [make_line(7)]
        random = Random(1)
        for count in (2, 3, 10, 40):
            for _ in range(5):
                yield _random_history(random, count, metrics=metrics, is_rising=is_rising)


def _random_history(random: Random, count: int, *, metrics: Sequence[str], is_rising: bool) -> list[CheckpointInfo]:
    sequences = sorted(random.sample(range(1, 3 * count), count))
    ages = [timedelta(hours=random.choice((random.random(), random.randrange(1000)))) for _ in sequences]
    if is_rising:
        ages.sort(reverse=True)
    return [
        replace(make_line(sequence, metadata=_random_metadata(random, metrics)), timestamp=NOON - age)
        for sequence, age in zip(sequences, ages, strict=True)
    ]


def _random_metadata(random: Random, metrics: Sequence[str]) -> dict[str, Any]:
    values = (0, 1, 0.5, -3.25, None, "text", True)
    return {name: random.choice(values) for name in metrics if random.random() < 0.8}


def _selected(retention: Retention, history: Sequence[CheckpointInfo]) -> list[int]:
    return [line.sequence for line in retention.select(history, now=NOON)]
