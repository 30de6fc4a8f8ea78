"""How texts are measured and wrapped without a font."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_drawing.text import clean, width_of, wrapped
from tests.plugins.drawing.support import TEXTS


@settings(deadline=None)
@given(TEXTS.map(clean), st.integers(1, 3))
def test_each_line_fits_and_nothing_is_lost_without_a_sign(text: str, lines: int) -> None:
    rows = wrapped(text, size=13, width=150, lines=lines)

    assert 1 <= len(rows) <= lines
    assert all(width_of(row, size=13) <= 150 for row in rows)
    assert "…" in rows[-1] or "".join(rows).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("review", ("review",)),
        ("fetch_the_latest_orders_of_a_customer", ("fetch_the_", "latest_orders_", "of_a_customer")),
        ("FetchTheLatestOrders", ("FetchTheLatest", "Orders")),
        ("kind='batch', each documents", ("kind='batch',", "each documents")),
        ("読み込む仕事をする節点", ("読み込む仕事", "をする節点")),
        ("x" * 80 + "#12", ("x" * 17, "x" * 17, "xxxxxxxx…xxxx#12")),
    ],
)
def test_lines_end_where_words_do_and_the_end_of_a_name_stays(text: str, rows: tuple[str, ...]) -> None:
    assert wrapped(text, size=13, width=120, lines=3) == rows


def test_wide_and_joined_characters_are_measured_as_such() -> None:
    assert width_of("語", size=10) > width_of("m", size=10) > width_of("i", size=10)
    assert width_of("e\u0301", size=10) == width_of("e\u20dd\u200d", size=10) == width_of("e", size=10)
    assert width_of("🎈", size=10) > width_of("語", size=10)


def test_an_accent_stays_with_its_letter() -> None:
    rows = wrapped("e\u0301" * 200, size=13, width=50, lines=3)

    assert not any(row.startswith("\u0301") or "…\u0301" in row for row in rows)


def test_what_is_wider_than_a_line_is_not_waited_for() -> None:
    assert len(wrapped("🧑\u200d🚀\u200d" * 60, size=13, width=50, lines=2)) == 2


def test_what_xml_can_not_hold_is_replaced() -> None:
    assert clean("a\x00b\tc\nd\u202ee\ud800f\uffffg🎈\u200d") == "a\ufffdb c d\ufffde\ufffdf\ufffdg🎈\u200d"
