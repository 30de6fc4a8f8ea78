"""A capture says what changed since the one before, and a change that it did not mention would be lost in checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.graphs.state.tracked import TrackedMapping
from spark.graphs.values.containers import Captured


def tracked(**values: Any) -> TrackedMapping[Any]:
    mapping = TrackedMapping[Any]()
    for key, value in values.items():
        mapping.put(key, value)
    mapping.capture()
    return mapping


def test_a_first_capture_names_every_key() -> None:
    mapping = TrackedMapping[int]()
    mapping.put("a", 1)
    captured = mapping.capture()
    mapping.put("b", 2)

    assert (captured, [*captured.changed], [*captured.removed], captured.before) == ({"a": 1}, ["a"], [], None)


def test_a_capture_names_what_changed_since_the_one_before() -> None:
    mapping = tracked(a=1, b=2)
    first = mapping.capture()
    mapping.put("a", 3)
    second = mapping.capture()

    assert (first, second) == ({"a": 1, "b": 2}, {"a": 3, "b": 2})
    assert (second.before, [*second.changed], [*second.removed]) == (first.moment, ["a"], [])


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
    mapping.remove("a")
    mapping.put("a", 1)
    captured = mapping.capture()

    assert ([*captured.removed], [*captured.changed], [*captured]) == (["a"], ["a"], ["b", "a"])


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


keys = st.sampled_from("abcd")


@given(
    st.lists(st.one_of(st.tuples(st.just("put"), keys), st.tuples(st.just("remove"), keys), st.just(("capture", ""))))
)
def test_whoever_follows_the_changes_has_what_was_captured(history: list[tuple[str, str]]) -> None:
    mapping = TrackedMapping[int](lambda value: -value)
    followed: dict[str, int] = {}
    last: object = None
    for value, (act, key) in enumerate(history):
        if act == "put":
            mapping.put(key, value)
        elif act == "remove" and key in mapping.values:
            mapping.remove(key)
        elif act == "capture":
            captured = mapping.capture()
            if captured.moment is not last:
                assert captured.before is last
                _follow(captured, followed)
            last = captured.moment

            assert [*followed.items()] == [*captured.items()]
            assert [*captured.items()] == [(key, -value) for key, value in mapping.values.items()]


def _follow(captured: Captured, followed: dict[str, int]) -> None:
    for key in captured.removed:
        del followed[key]
    for key in captured.changed:
        followed[key] = captured[key]


def test_after_tracking_was_stopped_a_capture_is_a_first_one() -> None:
    mapping = tracked(a=1, b=2)
    mapping.stop_tracking()
    mapping.remove("a")
    captured = mapping.capture()

    assert (captured, captured.before, [*captured.changed]) == ({"b": 2}, None, ["b"])
