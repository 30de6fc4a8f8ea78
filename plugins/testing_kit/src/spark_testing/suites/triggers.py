"""The suite that a trigger proves itself by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import pytest

from spark.graphs import Graph, Node
from spark.graphs.checkpoint import (
    Boundary,
    CheckpointConfig,
    CheckpointManager,
    EveryIterations,
    InMemoryCheckpointBackend,
    Trigger,
)
from spark_testing.suites.conformance import Conformance, is_of_the_kit
from spark_testing.suites.rules import check_options, check_repr, make_boundary
from spark_testing.suites.walk import BreaksOffError, Step, walk
from spark_testing.suites.watched_trigger import Log, Watched


class TriggerConformance(Conformance):
    """What every trigger must do. Subclass it as ``Test…`` with the fixture ``trigger``; say where it is due and where not.

    A trigger whose ``start`` returns itself is plain: its answers depend on the boundary alone. One that returns another object
    remembers something, and says in ``course`` how it answers along a run.
    """

    due: ClassVar[Sequence[Boundary]]
    """Boundaries where it is due, at least one; see ``make_boundary``. One that remembers is asked right after its start."""
    not_due: ClassVar[Sequence[Boundary]]
    """Boundaries where it is not."""
    course: ClassVar[Sequence[tuple[Boundary, bool]]] = ()
    """For one that remembers: boundaries of a run, in order, and whether it is due there. A checkpoint is made where it is."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not is_of_the_kit(cls) and not (getattr(cls, "due", ()) and getattr(cls, "not_due", ())):
            raise TypeError(
                f"{cls.__qualname__} needs due and not_due: at least one boundary each, where the trigger is due or not."
            )

    @pytest.fixture
    def trigger(self) -> Trigger:
        """A new trigger."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'trigger'.")

    def test_is_due_where_it_is_said_to_be_and_nowhere_else(self, trigger: Trigger) -> None:
        assert [_first_answer(trigger, boundary) for boundary in self.due] == [True] * len(self.due), (
            "is_due() must be True at each boundary of the suite's `due`."
        )
        assert [_first_answer(trigger, boundary) for boundary in self.not_due] == [False] * len(self.not_due), (
            "is_due() must be False at each boundary of the suite's `not_due`."
        )

    def test_starts_itself_or_a_rule_for_each_run(self, trigger: Trigger) -> None:
        first, second = trigger.start(), trigger.start()
        try:
            assert isinstance(first, Trigger), f"start() must return a Trigger, not {first!r}."
            if first is trigger:
                assert second is trigger, "start() must return the trigger itself each time, or never."
                assert first.memory() is None, (
                    "A trigger that all runs share can't remember anything: memory() is None."
                )
            else:
                assert second not in (first, trigger), "start() must return another object for each run."
                assert self.course, "The trigger remembers something: the suite needs a `course`, to see what."
        finally:
            first.stop()
            second.stop()

    def test_remembers_nothing(self, trigger: Trigger) -> None:
        """One object serves any number of runs at once, so an answer depends on the boundary alone, or on the run."""
        boundaries = [*self.due, *self.not_due]
        expected = [_first_answer(trigger, boundary) for boundary in boundaries]
        random = Random(1)
        for _ in range(20):
            order = random.sample(range(len(boundaries)), len(boundaries))
            answers = [_first_answer(trigger, boundaries[number]) for number in order]
            assert answers == [expected[number] for number in order], (
                "Asked again in another order, the trigger answers otherwise: it must depend on the boundary alone, or on what "
                "the rule that start() returned has seen."
            )

    def test_answers_along_a_run_as_it_is_said_to(self, trigger: Trigger) -> None:
        with Started(trigger) as run:
            assert run.answers(self.course) == [expected for _, expected in self.course], (
                "Along the suite's `course`, is_due() must be True where it says so, and nowhere else."
            )

    def test_asking_twice_changes_nothing(self, trigger: Trigger) -> None:
        """What makes a difference is that a checkpoint is made, by whichever rule."""
        with Started(trigger) as run:
            for boundary, expected in self.course:
                answers = [run.rule.is_due(replace(boundary)) for _ in range(3)]
                assert answers == [expected] * 3, (
                    "is_due() must answer the same until saved() is called, or the run continues."
                )
                if expected:
                    run.rule.saved(replace(boundary))

    def test_runs_share_nothing(self, trigger: Trigger) -> None:
        with Started(trigger) as one, Started(trigger) as other:
            answers = [(one.answers([step]), other.answers([step])) for step in self.course]
            assert answers == [([expected], [expected]) for _, expected in self.course], (
                "Two runs at once must not disturb each other: what start() returns must keep all that it remembers to itself."
            )

    def test_what_it_remembers_survives_a_kill(self, trigger: Trigger) -> None:
        """At each boundary where a checkpoint is made, the run is killed and resumed from it, as JSON stores it."""
        for killed_after in [place for place, (_, is_due) in enumerate(self.course, 1) if is_due]:
            with Started(trigger) as run:
                run.answers(self.course[:killed_after])
                memory = run.rule.memory()
            stored = json.loads(json.dumps(memory))
            assert stored == memory, "memory() must return plain data, which JSON gives back as it is."
            with Started(trigger) as resumed:
                if stored is not None:
                    resumed.rule.recall(stored)
                left = self.course[killed_after:]
                assert resumed.answers(left) == [expected for _, expected in left], (
                    f"Killed after boundary {killed_after} of the `course` and resumed, the trigger answers otherwise: what "
                    "memory() returns must be enough for recall() to continue from."
                )

    def test_looks_and_changes_nothing(self, trigger: Trigger) -> None:
        for boundary in (*self.due, *self.not_due):
            given = deepcopy(boundary)
            with Started(trigger) as run:
                run.rule.is_due(given)
            assert given == boundary, "is_due() changed the boundary that it was given: others are asked with it, too."

    def test_answers_at_any_boundary(self, trigger: Trigger) -> None:
        for iteration in (0, 1, 2, 10**9):
            for seconds in (0.0, 1e-9, 3600.0, 1e12):
                boundary = make_boundary(iteration, "日本語", elapsed=seconds, checkpointed=seconds / 2)
                answer = _first_answer(trigger, boundary)
                assert type(answer) is bool, "is_due() must return True or False at any boundary, and nothing else."

    def test_names_the_nodes_that_it_speaks_of(self, trigger: Trigger) -> None:
        """A graph that lacks one of them is refused, so a misspelt name shows."""
        assert isinstance(trigger.nodes(), frozenset), "nodes() must return a frozenset."
        assert all(isinstance(name, str) and name for name in trigger.nodes()), (
            "nodes() must hold names of nodes: texts that are not empty."
        )
        assert trigger.nodes() == trigger.nodes(), "nodes() must return the same each time."

    def test_names_its_metrics(self, trigger: Trigger) -> None:
        """Checkpoints record them, and a configuration that names others is refused."""
        assert isinstance(trigger.metrics(), frozenset), "metrics() must return a frozenset."
        CheckpointConfig(metrics=sorted(trigger.metrics()))

    def test_combines_with_others(self, trigger: Trigger) -> None:
        always, never = EveryIterations(1), EveryIterations(10**9)
        for boundary in (*self.due, *self.not_due):
            here = replace(boundary, iteration=boundary.iteration or 1)
            is_due = _first_answer(trigger, here)
            assert _first_answer(trigger | never, here) is is_due, (
                "`trigger | never` must be due exactly where the trigger is."
            )
            assert _first_answer(trigger & always, here) is is_due, (
                "`trigger & always` must be due exactly where the trigger is."
            )
            assert _first_answer(trigger | always, here) is True, "`trigger | always` must be due everywhere."
            assert _first_answer(never & trigger, here) is False, "`never & trigger` must be due nowhere."
        assert (trigger | always).nodes() == trigger.nodes(), (
            "A combined trigger must name the nodes that its parts name."
        )

    def test_its_options_make_an_equal_one(self, trigger: Trigger) -> None:
        """Checkpoints record a trigger by its name and options, and a restored graph makes it again."""
        check_options(trigger)

    def test_has_a_repr_for_messages(self, trigger: Trigger) -> None:
        check_repr(trigger)

    @pytest.mark.asyncio
    async def test_a_run_asks_it_after_each_step(self, trigger: Trigger) -> None:
        """A checkpoint for each boundary where it is due, and one at the end; and it is stopped once."""
        log = Log()
        backend, first = InMemoryCheckpointBackend(), Step(name="first")
        node: Node = first
        for name in sorted(trigger.nodes()) or ["second"]:
            node = node >> Step(name=name)
        node >> Step(name="last")
        config = CheckpointConfig(backend=backend, trigger=Watched(trigger, log), auto_cleanup=False)

        await Graph(start=first, id="asking", checkpoint_config=config).run()

        assert len(log.answers) == max(1, len(trigger.nodes())) + 1, "A run must ask the trigger once after each step."
        assert len(await CheckpointManager(backend).list_checkpoints("asking")) == sum(log.answers) + 1, (
            "A run must leave a checkpoint for each boundary where the trigger was due, and one at its end."
        )
        assert (log.started, log.stopped) == (1, 1), "A run must start the trigger once, and stop it once."

    @pytest.mark.asyncio
    async def test_a_run_that_was_killed_gives_it_back_what_it_remembered(self, trigger: Trigger) -> None:
        """A run goes through the states of the ``course``, breaks off without a last word, and is resumed by another graph."""
        states = [dict(boundary.state) for boundary, _ in self.course] or [{}] * 4
        backend, log = InMemoryCheckpointBackend(), Log()
        killed, resumed = (
            Graph(
                start=walk(states, breaks_at=breaks_at, names=sorted(trigger.nodes()) or ["walk"]),
                id="killed",
                checkpoint_config=CheckpointConfig(
                    backend=backend,
                    trigger=Watched(trigger, log) | EveryIterations(2),
                    auto_cleanup=False,
                    trigger_on_failure=False,
                ),
            )
            for breaks_at in (len(states) // 2 + 1, None)
        )

        with pytest.raises(BreaksOffError):
            await killed.run()
        last = await CheckpointManager(backend).load_latest("killed")
        assert last is not None, "The run left no checkpoint before it broke off."
        told = len(log.remembered)
        await resumed.run(resume=True)

        remembered = {each["rule"]: each["memory"] for each in last.execution_metadata.get("triggers", ())}
        memory = next(iter(remembered.values()), None)
        assert log.recalled == ([] if memory is None else [memory]), (
            "When a run is resumed, recall() must be given what memory() returned at the checkpoint, and nothing else."
        )
        assert (log.started, log.stopped) == (2, 2), (
            "The trigger must be started and stopped once for each run, even for one that fails."
        )
        assert told <= len(log.remembered), "The run must ask memory() at each checkpoint."


class Started:
    """A trigger in a run."""

    def __init__(self, trigger: Trigger) -> None:
        self._trigger = trigger
        self.rule: Trigger = trigger

    def __enter__(self) -> Started:
        self.rule = self._trigger.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.rule.stop()

    def answers(self, course: Sequence[tuple[Boundary, bool]]) -> list[bool]:
        """What it answers along a course. A checkpoint is made where the course says so."""
        answers = []
        for boundary, is_made in course:
            answers.append(self.rule.is_due(replace(boundary)))
            if is_made:
                self.rule.saved(replace(boundary))
        return answers


def _first_answer(trigger: Trigger, boundary: Boundary) -> bool:
    with Started(trigger) as run:
        return run.rule.is_due(replace(boundary))
