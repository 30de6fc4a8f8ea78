"""Ids become file names that stay where they belong, and that stand for one id only."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_backend_file.names import (
    alias_name,
    is_hashed,
    quote,
    record_name,
    sequence_of,
    split_alias,
    unquote,
)

SAFE = set(string.ascii_letters + string.digits + "_-.%~")
any_text = st.text(st.characters(), max_size=300)


@settings(deadline=None)
@given(any_text)
def test_a_name_stays_in_its_folder(text: str) -> None:
    name = quote(text)

    assert set(name) <= SAFE
    assert 0 < len(name) <= 150
    assert not name.startswith(".")


@settings(deadline=None)
@given(any_text)
def test_a_name_gives_back_its_id_or_says_that_it_can_not(text: str) -> None:
    name = quote(text)

    assert unquote(name) == (None if is_hashed(name) else text)


@settings(deadline=None)
@given(st.text(alphabet="a~%.é\0/", max_size=60), st.text(alphabet="a~%.é\0/", max_size=60))
def test_two_ids_never_share_a_name(one: str, other: str) -> None:
    assert (quote(one) == quote(other)) == (one == other)


def test_long_ids_that_begin_alike_have_different_names() -> None:
    assert quote("é" * 200) != quote("é" * 199)
    assert quote("x" * 5_000) != quote("x" * 5_001)


def test_an_id_can_not_pass_for_the_hash_of_another() -> None:
    hashed = quote("x" * 5_000)

    assert quote(hashed) != hashed


@pytest.mark.parametrize("name", ["a b", "%2f", "%41", "%zz", "é", ".x", "", "%FF", "lost+found", "a%", "x~y", "%" * 2])
def test_names_that_quote_never_makes_stand_for_nothing(name: str) -> None:
    """What else lies in the directory is none of our business, and nothing is read as two ids."""
    assert unquote(name) is None


@pytest.mark.parametrize("name", ["000000000001.ckpt.x", "1.ckpt", "00000000000a.ckpt", ".tmp-1", "٠٠٠٠٠٠٠٠٠٠٠١.ckpt"])
def test_only_the_exact_form_is_the_name_of_a_record(name: str) -> None:
    assert sequence_of(name) is None
    assert sequence_of(record_name(42)) == 42


@settings(deadline=None)
@given(any_text)
def test_an_alias_holds_id_and_sequence(text: str) -> None:
    assert split_alias(alias_name(quote(text), 7)) == (quote(text), 7)
