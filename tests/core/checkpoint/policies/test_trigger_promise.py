"""The triggers of the core keep the promise of triggers."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs.checkpoint import (
    AfterNode,
    AtIterations,
    Boundary,
    EveryIterations,
    EverySeconds,
    Trigger,
    WhenImproved,
    WithinOverhead,
)
from spark_testing import TriggerConformance, make_boundary


class TestEveryIterations(TriggerConformance):
    due = (make_boundary(3), make_boundary(6))
    not_due = (make_boundary(1), make_boundary(4))

    @pytest.fixture
    def trigger(self) -> Trigger:
        return EveryIterations(3)


class TestEverySeconds(TriggerConformance):
    due = (make_boundary(elapsed=30.0), make_boundary(elapsed=95.0, checkpointed=31.0))
    not_due = (make_boundary(elapsed=29.0), make_boundary(elapsed=31.0, checkpointed=30.0))

    @pytest.fixture
    def trigger(self) -> Trigger:
        return EverySeconds(30)


class TestAfterNode(TriggerConformance):
    due = (make_boundary(1, "train"), make_boundary(2, "x", names=("evaluate",)))
    not_due = (make_boundary(1, "x"),)

    @pytest.fixture
    def trigger(self) -> Trigger:
        return AfterNode("train", "evaluate")


class TestAtIterations(TriggerConformance):
    due = (make_boundary(10), make_boundary(1000))
    not_due = (make_boundary(1), make_boundary(11), make_boundary(2000))

    @pytest.fixture
    def trigger(self) -> Trigger:
        return AtIterations(1000, 10, 100)


class TestWithinOverhead(TriggerConformance):
    due = (make_boundary(), make_boundary(elapsed=40, saving=1, last_cost=1))
    not_due = (make_boundary(elapsed=39, saving=1, last_cost=1),)

    @pytest.fixture
    def trigger(self) -> Trigger:
        return WithinOverhead(0.05)


def measured(loss: Any) -> Boundary:
    return make_boundary(state={"eval": {"loss": loss}})


class TestWhenImproved(TriggerConformance):
    due = (measured(0.5), measured(7))
    not_due = (make_boundary(), measured(None), measured(float("nan")), measured("low"), measured(True))
    course = (
        (measured(None), False),
        (measured(0.5), True),
        (measured(0.5), False),
        (measured(0.45), False),
        (measured(0.3), True),
        (measured(0.6), False),
        (measured(float("nan")), False),
        (measured(0.1), True),
    )

    @pytest.fixture
    def trigger(self) -> Trigger:
        return WhenImproved("eval.loss", "min", min_delta=0.1)


class TestCombined(TriggerConformance):
    due = (make_boundary(2, "train"), make_boundary(1, elapsed=10.0))
    not_due = (make_boundary(1, "train"), make_boundary(2, "x"))

    @pytest.fixture
    def trigger(self) -> Trigger:
        return (EveryIterations(2) & AfterNode("train")) | EverySeconds(10)


class TestCombinedWithOneThatRemembers(TriggerConformance):
    due = (make_boundary(3, state={"loss": 1}), make_boundary(elapsed=60.0))
    not_due = (make_boundary(1, state={"loss": 1}),)
    course = (
        (make_boundary(2, state={"loss": 5}), False),
        (make_boundary(3, state={"loss": 3}), True),
        (make_boundary(4, state={"loss": 1}, elapsed=60.0), True),
        (make_boundary(6, state={"loss": 2}, elapsed=61.0, checkpointed=60.0), False),
        (make_boundary(9, state={"loss": 0}, elapsed=62.0, checkpointed=60.0), True),
    )

    @pytest.fixture
    def trigger(self) -> Trigger:
        return (EveryIterations(3) & WhenImproved("loss", "min")) | EverySeconds(60)
