"""Shapes of what checkpoints record: of this version, of earlier and later ones, and of damaged records."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_drawing import DrawingError, Shape
from tests.plugins.drawing.support import node, parsed

GOLDEN = Path(__file__).parents[2] / "core" / "golden"


def recorded(name: str) -> Any:
    """The topology of a stored record of an earlier version."""
    return json.loads((GOLDEN / f"record_1.0.0_{name}.txt").read_text().split("\n")[1])["topology"]


def topology() -> dict[str, Any]:
    return {
        "start": "a",
        "nodes": [
            {"key": "a", "class": "app:A"},
            {"key": "b", "class": "app:B"},
            {"key": "m", "class": "app:M", "join": True},
        ],
        "edges": [
            {
                "source": "a",
                "target": "b",
                "priority": 0,
                "each": {"key": "items", "limit": None},
                "equals": {"kind": 1},
            },
            {"source": "b", "target": "m", "priority": 0, "condition": "is_good"},
            {"source": "b", "target": "a", "priority": 0, "errors": ["builtins:Exception"]},
            {"source": "a", "target": "m", "priority": 0, "errors": ["app:Outer.Lost", "builtins:OSError"]},
        ],
    }


@pytest.mark.parametrize(
    ("name", "starts", "joins", "maps"),
    [
        ("maps", "Split", set(), {"Walk", "Step", "Inner", "Outer"}),
        ("joins", "Split", {"Inner", "Outer"}, {"Walk", "Step", "Inner"}),
        ("journal", "Start", set(), set()),
        ("parts", "change", set(), set()),
    ],
)
def test_records_of_earlier_versions_are_drawn(name: str, starts: str, joins: set[str], maps: set[str]) -> None:
    shape = Shape.of_topology(recorded(name))

    assert [each.key for each in shape.nodes if each.is_start] == [starts]
    assert {each.key for each in shape.nodes if each.is_join} == joins
    assert {each.key for each in shape.nodes if each.is_map} == maps
    assert node(parsed(shape.svg()), starts) is not None


def test_labels_say_when_an_edge_is_followed() -> None:
    shape = Shape.of_topology(topology())

    assert [each.label for each in shape.edges] == ["kind=1, each items", "is_good", "on error", "on Lost, OSError"]


def test_what_a_later_version_adds_is_passed_over() -> None:
    section = topology() | {"colour": "blue"}
    section["nodes"][0]["shape"] = {"deep": [1]}
    section["edges"][0]["speed"] = 3

    assert Shape.of_topology(section) == Shape.of_topology(topology())


def test_a_map_in_a_loop_is_read_to_its_end() -> None:
    section = topology()
    section["edges"].append({"source": "b", "target": "b", "each": {"key": "parts"}})

    assert {each.key for each in Shape.of_topology(section).nodes if each.is_map} >= {"b", "m"}


def test_a_checkpoint_without_a_topology_says_so() -> None:
    with pytest.raises(DrawingError, match="records no topology"):
        Shape.of_topology(None)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ((), [1], "the topology is [1], where a mapping belongs"),
        (("nodes",), None, "nodes is None, where a list belongs"),
        (("nodes", 0), 5, "one of its nodes is 5, where a mapping belongs"),
        (("nodes", 0, "key"), 5, "key is 5"),
        (("nodes", 1, "key"), "a", "two nodes have the same key"),
        (("start",), "x", "start is 'x', which is not a node"),
        (("start",), None, "start is None"),
        (("edges",), {}, "edges is {}, where a list belongs"),
        (("edges", 0, "target"), "x", "leads from 'a' to 'x', and one of them is not a node"),
        (("edges", 0, "source"), [], "source is []"),
        (("edges", 0, "each"), 5, "a map is 5, where a mapping belongs"),
        (("edges", 0, "equals"), 5, "what an edge compares is 5, where"),
        (("edges", 2, "errors"), 5, "the errors of an edge are 5, where"),
        (("nodes",), [], "start is 'a', which is not a node"),
    ],
)
def test_a_damaged_topology_is_an_error_that_says_what_is_wrong(path: tuple[Any, ...], value: Any, said: str) -> None:
    section: Any = topology()
    if path:
        inside = section
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = value
    else:
        section = value

    with pytest.raises(DrawingError, match="The recorded topology is damaged") as caught:
        Shape.of_topology(section)

    assert said in str(caught.value)
    assert "spark checkpoints verify" in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["a", "b", "m", "", "join"]),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["key", "errors", "each"]), inside, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.data())
def test_whatever_is_recorded_is_drawn_or_refused(data: st.DataObject) -> None:
    section: Any = deepcopy(topology())
    part = data.draw(st.sampled_from([section, *section["nodes"], *section["edges"]]))
    part[data.draw(st.sampled_from([*part]))] = data.draw(ANYTHING)

    try:
        shape = Shape.of_topology(section)
    except DrawingError:
        return
    parsed(shape.svg())
