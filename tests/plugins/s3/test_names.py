"""Ids become keys that stay where they belong, that every store takes as they are, and that stand for one id only."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_backend_s3.names import LAST_SEQUENCE, Keys, is_hashed, quote, unquote
from spark_testing import HOSTILE_IDS

PLAIN = set(string.ascii_letters + string.digits + "-_.!")
HOSTILE = [*HOSTILE_IDS, "", "x\0y", "x" * 5_000, "\ud800", "a\nb"]
any_text = st.text(st.characters(), max_size=300)
sequences = st.integers(1, LAST_SEQUENCE)


@settings(deadline=None)
@given(any_text)
def test_a_name_stays_in_its_place(text: str) -> None:
    name = quote(text)

    assert set(name) <= PLAIN
    assert 0 < len(name) <= 150
    assert not name.startswith(".")


@settings(deadline=None)
@given(any_text)
def test_a_name_gives_back_its_id_or_says_that_it_can_not(text: str) -> None:
    name = quote(text)

    assert unquote(name) == (None if is_hashed(name) else text)


@settings(deadline=None)
@given(st.text(alphabet="a!2E.é\0/", max_size=60), st.text(alphabet="a!2E.é\0/", max_size=60))
def test_two_ids_never_share_a_name(one: str, other: str) -> None:
    assert (quote(one) == quote(other)) == (one == other)


def test_hostile_ids_have_names_of_their_own() -> None:
    names = {quote(hostile) for hostile in HOSTILE}

    assert len(names) == len(set(HOSTILE))
    assert set("".join(names)) <= PLAIN


def test_an_id_can_not_pass_for_the_hash_of_another() -> None:
    hashed = quote("x" * 5_000)

    assert quote(hashed) != hashed


@settings(deadline=None)
@given(any_text, sequences)
def test_a_key_says_what_it_was_made_from(text: str, sequence: int) -> None:
    keys, name = Keys("a prefix/"), quote(text)

    assert keys.split_record(keys.record(name, sequence)) == (name, sequence)
    assert keys.split_marker(keys.marker(name, sequence)) == sequence
    assert keys.split_alias(keys.alias(text, name, sequence), text) == (name, sequence)
    assert keys.split_record(keys.marker(name, sequence)) is None
    assert keys.split_marker(keys.record(name, sequence)) is None


@settings(deadline=None)
@given(sequences, sequences)
def test_markers_come_first_and_then_the_newest(one: int, other: int) -> None:
    keys = Keys("")

    assert keys.marker("g", one) < keys.record("g", other)
    assert (keys.record("g", one) < keys.record("g", other)) == (one > other)
    assert keys.before_record("g", one) < keys.record("g", one)


@pytest.mark.parametrize("name", ["a b", "!2f", "!41", "!zz", "é", ".x", "", "!FF", "a!", "x%2Fy", "!" * 2])
def test_names_that_quote_never_makes_stand_for_nothing(name: str) -> None:
    assert unquote(name) is None


def test_keys_fit_into_s3() -> None:
    keys = Keys("x" * 500 + "/")
    long = "🙈" * 256

    assert len(keys.alias(long, "g" * 150, 10**12 - 1).encode()) <= 1024
