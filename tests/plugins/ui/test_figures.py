"""Figures have units, and texts have nothing in them that can't be seen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from markupsafe import Markup

from spark_ui.pages.figures import ago, count, counted, cut, size, spelt, until
from tests.plugins.ui.demo_store import NOW


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (2_500_000_000, "2.50 GB"),
        (7 * 10**15, "7000 TB"),
    ],
)
def test_sizes_have_three_digits_and_a_unit(number: int, text: str) -> None:
    assert size(number) == text


def test_numbers_have_their_thousands_apart_where_they_are_long() -> None:
    assert [count(1), count(9999), count(10_000), count(1_234_567)] == [
        "1",
        "9999",
        "10\u202f000",
        "1\u202f234\u202f567",
    ]
    assert spelt(count(10_000)) == "10\u202f000"
    assert [counted(1, "question"), counted(0, "question")] == ["1 question", "0 questions"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7_199, "1 h"), (200_000, "2 d")]
)
def test_ages_are_in_their_largest_unit(seconds: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_what_is_due_is_said_to_be() -> None:
    assert until(NOW + timedelta(minutes=12, seconds=5), NOW) == "in 12 min"
    assert until(NOW - timedelta(minutes=3), NOW) == "due for 3 min"


def test_what_cant_be_seen_is_spelt() -> None:
    assert spelt("a\x00b\u202ec\ud800") == "a\\x00b\\u202ec\\ud800"
    assert (
        spelt("two\nlines\tand \u00a0\u0627\U0001f469\u200d\U0001f680")
        == "two\nlines\tand \u00a0\u0627\U0001f469\u200d\U0001f680"
    )
    assert spelt(Markup("\x00")) == "\x00"
    assert spelt(7) == 7


def test_long_texts_are_cut() -> None:
    assert [cut("abc", 3), cut("abcd", 3)] == ["abc", "ab…"]
