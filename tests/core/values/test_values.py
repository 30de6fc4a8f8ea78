"""What is kept can't be changed from outside, and what is handed out can't change what is kept."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs.values.snapshots import snapshot


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, {"b": {2}}]},
        [(1, [2]), frozenset({3})],
        OrderedDict(z=[1], a=[2]),
        defaultdict(list, a=[1]),
        Basket(["x"]),
        bytearray(b"abc"),
        {(1, 2): "tuple key", None: "None key", 1.5: "float key"},
    ],
)
def test_a_snapshot_is_equal_and_of_the_same_type(value: Any) -> None:
    copied = snapshot(value)

    assert copied == value
    assert type(copied) is type(value)
    assert copied is not value


@pytest.mark.parametrize("value", [None, True, 10**30, 1.5, "text", b"bytes", datetime.now(UTC), (1, ("a", None)), int])
def test_what_can_not_change_is_shared(value: Any) -> None:
    """So that large texts cost nothing, and a checkpoint sees by identity what changed."""
    assert snapshot(value) is value


def test_nested_containers_are_not_shared() -> None:
    inner: list[int] = [1]
    copied = snapshot({"a": ({"b": inner},)})

    inner.append(2)

    assert copied == {"a": ({"b": [1]},)}


def test_an_object_with_mutable_content_is_not_shared() -> None:
    basket = Basket(["x"])
    copied = snapshot([basket])

    basket.items.append("y")

    assert copied[0].items == ["x"]


def test_a_value_that_contains_itself_is_copied_with_its_shape() -> None:
    value: list[Any] = [1]
    value.append(value)

    copied = snapshot(value)

    assert copied is not value
    assert copied[1] is copied


def test_a_value_nested_too_deeply_is_refused_in_our_own_words() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(SerializationError, match="can't be copied"):
        snapshot(value)


def test_a_value_that_can_not_be_copied_is_refused_with_the_path_to_it() -> None:
    with pytest.raises(SerializationError, match=r"lock.*keep connections, locks and open files on the node") as caught:
        snapshot({"a": [1, {"b": threading.Lock()}]}, path="graph_state['k']")

    assert caught.value.path == "graph_state['k']['a'][1]['b']"


def nested_pairs(levels: int) -> list[Any]:
    """A list that refers to one list twice, and that to one twice: written out, it has 2**levels of them."""
    pairs: list[Any] = []
    for _ in range(levels):
        pairs = [pairs, pairs]
    return pairs


@pytest.mark.parametrize("container", [lambda part: part, lambda part: {"a": part, "b": (part, bytearray(b"x"))}])
def test_what_is_referred_to_over_and_over_is_copied_in_no_time(container: Any) -> None:
    """If each reference cost a copy, this would not end before the universe does."""
    copied = snapshot(container(nested_pairs(100)))

    first = copied["a"] if isinstance(copied, dict) else copied
    for _ in range(100):
        assert len(first) == 2
        first = first[0]


def test_a_part_that_can_not_be_copied_is_found_however_often_it_is_referred_to() -> None:
    with pytest.raises(SerializationError, match=r"value\[1\] holds a lock"):
        snapshot([nested_pairs(100), threading.Lock()])
