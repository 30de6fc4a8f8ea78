"""What differs between two checkpoints: by key, by item, and nothing that does not."""

from __future__ import annotations

import random
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.graphs.checkpoint import CheckpointManager, Difference, GraphCheckpoint, InMemoryCheckpointBackend, RawObject
from tests.support.variants import in_full, tries

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
MESSAGES = [{"role": "user", "text": f"message {number}"} for number in range(5_000)]


async def differences_of(before: Any, after: Any) -> list[Difference]:
    """Those of a value in the state: compared as they are, and as they are stored, which must be the same."""
    manager = CheckpointManager(InMemoryCheckpointBackend())
    earlier, later = (
        GraphCheckpoint(name, "g", NOON, graph_state={"value": each}) for name, each in (("a", before), ("b", after))
    )
    found = await manager.diff(earlier, later)
    for each in (earlier, later):
        await each.save(manager.backend)
    assert repr(await manager.diff("a", "b")) == repr(found)
    assert all(each.path.startswith("graph_state['value']") for each in found)
    return found


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (MESSAGES[:4_997], MESSAGES, [("", "added", 4_997)]),
        (MESSAGES, MESSAGES[10:], [("", "removed", 0)]),
        (MESSAGES[:4_000], MESSAGES[3:4_003], [("", "removed", 0), ("", "added", 3_997)]),
        ([{"a": 1, "b": 2}, 0], [{"a": 1, "b": 3}, 0], [("[0]['b']", "changed", None)]),
        ([1, 2, 3], [1, 9, 3], [("[1]", "changed", None)]),
        ([1, 2, 3, 4], [1, 5, 6, 7, 4], [("", "removed", 1), ("", "added", 1)]),
        ([[1, 2], "x"], [[1, 2, 3], "x"], [("[0]", "added", 2)]),
        ((1, 2), (1, 2, 3), [("", "added", 2)]),
        ([1, 2], (1, 2), [("", "changed", None)]),
        ([True], [1], [("[0]", "changed", None)]),
        ([{"a": True}, 0], [{"a": 1}, 0], [("[0]['a']", "changed", None)]),
        ([(True,), 0], [(1.0,), 0], [("[0][0]", "changed", None)]),
        (["1", "a"], [1, "a", "b"], [("[0]", "changed", None), ("", "added", 2)]),
        ({"a": {"b": [1]}}, {"a": {"b": [1], "c": None}}, [("['a']['c']", "added", None)]),
        ({1: "a"}, {True: "a"}, []),
        ({1, 2}, {2, 3}, [("", "changed", None)]),
        ({"a", "b"}, {"b", "a"}, []),
        (float("nan"), float("nan"), []),
        ([], [], []),
        (None, 0, [("", "changed", None)]),
    ],
)
async def test_values_are_compared_key_by_key_and_item_by_item(
    before: Any, after: Any, expected: list[tuple[str, str, int | None]]
) -> None:
    found = await differences_of(before, after)

    assert [(each.path.removeprefix("graph_state['value']"), each.change, each.at) for each in found] == expected


