"""The triggers of the core keep the promise of triggers."""

from __future__ import annotations

import pytest

from spark.graphs.checkpoint import AfterNode, EveryIterations, EverySeconds, Trigger
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


class TestCombined(TriggerConformance):
    due = (make_boundary(2, "train"), make_boundary(1, elapsed=10.0))
    not_due = (make_boundary(1, "train"), make_boundary(2, "x"))

    @pytest.fixture
    def trigger(self) -> Trigger:
        return (EveryIterations(2) & AfterNode("train")) | EverySeconds(10)
