"""Places order items, and an item keeps its own while it can."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.graphs.checkpoint.encoding.places import Place, arranged, between, runs
from tests.support.variants import in_full, tries

places = st.one_of(st.integers(-20, 20), st.floats(-20, 20).filter(lambda number: not number.is_integer()))


@in_full
@settings(max_examples=tries(100), deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.none(), places), max_size=30, unique_by=lambda place: place or object()))
def test_places_rise_and_an_order_that_was_right_is_kept(wanted: list[Place | None]) -> None:
    found = arranged(wanted)

    assert len(found) == len(wanted)
    assert all(one < other for one, other in pairwise(found))
    assert all(type(place) is int or not place.is_integer() for place in found), "each number has one spelling"
    known = [place for place in wanted if place is not None]
    if all(one < other for one, other in pairwise(known)):
        assert sum(place == before for place, before in zip(found, wanted, strict=True)) >= len(known)


def test_what_moves_gets_another_place_and_the_rest_stays() -> None:
    assert arranged([5, 1, 2, 3, 4]) == [0, 1, 2, 3, 4]
    assert arranged([None, 0, None, 1]) == [-1, 0, 0.5, 1]
    assert arranged([3, None, 4, 9, None, 12]) == [3, 3.5, 4, 9, 10, 12]


def test_where_no_number_is_left_the_shorter_side_is_numbered_anew() -> None:
    close = 1 + 2**-52

    assert between(1, close, 1) is None
    assert arranged([1, None, close, 7, 8]) == [close - 2, close - 1, close, 7, 8] or arranged(
        [1, None, close, 7, 8]
    ) == [0, 1, close, 7, 8]
    assert arranged([-5, -4, 1, None, close]) == [-5, -4, 1, 2, 3]


def test_a_list_that_is_always_edited_at_one_spot_keeps_most_places() -> None:
    """At the first spot as at any other: halving a gap ends after fifty times, and then few are numbered anew."""
    found: list[Place] = list(range(200))
    moved = 0
    for _ in range(500):
        new = arranged([*found[:3], None, *found[3:]])
        moved += sum(one != other for one, other in zip(new, [*found[:3], None, *found[3:]], strict=True))
        found = new

    assert moved < 4 * 500


@pytest.mark.parametrize(
    ("given_places", "stored"),
    [([], []), ([1], [1]), ([1, 2, 3], [[1, 3]]), ([1, 3, 4, 4.5, 5], [1, [3, 2], 4.5, 5]), ([0.5, 1.5], [0.5, 1.5])],
)
def test_neighbours_are_stored_as_one(given_places: list[Place], stored: list[object]) -> None:
    assert runs(given_places) == stored