scalars = st.sampled_from([0, 1, True, 1.0, "1", "a", None, b"", (1,)])
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["a", "b", 1, "it's"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(trees, trees)
async def test_differences_make_the_first_value_the_second(before: Any, after: Any) -> None:
    found = await differences_of(before, after)

    assert repr(in_order(applied(before, found))) == repr(in_order(after))


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(st.lists(scalars, max_size=12), st.lists(scalars, max_size=12))
async def test_so_for_long_lists(before: list[Any], after: list[Any]) -> None:
    assert repr(applied(before, await differences_of(before, after))) == repr(after)


def applied(value: Any, found: list[Difference]) -> Any:
    """The value with these differences: items removed from the end on, added from the beginning on, then all else in place."""
    state = {"value": deepcopy(value)}
    for each in reversed([each for each in found if each.change == "removed" and each.at is not None]):
        items, at = place(state, each.path), each.at or 0
        assert repr(items[at : at + len(each.before)]) == repr(each.before)
        del items[at : at + len(each.before)]
    for each in found:
        if each.change == "added" and each.at is not None:
            place(state, each.path)[each.at : each.at] = each.after
    for each in found:
        if each.at is None:
            target = each.path.removeprefix("graph_")
            exec(
                f"del {target}" if each.change == "removed" else f"{target} = new", {"state": state, "new": each.after}
            )
    return state["value"]


def place(state: Any, path: str) -> Any:
    return eval(path.removeprefix("graph_"), {"state": state})


def in_order(value: Any) -> Any:
    """The order of keys is no difference."""
    if isinstance(value, dict):
        return sorted(([key, in_order(item)] for key, item in value.items()), key=repr)
    return [in_order(item) for item in value] if isinstance(value, list) else value


# long texts


POEM = [f"line {number}" for number in range(100)]


def lines_of(before: Any, after: Any, **options: int) -> list[tuple[str, str]]:
    return [*Difference("p", "changed", before, after).lines(**options)]


def test_of_long_texts_the_lines_are_told_that_differ() -> None:
    changed = [*POEM[:50], "line fifty", *POEM[51:80], "new", *POEM[80:]]

    assert lines_of("\n".join(POEM), "\n".join(changed), context=1) == [
        ("…", ""),
        (" ", "line 49"),
        ("-", "line 50"),
        ("+", "line fifty"),
        (" ", "line 51"),
        ("…", ""),
        (" ", "line 79"),
        ("+", "new"),
        (" ", "line 80"),
        ("…", ""),
    ]


def test_of_a_long_line_the_part_is_told_that_differs() -> None:
    start, end = "a" * 1_000, "b" * 1_000

    assert lines_of(f"{start}old{end}", f"{start}brand new{end}") == [
        ("-", f"…{'a' * 40}old{'b' * 40}…"),
        ("+", f"…{'a' * 40}brand new{'b' * 40}…"),
    ]
    assert lines_of("a" * 100, "a" * 101) == [("-", f"…{'a' * 40}"), ("+", f"…{'a' * 41}")]
    assert lines_of("same", "same!") == [("-", "same"), ("+", "same!")]
    assert lines_of("aaa", "aaaa") == [("-", "aaa"), ("+", "aaaa")]


@in_full
@settings(max_examples=tries(100), deadline=None)
@given(st.text("ab\n", max_size=30), st.text("ab\n", max_size=30))
def test_the_lines_that_are_told_are_those_of_both_texts(before: str, after: str) -> None:
    found = lines_of(before, after, context=100)

    if before == after:
        assert found == []
    elif "…" not in {mark for mark, _ in found}:
        assert [line for mark, line in found if mark in " -"] == before.split("\n")
        assert [line for mark, line in found if mark in " +"] == after.split("\n")


def test_what_is_no_text_has_no_lines() -> None:
    assert lines_of(None, "new") == []


def test_a_difference_is_plain_data() -> None:
    difference = Difference("graph_state['x']", "added", after=[RawObject("my_app:Order", {"at": NOON})], at=3)

    assert difference.to_data() == {
        "path": "graph_state['x']",
        "change": "added",
        "before": None,
        "after": [{"type": "my_app:Order", "value": {"at": "2026-11-29T12:00:00+00:00"}}],
        "at": 3,
    }


async def test_lists_that_can_hardly_be_aligned_take_no_time() -> None:
    """Were each item of one compared with each of the other, this would take minutes."""
    before, after = [*range(3)] * 2_000, [*range(2, -1, -1)] * 2_001

    removed, added = await differences_of(before, after)

    assert (len(removed.before), len(added.after)) == (6_000, 6_003)


async def test_what_stands_often_in_a_list_is_aligned_as_well() -> None:
    """Items that are more than a hundredth of a list are no noise."""
    before = random.Random(7).choices(range(20), k=400)
    after = ["new", *before[:100], "new", *before[100:], "new"]

    found = await differences_of(before, after)

    assert sum(len(each.after) for each in found if each.change == "added") == 3
    assert {each.change for each in found} == {"added"}


async def test_models_are_compared_field_by_field() -> None:
    order = RawObject("my_app:Order", {"lines": [1], "total": 1, "odd name": 1})
    later = RawObject("my_app:Order", {"lines": [1, 2], "total": 2, "odd name": 2})
    manager = CheckpointManager(InMemoryCheckpointBackend())
    states = [
        {"order": each, "color": RawObject("my_app:Color", name)} for each, name in ((order, "RED"), (later, "BLUE"))
    ]

    found = await manager.diff(*(GraphCheckpoint("c", "g", NOON, graph_state=state) for state in states))

    assert [(each.path, each.change, each.at) for each in found] == [
        ("graph_state['order'].lines", "added", 1),
        ("graph_state['order'].total", "changed", None),
        ("graph_state['order']['odd name']", "changed", None),
        ("graph_state['color']", "changed", None),
    ]


async def test_arrays_in_memory_are_compared_by_their_numbers() -> None:
    array = np.zeros(10_000)
    same, other = array.copy(), array.copy()
    other[5_000] = 1
    manager = CheckpointManager(InMemoryCheckpointBackend())
    one, two, three = (GraphCheckpoint("c", "g", NOON, graph_state={"a": each}) for each in (array, same, other))

    assert await manager.diff(one, two) == []
    assert [each.path for each in await manager.diff(one, three)] == ["graph_state['a']"]


async def test_checkpoints_that_are_objects_are_loaded_to_be_compared() -> None:
    """As the store was opened to do."""
    manager = CheckpointManager(InMemoryCheckpointBackend(format={"pickle": {"signing_key": "k" * 32}}))
    for number in (1, 2):
        await GraphCheckpoint(f"c{number}", "g", NOON, graph_state={"a": number}).save(manager.backend)

    assert await manager.diff("c1", "c2") == [Difference("graph_state['a']", "changed", 1, 2)]
