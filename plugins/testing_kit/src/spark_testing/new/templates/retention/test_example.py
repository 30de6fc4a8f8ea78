"""The rule keeps the promise of retention rules, and is chosen by its name."""

from __future__ import annotations

import pytest
from spark_retention_example.retention import Example

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import CheckpointConfig, Retention
from spark_testing import RetentionConformance, make_line


class TestExample(RetentionConformance):
    """Looked at on 15 June, at noon."""

    history = (
        make_line(1, hours_old=37),  # 13 June, 23:00
        make_line(2, hours_old=36),  # 14 June, midnight
        make_line(3, hours_old=30),  # 14 June, 6:00
        make_line(4, hours_old=5.75),  # 6:15
        make_line(5, hours_old=5.25),  # 6:45
        make_line(6, hours_old=4.75),  # 7:15
        make_line(7, hours_old=0.4),
        make_line(8, hours_old=0.1),
    )
    kept = (1, 3, 5, 6, 7, 8)

    @pytest.fixture
    def retention(self) -> Retention:
        return Example(recent=30)


def test_it_is_chosen_by_its_name() -> None:
    retention = CheckpointConfig(retention={"example": {"recent": 30}}).retention

    assert isinstance(retention, Example)


@pytest.mark.parametrize("recent", [-1, float("inf")])
def test_a_span_that_is_none_is_refused(recent: float) -> None:
    with pytest.raises(GraphDefinitionError, match="recent must be a number of minutes"):
        CheckpointConfig(retention={"example": {"recent": recent}})
