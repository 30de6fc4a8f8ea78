"""The suite that a trigger proves itself by."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    Boundary,
    CheckpointConfig,
    CheckpointManager,
    EveryIterations,
    InMemoryCheckpointBackend,
    Trigger,
)
from spark_testing.conformance import Conformance, is_of_the_kit


def make_boundary(
    iteration: int = 1,
    node: str = "node",
    *,
    elapsed: float = 0.0,
    checkpointed: float = 0.0,
    names: Sequence[str] = (),
) -> Boundary:
    """Where a run may stand; ``names`` are further names of the node."""
    return Boundary(iteration, node, frozenset((node, *names)), elapsed, checkpointed)


class Step(Node):
    """One of the nodes that a trigger is tried on."""

    async def process(self, context: NodeContext) -> Any:
        return {}


class TriggerConformance(Conformance):
    """What every trigger must do. Subclass it as ``Test…`` with the fixture ``trigger``; say where it is due and where not."""

    due: ClassVar[Sequence[Boundary]]
    """Boundaries where it is due, at least one; see ``make_boundary``."""
    not_due: ClassVar[Sequence[Boundary]]
    """Boundaries where it is not."""

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
        assert [trigger.is_due(boundary) for boundary in self.due] == [True] * len(self.due), (
            "is_due() must be True at each boundary of the suite's `due`."
        )
        assert [trigger.is_due(boundary) for boundary in self.not_due] == [False] * len(self.not_due), (
            "is_due() must be False at each boundary of the suite's `not_due`."
        )

    def test_remembers_nothing(self, trigger: Trigger) -> None:
        """One object serves any number of runs at once, so an answer depends on the boundary alone."""
        boundaries = [*self.due, *self.not_due]
        expected = [trigger.is_due(boundary) for boundary in boundaries]
        random = Random(1)
        for _ in range(20):
            order = random.sample(range(len(boundaries)), len(boundaries))
            assert [trigger.is_due(boundaries[number]) for number in order] == [expected[number] for number in order], (
                "Asked again in another order, the trigger answers otherwise: it must depend on the boundary alone."
            )

    def test_looks_and_changes_nothing(self, trigger: Trigger) -> None:
        for boundary in (*self.due, *self.not_due):
            before = deepcopy(boundary)
            trigger.is_due(boundary)
            assert boundary == before, "is_due() changed the boundary that it was given: others are asked with it, too."

    def test_answers_at_any_boundary(self, trigger: Trigger) -> None:
        for iteration in (0, 1, 2, 10**9):
            for seconds in (0.0, 1e-9, 3600.0, 1e12):
                answer = trigger.is_due(make_boundary(iteration, "日本語", elapsed=seconds, checkpointed=seconds / 2))
                assert type(answer) is bool, "is_due() must return True or False at any boundary, and nothing else."

    def test_names_the_nodes_that_it_speaks_of(self, trigger: Trigger) -> None:
        """A graph that lacks one of them is refused, so a misspelt name shows."""
        assert isinstance(trigger.nodes(), frozenset), "nodes() must return a frozenset."
        assert all(isinstance(name, str) and name for name in trigger.nodes()), (
            "nodes() must hold names of nodes: texts that are not empty."
        )
        assert trigger.nodes() == trigger.nodes(), "nodes() must return the same each time."

    def test_combines_with_others(self, trigger: Trigger) -> None:
        always, never = EveryIterations(1), EveryIterations(10**9)
        for boundary in (*self.due, *self.not_due):
            here = replace(boundary, iteration=boundary.iteration or 1)
            is_due = trigger.is_due(here)
            assert (trigger | never).is_due(here) is is_due, (
                "`trigger | never` must be due exactly where the trigger is."
            )
            assert (trigger & always).is_due(here) is is_due, (
                "`trigger & always` must be due exactly where the trigger is."
            )
            assert (trigger | always).is_due(here) is True, "`trigger | always` must be due everywhere."
            assert (never & trigger).is_due(here) is False, "`never & trigger` must be due nowhere."
        assert (trigger | always).nodes() == trigger.nodes(), (
            "A combined trigger must name the nodes that its parts name."
        )

    def test_has_a_repr_for_messages(self, trigger: Trigger) -> None:
        assert " object at 0x" not in repr(trigger), (
            "The repr of a trigger is shown in messages: it must say what the trigger does, not where it is in memory."
        )

    @pytest.mark.asyncio
    async def test_a_run_asks_it_after_each_step(self, trigger: Trigger) -> None:
        """A checkpoint for each boundary where it is due, and one at the end."""
        asked: list[bool] = []
        backend, first = InMemoryCheckpointBackend(), Step(name="first")
        node: Node = first
        for name in sorted(trigger.nodes()) or ["second"]:
            node = node >> Step(name=name)
        node >> Step(name="last")
        config = CheckpointConfig(backend=backend, trigger=_Watched(trigger, asked), auto_cleanup=False)

        await Graph(start=first, id="asking", checkpoint_config=config).run()

        assert len(asked) == max(1, len(trigger.nodes())) + 1, "A run must ask the trigger once after each step."
        assert len(await CheckpointManager(backend).list_checkpoints("asking")) == sum(asked) + 1, (
            "A run must leave a checkpoint for each boundary where the trigger was due, and one at its end."
        )


class _Watched(Trigger):
    def __init__(self, trigger: Trigger, asked: list[bool]) -> None:
        self._trigger = trigger
        self._asked = asked

    def is_due(self, boundary: Boundary) -> bool:
        self._asked.append(self._trigger.is_due(boundary))
        return self._asked[-1]

    def nodes(self) -> frozenset[str]:
        return self._trigger.nodes()
