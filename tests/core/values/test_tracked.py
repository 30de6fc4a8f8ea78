"""A capture says what changed since the one before, and a change that it did not mention would be lost in checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs.values.item_mapping import Captured, Moment
from spark.graphs.values.tracked import TrackedMapping


def tracked(**values: Any) -> TrackedMapping[Any]:
    mapping = TrackedMapping[Any]()
    for key, value in values.items():
        mapping.put(key, value)
    mapping.capture()
    return mapping


def changed(captured: Captured, moment: Moment) -> tuple[list[str], list[str]]:
    """What was put since, and what was removed."""
    changes = captured.changes_since(moment)
    assert changes is not None
    return [*changes.put], [*changes.removed]


def test_what_led_to_a_first_capture_is_not_known() -> None:
    assert tracked(a=1).capture().changes_since(tracked(a=1).capture().moment) is None


def test_a_capture_names_what_changed_since_the_one_before() -> None:
    mapping = tracked(a=1, b=2)
    first = mapping.capture()
    mapping.put("a", 3)
    second = mapping.capture()

    assert (first, second) == ({"a": 1, "b": 2}, {"a": 3, "b": 2})
    assert changed(second, first.moment) == (["a"], [])


def test_without_a_change_a_capture_is_the_one_before() -> None:
    mapping = tracked(a=1)

    assert mapping.capture() is mapping.capture()


def test_what_came_and_went_between_two_captures_is_not_named() -> None:
    """So a long run between two checkpoints does not gather names."""
    mapping = tracked(a=1)
    before = mapping.capture()
    mapping.put("b", 2)
    mapping.remove("b")

    assert mapping.capture() is before


def test_a_key_that_is_put_again_after_its_removal_is_named_twice_because_it_is_last_now() -> None:
    mapping = tracked(a=1, b=2)
    before = mapping.capture()
    mapping.remove("a")
    mapping.put("a", 1)
    captured = mapping.capture()

    assert changed(captured, before.moment) == (["a"], ["a"])
    assert [*captured] == ["b", "a"]


def test_removing_a_key_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        tracked(a=1).remove("b")


def test_data_is_made_only_of_what_changed() -> None:
    made: list[int] = []

    def to_data(value: int) -> str:
        made.append(value)
        return str(value)

    mapping = TrackedMapping[int](to_data)
    for number in range(1000):
        mapping.put(str(number), number)
    mapping.capture()
    made.clear()
    mapping.put("5", -5)
    mapping.remove("7")
    captured = mapping.capture()

    assert made == [-5]
    assert (captured["5"], captured["6"], len(captured)) == ("-5", "6", 999)
