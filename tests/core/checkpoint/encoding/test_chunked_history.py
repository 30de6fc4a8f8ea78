"""Whatever happens to values, each checkpoint holds those of its moment, costs what changed, and leaves nothing behind."""

from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark.graphs.checkpoint.encoding.chunked import ChunkedMapping
from spark.graphs.checkpoint.encoding.levels import Thresholds
from tests.core.checkpoint.encoding.chunked_history import ACTS, SMALL, History, Step, live, steps
from tests.core.checkpoint.encoding.planted_chunk_bugs import PLANTED
from tests.support.variants import first_of

numbers = st.integers(0, 999)
acts = st.sampled_from([*ACTS, *["save"] * 8])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(acts, numbers, numbers), max_size=40))
def test_every_checkpoint_holds_the_values_of_its_moment(history: list[Step]) -> None:
    """Were this wrong, a run would resume with values that never were, or a store would grow for ever."""
    live(history)


@pytest.mark.parametrize("seed", first_of(range(8), always=3))
def test_so_it_does_in_long_histories(seed: int) -> None:
    live(steps(seed, 100))


@pytest.mark.parametrize("seed", first_of(range(8), always=3))
def test_so_it_does_where_chunks_are_stored_ahead(seed: int) -> None:
    """Most of what is new is then encoded twice, and stored ahead of the record."""
    assert live([*steps(seed, 100), *AHEAD], stores_ahead=True).times_ahead


def test_a_removed_key_is_remembered_as_long_as_a_chunk_has_it() -> None:
    live(REMEMBERED)


@pytest.mark.parametrize("bug", first_of(PLANTED))
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that finds no bug that is there finds none that comes."""
    target, name, replacement = PLANTED[bug]
    monkeypatch.setattr(target, name, replacement)

    is_ahead = bug.startswith("what was not kept")

    assert any(fails(seed, is_ahead) for seed in range(-1, 40)) if bug not in ONLY_COSTLY else is_costly(), (
        "nothing shows it"
    )


def test_a_tail_that_would_not_be_worth_a_chunk_is_left_alone() -> None:
    """Nothing is added up for it, at any of its checkpoints."""
    mapping = tail_of(1_000, 999)
    assert mapping.is_idle
    for _ in range(50):
        mapping.settle()
    assert mapping.rent == 0

    mapping.put("one more", b"x")

    assert not mapping.is_idle
    mapping.settle()
    mapping.settle()
    assert mapping.rent > 0


def test_a_store_without_chunks_leaves_every_tail_alone() -> None:
    assert tail_of(10_000_000, blob_cost=math.inf).is_idle


def tail_of(*sizes: int, blob_cost: float = 8192) -> ChunkedMapping:
    mapping = ChunkedMapping(Thresholds(blob_cost, worth=2000), is_list=False, retired=lambda names: None)
    for number, size in enumerate(sizes):
        mapping.put(f"key {number}", b"x" * size)
    return mapping


AHEAD: Final[list[Step]] = [*(("set_key", key, 7 * key) for key in range(12)), ("save_ahead", 0, 0)]

REMEMBERED: Final[list[Step]] = [
    *[("set_key", key, key) for key in range(25)],
    *[("save", 0, 0)] * 3,
    ("delete_key", 0, 0),
    *[step for number in range(60) for step in (("set_key", 20 + number % 5, number), ("save", 0, 0))],
]
"""A key is removed of which a full chunk has a copy, and what remembers that is merged over and over."""


_FIRST: Final[Step] = ("set_key", 1, 1)
_SAVE: Final[Step] = ("save", 0, 0)
SAME_KEYS: Final[list[Step]] = [
    *[("set_key", key, key) for key in range(25)],
    *[_SAVE] * 3,
    *[_FIRST, _SAVE] * 3,
    *[_FIRST, ("set_key", 2, 7), _SAVE] * 3,
    *[_FIRST, ("set_key", 2, 3), ("put_again", 1, 2), _SAVE] * 2,
    *[_FIRST, ("set_key", 2, 4), ("delete_key", 3, 0), _SAVE],
    ("delete_key", 2, 0),
    *[step for number in range(4) for step in (("set_key", 1, number), ("set_text", number, 40), _SAVE)],
    *[step for number in range(20) for step in (("append", 2, number), ("set_text", 1, number), _SAVE)],
    *[("set_text", 1, 7), _SAVE, ("become_something_else", 0, 3), ("set_text", 1, 8), _SAVE],
]
"""Again and again the same few keys are set, of a mapping with chunks; then others, in another place, and one is removed.
Then values come that are chunks by themselves, and at last a list that is apart becomes a short text."""
LIVES: Final = {-1: SAME_KEYS, 0: REMEMBERED}


def test_what_is_stored_for_the_same_keys_is_right_for_others() -> None:
    live(SAME_KEYS)


def fails(seed: int, stores_ahead: bool) -> bool:
    try:
        live(LIVES.get(seed) or steps(seed, 100), stores_ahead=stores_ahead)
    except Exception:
        return True
    return False


ONLY_COSTLY: Final = {
    "nothing is merged",
    "what is apart is flushed while it refers to chunks",
    "what is nested is never put into chunks",
}
"""Every checkpoint is right, and too large."""


def is_costly() -> bool:
    return not all(costs_what_changed(acts) for acts in ("append/set_key/set_key", "append"))


# what it costs


COSTS: Final = [
    "append",
    "set_key",
    "set_item",
    "set_node",
    "add_token",
    "append set_item set_key",
    "append/set_key/set_key",
]


@pytest.mark.parametrize("acts", COSTS)
def test_a_checkpoint_costs_what_changed_however_much_there_is(acts: str) -> None:
    assert costs_what_changed(acts)


def costs_what_changed(acts: str) -> bool:
    """Four times as many checkpoints write about four times as much."""
    few, many = repeated(acts, 100), repeated(acts, 400)
    return (
        many.bytes_in_records < 4 * 1.35 * few.bytes_in_records and many.bytes_in_blobs < 4 * 1.35 * few.bytes_in_blobs
    )


def repeated(acts: str, count: int) -> History:
    """A history in which the same happens over and over, each time with a checkpoint.

    :param acts: what happens at once; after a slash, at the next time.
    """
    history = History(SMALL._replace(largest=10_000, ratio=4))
    for number in range(count):
        turns = acts.split("/")
        for act in turns[number % len(turns)].split():
            history.step((act, 7 * number, number))
        history.store(history.encode())
    return history
