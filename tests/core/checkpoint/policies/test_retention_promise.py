"""The retention rules of the core keep the promise of retention rules."""

from __future__ import annotations

import pytest

from spark.graphs.checkpoint import KeepAll, KeepBest, KeepDaily, KeepEvery, KeepFor, KeepLast, Retention
from spark_testing import RetentionConformance, make_line

MONTH = tuple(make_line(number, hours_old=6 * (100 - number)) for number in range(1, 101))
"""Four checkpoints a day, the last at noon, at 18, 0 and 6 o'clock before."""


class TestKeepLast(RetentionConformance):
    history = MONTH
    kept = (98, 99, 100)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepLast(3)


class TestKeepFor(RetentionConformance):
    history = MONTH
    kept = (97, 98, 99, 100)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepFor(days=1)


class TestKeepAll(RetentionConformance):
    history = MONTH
    kept = tuple(range(1, 101))

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepAll()


class TestKeepEvery(RetentionConformance):
    """Of the forties, one is missing: the last one before it counts."""

    history = tuple(line for line in MONTH if line.sequence != 40)
    kept = (20, 39, 60, 80, 100)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepEvery(20)


class TestKeepDaily(RetentionConformance):
    """The last day is not over; those before it end at 18 o'clock."""

    history = MONTH
    kept = (89, 93, 97, 100)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepDaily(4)


class TestKeepDailyElsewhere(RetentionConformance):
    """In New York the checkpoint of midnight UTC is one of the evening before."""

    history = MONTH
    kept = (94, 98, 100)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepDaily(3, timezone="America/New_York")


class TestKeepBest(RetentionConformance):
    history = tuple(
        make_line(number, metadata={"loss": loss})
        for number, loss in enumerate((0.9, 0.5, 0.5, 0.7, 0.1, "unknown", None, 0.5), 1)
    )
    kept = (2, 3, 5, 6, 7)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepBest(3, "loss", mode="min")


class TestKeepBestOnly(RetentionConformance):
    history = (*(make_line(number, metadata={"eval.acc": number % 5}) for number in range(1, 12)), make_line(12))
    kept = (4, 9)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepBest(2, "eval.acc", keep_without=False)


class TestCombined(RetentionConformance):
    history = MONTH
    kept = (85, 89, 93, 97, 99, 100)

    @pytest.fixture
    def retention(self) -> Retention:
        return KeepLast(2) | (KeepDaily() & KeepFor(days=4))
