"""The trigger keeps the promise of triggers, and is chosen by its name."""

from __future__ import annotations

import pytest
from spark_trigger_example.trigger import Example

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import Boundary, CheckpointConfig, Trigger
from spark_testing import TriggerConformance, make_boundary


def after_spending(dollars: float) -> Boundary:
    return make_boundary(state={"dollars_spent": dollars})


class TestExample(TriggerConformance):
    due = (after_spending(5), after_spending(7.5))
    not_due = (after_spending(4.99), make_boundary())
    course = (
        (after_spending(3), False),
        (after_spending(6), True),
        (after_spending(10), False),
        (after_spending(11), True),
        (after_spending(15), False),
    )

    @pytest.fixture
    def trigger(self) -> Trigger:
        return Example(5)


def test_it_is_chosen_by_its_name() -> None:
    trigger = CheckpointConfig(trigger={"example": {"dollars": 5, "spent": "costs.dollars"}}).trigger

    assert isinstance(trigger, Example)
    assert trigger.is_due(make_boundary(state={"costs": {"dollars": 5}}))


@pytest.mark.parametrize("dollars", [0, -1, float("nan")])
def test_no_amount_is_refused(dollars: float) -> None:
    with pytest.raises(GraphDefinitionError, match="dollars must be a number above 0"):
        CheckpointConfig(trigger={"example": {"dollars": dollars}})


@pytest.mark.parametrize("memory", [None, [], {"spent": "much"}])
def test_a_memory_that_is_none_is_left_alone(memory: object) -> None:
    trigger = Example(5)
    trigger.recall(memory)

    assert trigger.is_due(after_spending(5))
