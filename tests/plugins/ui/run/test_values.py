"""A stored value on one line, opened a page at a time, and searched: whatever it is, and however large."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from spark.graphs.checkpoint import RawObject
from spark_ui.views.reading import readable
from spark_ui.views.search import search
from spark_ui.views.tree import opened, value_at
from spark_ui.views.values import LONGEST, WINDOW, children, printable, shown

ORDER = RawObject("my_app:Order", {"number": 17, "item": "kettle", "lines": [1, 2]})


@pytest.mark.parametrize(
    ("value", "kind", "preview", "size"),
    [
        ("yes", "text", "yes", ""),
        ("two\nlines", "text", "two\\nlines", "9 characters"),
        ("a\u202eb", "text", "a\\u202eb", ""),
        (42, "number", "42", ""),
        pytest.param(10**5000, "number", "a whole number of 16,610 bits", "", id="huge"),
        (float("nan"), "number", "nan", ""),
        (None, "nothing", "None", ""),
        (True, "flag", "True", ""),
        (Decimal("1.50"), "other", "Decimal('1.50')", ""),
        (b"\x00\xff", "bytes", "00 ff", "2 bytes"),
        (datetime(2026, 3, 9, tzinfo=UTC), "moment", "2026-03-09 00:00:00+00:00", ""),
        ([1, [2, 3], {}], "list", "[1, […2…], {}]", "3 items"),
        ({"a": "b", 2: (1,)}, "mapping", '{"a": "b", 2: (…1…)}', "2 keys"),
        (list(range(1000)), "list", "[0, 1, 2, 3, 4, 5, 6, 7, … 992 more]", "1,000 items"),
        (ORDER, "object", 'Order(number=17, item="kettle", lines=[…2…])', "3 fields"),
    ],
)
def test_a_value_is_shown_on_one_line(value: Any, kind: str, preview: str, size: str) -> None:
    line = shown(value)

    assert (line.kind, line.preview, line.size) == (kind, preview, size)


def test_no_preview_is_long() -> None:
    many = [{"text": "x" * 10_000, "more": ["y" * 10_000] * 100}] * 100_000

    assert all(len(shown(value).preview) <= LONGEST for value in (many, many[0], "z" * 10**6, {"k" * 10_000: 1}))


def test_a_page_of_children_names_each_by_a_path() -> None:
    value = {"plain": 1, "my key": 2, 3: ORDER}

    assert [child.step for child in children(value)] == [".plain", "['my key']", "[3]"]
    assert [(child.label, child.value) for child in children(ORDER)] == [
        ("number", 17),
        ("item", "kettle"),
        ("lines", [1, 2]),
    ]
    assert [child.label for child in children(list(range(2000)), 1000, limit=2)] == ["1,000", "1,001"]


def test_a_branch_of_the_tree_is_opened_by_its_address_a_page_at_a_time() -> None:
    root = {"graph_state": {"orders": [{"total": number} for number in range(250)]}}

    first = opened(root, "0.0")
    last = opened(root, "0.0", start=200)

    assert first is not None
    assert last is not None
    assert (first.branch.path, len(first.children), first.end, first.total) == ("graph_state.orders", 100, 100, 250)
    assert (last.children[-1].path, last.end) == ("graph_state.orders[249]", 250)
    assert value_at(root, "0.0.249.0") == ("graph_state.orders[249].total", 249)


def test_a_long_text_is_opened_in_windows() -> None:
    text = "".join(f"line {number}\n" for number in range(5000))

    first = opened({"graph_state": {"text": text}}, "0.0")
    second = opened({"graph_state": {"text": text}}, "0.0", start=WINDOW)

    assert first is not None
    assert second is not None
    assert (first.text, first.end, first.total) == (text[:WINDOW], WINDOW, len(text))
    assert second.text == text[WINDOW : 2 * WINDOW]


@pytest.mark.parametrize("address", ["9", "0.9", "0.0.0", "x", "-1", "0..0", "1" * 30, "0.0.0.0"])
def test_an_address_that_leads_nowhere_is_nothing(address: str) -> None:
    assert opened({"graph_state": {"one": 1}}, address) is None


def test_a_search_finds_keys_and_values_whatever_the_case() -> None:
    root = {"graph_state": {"Refund": 1, "notes": ["a REFUND of 17", {"x": "none"}], "order": ORDER}}

    hits = search(root, "refund").hits
    kettle = search(root, "Kettle").hits

    assert [(hit.branch.path, hit.where, hit.match) for hit in hits] == [
        ("graph_state.Refund", "key", "Refund"),
        ("graph_state.notes[0]", "value", "REFUND"),
    ]
    assert [(hit.branch.address, hit.before, hit.after) for hit in kettle] == [("0.2.1", "", "")]


def test_a_search_stops_in_time_and_says_so() -> None:
    many = {"graph_state": {"texts": ["needle"] * 1000}}

    found = search(many, "needle", most=10)
    cut = search({"graph_state": {"text": "x" * 10**7 + "needle"}}, "needle", seconds=0)

    assert (len(found.hits), found.last, found.looked_at) == (10, "0.0.9", 12)
    assert (cut.hits, cut.last) == ((), "0")


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_searches_that_go_on_find_everything_once(seconds: float) -> None:
    notes = [{"note": f"note {number}", "tags": {"a", number}} for number in range(300)]
    root = {"graph_state": {"notes": notes, "long": "x" * 10**7 + "note", "order": ORDER}, "facts": {"note": None}}
    whole = search(root, "note", most=10**6)

    paths, found = list[str](), search(root, "note", most=7, seconds=seconds)
    paths += [hit.branch.path for hit in found.hits]
    for _ in range(1_000):
        if found.last is None:
            break
        found = search(root, "note", most=7, seconds=seconds, after=found.last, seen=found.looked_at)
        paths += [hit.branch.path for hit in found.hits]

    assert whole.last is found.last is None
    assert found.looked_at == whole.looked_at
    assert [hit.branch.path for hit in whole.hits] == paths or seconds == 0.0
    assert {hit.branch.path for hit in whole.hits} - set(paths) <= {"graph_state.long"}, "too long for the time it has"


@pytest.mark.parametrize("after", ["99", "0.99", "x", "0..1", "0.0." * 400])
def test_a_search_after_a_place_that_is_gone_goes_on_near_it(after: str) -> None:
    assert search({"graph_state": {"a": [1]}, "facts": {"needle": 1}}, "needle", after=after).last is None


def test_a_match_is_found_where_two_pieces_of_a_long_text_meet() -> None:
    text = "x" * ((1 << 20) - 3) + "needle" + "y" * 100

    (hit,) = search({"graph_state": {"text": text}}, "needle").hits

    assert hit.match == "needle"
    assert hit.after.startswith("yyy")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
        ("a\u200db", "a\\u200db"),
        ("\U0001f469\u200d", "\U0001f469\\u200d"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("rates\u202egnp", "rates\\u202egnp"),
    ],
)
def test_what_joins_letters_stays_between_them_and_is_spelt_elsewhere(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_somebody_has_to_decide_on_is_shown_line_by_line() -> None:
    asked = {
        "order": 42,
        "draft": "Dear Mr. Doe,\nit is on its way.",
        "items": ["kettle", {"name": "lamp", "price": RawObject("decimal:Decimal", "4.90")}],
        "none": [],
    }

    assert readable(asked).split("\n") == [
        "order: 42",
        "draft: Dear Mr. Doe,",
        "  it is on its way.",
        "items:",
        "  - kettle",
        "  -",
        "    name: lamp",
        "    price:",
        "      4.90",
        "none: []",
    ]


@pytest.mark.parametrize("value", ["x" * 10_000_000, [{"a": "y" * 50}] * 1_000_000, "\n" * 10_000])
def test_what_is_long_is_cut_without_being_written_out(value: Any) -> None:
    assert len(readable(value)) == 4_001
