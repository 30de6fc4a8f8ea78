"""The timeline: rows for nodes, marks for checkpoints, bars for what lies between, as many as a reader can tell apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from spark.graphs.checkpoint import CheckpointInfo, HistoryEntry
from spark_ui.views.journal import Wait
from spark_ui.views.past import Past
from spark_ui.views.timeline import ROW, WIDTH, Drawing, drawing

BEGIN = datetime(2026, 3, 9, 8, tzinfo=UTC)


def entry(sequence: int, seconds: float, node: str, iteration: int, **more: Any) -> HistoryEntry:
    """One checkpoint of a history, which continues the one before."""
    info = CheckpointInfo(
        checkpoint_id=f"c{sequence}",
        graph_id="g",
        sequence=sequence,
        timestamp=BEGIN + timedelta(seconds=seconds),
        size=9,
    )
    facts = {"parent": sequence - 1 or None, "reason": "trigger"} | more
    return HistoryEntry(graph_id="g", sequence=sequence, info=info, node=node, iteration=iteration, **facts)


def drawn(*entries: HistoryEntry, **how: Any) -> Drawing:
    """The timeline a minute after the last one."""
    last = entries[-1].timestamp
    assert last is not None
    return drawing(Past(entries), now=last + timedelta(minutes=1), **how)


def test_a_row_for_each_node_with_a_mark_for_each_checkpoint() -> None:
    shown = drawn(
        entry(1, 0, "a", 1), entry(2, 10, "b", 2), entry(3, 30, "a", 3), entry(4, 40, "a", 3, reason="completed")
    )

    assert [row.label for row in shown.rows] == ["a", "b", "the run"]
    assert [mark.sequence for mark in shown.rows[0].marks] == [1, 3]
    assert [mark.kind for mark in shown.rows[2].marks] == ["completed"]
    assert "step 3: within 20 s, from checkpoint #2 to #3" in [span.title for span in shown.rows[0].spans]
    assert shown.missing == 0


def test_steps_without_a_checkpoint_are_counted_and_said() -> None:
    shown = drawn(entry(1, 0, "a", 1), entry(2, 10, "b", 6), entry(3, 11, "b", 6, reason="completed"))

    assert shown.missing == 4
    assert shown.rows[1].spans[0].title.startswith("5 steps, the last one here")


def test_while_it_stood_still_no_step_is_shown() -> None:
    shown = drawn(entry(1, 0, "a", 1), entry(2, 1, "a", 1, reason="interrupted"), entry(3, 3600, "b", 2))

    assert [(band.kind, band.title) for band in shown.bands] == [("interrupted", "interrupted after #2")]
    assert all(row.spans == () for row in shown.rows)


def test_two_branches_of_a_history_stand_one_below_the_other() -> None:
    shown = drawn(entry(1, 0, "a", 1), entry(2, 1, "b", 2), entry(3, 50, "b", 2, parent=1))

    assert [(row.label, row.line) for row in shown.rows] == [("a", 0), ("b", 0), ("b", 1)]
    assert [heading for _, heading in shown.headings] == ["older branch, from #1"]


def test_what_a_run_waits_for_is_a_bar_until_it_is_due() -> None:
    wait = Wait(node="pay", signal="paid", since=BEGIN + timedelta(seconds=5), due=BEGIN + timedelta(seconds=9))

    shown = drawn(entry(1, 0, "a", 1), entry(2, 10, "a", 2), waits=[wait])

    (span,) = shown.rows[-1].spans
    assert (shown.rows[-1].label, span.kind, span.title) == ("pay", "wait", "pay waits for signal paid")


def test_thousands_of_checkpoints_are_drawn_as_few_marks() -> None:
    entries = [entry(number, number / 10, f"n{number % 7}", number) for number in range(1, 5001)]

    whole = drawn(*entries)
    part = drawn(
        *entries, first=(BEGIN + timedelta(seconds=100)).timestamp(), last=(BEGIN + timedelta(seconds=102)).timestamp()
    )

    assert sum(len(row.marks) + len(row.spans) for row in whole.rows) < 7 * WIDTH // 2
    assert sum(mark.count for row in whole.rows for mark in row.marks) == 5000
    assert sum(mark.count for row in part.rows for mark in row.marks) < 40
    assert all(mark.count == 1 for row in part.rows for mark in row.marks)


def test_many_nodes_share_the_last_row() -> None:
    shown = drawn(*(entry(number, number, f"n{number}", number) for number in range(1, 101)))

    assert (len(shown.rows), shown.rows[-1].label) == (40, "61 other nodes")


def test_by_checkpoint_all_stand_equally_far_apart() -> None:
    shown = drawn(entry(1, 0, "a", 1), entry(2, 1, "a", 2), entry(3, 86400, "a", 3), by_step=True)

    first, second, third = (mark.x for mark in shown.rows[0].marks)
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_whatever_part_is_asked_for_there_is_a_drawing() -> None:
    entries = [entry(1, 0, "a", 1), entry(2, 1, "a", 2)]

    for first, last in ((1e300, -1e300), (0, 0), (5, 1), (-1e18, 1e18)):
        for by_step in (False, True):
            assert drawn(*entries, first=first, last=last, by_step=by_step).last > 0
    assert drawn(entry(1, 0, "a", 1)).count == 1


def test_a_damaged_record_has_its_place() -> None:
    damaged = HistoryEntry(graph_id="g", sequence=2, info=None, damage="bad checksum")

    shown = drawn(entry(1, 0, "a", 1), damaged, entry(3, 5, "a", 3))

    assert [row.label for row in shown.rows if any("can't be read" in mark.title for mark in row.marks)] == ["damaged"]


def test_it_says_from_when_to_when_it_reaches_and_where_days_begin() -> None:
    shown = drawn(entry(1, 0, "a", 1), entry(2, 86_400, "b", 2, reason="completed"))

    assert shown.period == "2026-03-09 07:31:12 to 2026-03-10 08:28:48 UTC"
    assert "2026-03-10" in [label for _, label in shown.grid]
    assert drawn(entry(1, 0, "a", 1), by_step=True).period == ""


def test_below_the_last_row_nothing_is_left_empty() -> None:
    shown = drawn(entry(1, 0, "a", 1), entry(2, 10, "b", 2))

    assert shown.height == shown.rows[-1].y + ROW + 6
