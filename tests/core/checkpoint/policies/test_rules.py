"""What triggers and retention rules have in common, whoever wrote them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

from spark.errors import RuleError
from spark.graphs import Graph
from spark.graphs.checkpoint import Boundary, CheckpointConfig, Retention, Trigger, WhenImproved
from tests.support.running import countdown


class Priced(Trigger):
    def __init__(self, dollars: float, *, license_key: str = "", token: Any = None) -> None:
        self.dollars = dollars
        self.license_key = license_key
        self.token = token

    def is_due(self, boundary: Boundary) -> bool:
        raise ValueError("no price.")


class Forgets(Priced):
    def __init__(self, dollars: float) -> None:
        pass


class Refuses(Retention):
    def select(self, checkpoints: Any, *, now: datetime) -> Any:
        raise ValueError


def test_rules_say_what_they_are_without_their_secrets() -> None:
    assert repr(Priced(5)) == "Priced(dollars=5, license_key='', token=None)".replace("''", "'***'")
    assert "s3cret" not in repr(Priced(5, license_key="s3cret", token=SecretStr("s3cret")))
    assert repr(Forgets(5)) == "Forgets(…)"
    assert repr(Refuses() | Refuses()) == "(Refuses() | Refuses())"


@pytest.mark.parametrize(
    ("parent", "method"), [(Trigger, "is_due"), (Trigger, "saved"), (Retention, "keeps"), (Retention, "select")]
)
def test_a_method_that_nobody_would_wait_for_is_refused(parent: Any, method: str) -> None:
    """What it returns would count as yes, at each boundary and for each checkpoint."""

    async def asynchronous(self: Any, *arguments: Any, **named: Any) -> bool:
        return False

    with pytest.raises(TypeError, match=rf"^Mine\.{method} is async, but a run does not wait for its rules"):
        type("Mine", (parent,), {method: asynchronous, "__qualname__": "Mine"})


def test_other_methods_of_a_rule_may_be_async() -> None:
    class Mine(Priced):
        async def look_up(self) -> float:
            return self.dollars

    assert Mine(1).dollars == 1


@pytest.mark.parametrize(
    ("rule", "recalls"),
    [
        (WhenImproved("loss", "min", 0.5), True),
        (WhenImproved("loss", "max"), False),
        (WhenImproved("acc", "min"), False),
    ],
)
def test_what_was_best_is_recalled_of_the_same_metric_and_mode(rule: WhenImproved, recalls: bool) -> None:
    """With another mode, the best would be the worst."""
    run = rule.start()
    run.recall({"metric": "loss", "mode": "min", "best": 3})

    assert (run.memory() is not None) is recalls


async def test_what_a_rule_raised_is_part_of_a_sentence() -> None:
    config = CheckpointConfig(trigger=Priced(1))

    with pytest.raises(RuleError, match=r"The trigger Priced raised ValueError: no price\. It had to decide"):
        await Graph(countdown(), checkpoint_config=config).run({"limit": 2})


async def test_also_where_it_says_nothing() -> None:
    config = CheckpointConfig(trigger_on_iteration=1, retention=Refuses())

    with pytest.raises(RuleError, match=r"The retention rule Refuses\(\) raised ValueError\. It had to decide"):
        await Graph(countdown(), checkpoint_config=config).run({"limit": 3})
