"""What the event loop's thread does itself: what is fast there, and now and then a trial where it might be."""

from __future__ import annotations

from spark.graphs.concurrency.pace import LARGEST, LONGEST, TOLERABLE, Pace

FAST, SLOW = LONGEST / 4, LONGEST * 10


def test_nothing_is_tried_before_another_thread_was_tolerable() -> None:
    pace = Pace()
    assert not pace.is_fast()

    pace.took_elsewhere(TOLERABLE * 2)
    assert not any(pace.is_fast() for _ in range(100))

    pace.took_elsewhere(TOLERABLE / 2)
    assert pace.is_fast()


def test_after_a_fast_trial_it_goes_on_so() -> None:
    pace = Pace()
    pace.took_elsewhere(TOLERABLE / 2)
    assert pace.is_fast()

    pace.took(FAST)

    assert all(pace.is_fast() for _ in range(100))


def test_after_a_slow_trial_the_next_is_far_off() -> None:
    pace = Pace()
    pace.took_elsewhere(TOLERABLE / 2)
    assert pace.is_fast()

    pace.took(SLOW)

    assert 2 <= sum(pace.is_fast() for _ in range(100)) <= 4


def test_one_slow_time_is_forgiven_and_two_are_not() -> None:
    pace = Pace()
    for _ in range(20):
        pace.took(FAST)

    pace.took(SLOW)
    assert pace.is_fast()
    pace.took(SLOW)
    pace.took_elsewhere(TOLERABLE * 2)
    assert not pace.is_fast()


def test_graphs_by_turns_and_large_saves_are_not_for_the_event_loop() -> None:
    pace = Pace()
    pace.took(FAST)

    assert [pace.allows_save(graph, 1) for graph in ("a", "a", "b", "a", "a")] == [False, True, False, False, True]
    assert not pace.allows_save("a", LARGEST + 1)
