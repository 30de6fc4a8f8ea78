"""The page of figures is written by one command: what it writes where, and what it says of goals that are missed."""

from __future__ import annotations

import ast
import inspect

import pytest

from benchmarks.contest.process import Figures
from benchmarks.contest.rows import ROWS
from benchmarks.report import __main__ as report
from benchmarks.report import goals, page

SIZES = {row.name: row.sizes or (0,) for row in ROWS}


def test_the_page_has_a_place_for_every_block_that_is_measured() -> None:
    written = {
        node.value.elts[0].value
        for node in ast.walk(ast.parse(inspect.getsource(report)))
        if isinstance(node, ast.Yield)
        and isinstance(node.value, ast.Tuple)
        and isinstance(node.value.elts[0], ast.Constant)
    }

    assert set(page.names(report.PAGE.read_text(encoding="utf-8"))) == written


def test_a_block_is_replaced_and_what_stands_around_it_stays() -> None:
    text = "before\n<!-- measured: one -->\n\nold\n\n<!-- end: one -->\nafter <!-- measured: two --><!-- end: two -->\n"

    assert (
        page.replaced(text, "one", r"new \1")
        == "before\n<!-- measured: one -->\n\nnew \\1\n\n<!-- end: one -->\nafter <!-- measured: two --><!-- end: two -->\n"
    )


def test_a_page_without_the_block_is_refused() -> None:
    with pytest.raises(ValueError, match="one block <!-- measured: three -->"):
        page.replaced("<!-- measured: one --><!-- end: one -->", "three", "new")


def test_goals_that_are_met_are_told_from_those_that_are_missed_or_not_measured() -> None:
    """Ours takes the same for every size, and half of what the others take; the disk is full."""
    results = {
        (row, size): {
            "spark-graphs": Figures([1e-5, 1e-5], [20_000_000, 20_000_000]),
            "LangGraph": Figures([2e-5, 2e-5]),
            "floor": Figures([2e-5, 2e-5]),
        }
        for row, sizes in SIZES.items()
        for size in sizes
        if row != "graphs"
    }

    lines = list(goals.table(results))

    assert "| 1.3 × the same at 100 | 1 | 1.3 × a step with a state of 1 KB | 1 |" in lines[2]
    assert "| 0.6 × its `DeltaChannel` | 0.5 | – | – |" in lines[3]
    assert "| 16 MB | 20, **missed** | 10 MB | 20, **missed** |" in lines[4]
    [graphs] = [line for line in lines if "100 graphs" in line]
    assert graphs.count("not measured") == 2


def test_every_goal_asks_for_rows_and_sizes_that_the_contest_measures() -> None:
    results = {
        (row, size): {who: Figures([1.0], [1]) for who in ("spark-graphs", "LangGraph", "floor")}
        for row, sizes in SIZES.items()
        for size in sizes
    }

    assert not any("not measured" in line for line in goals.table(results))
