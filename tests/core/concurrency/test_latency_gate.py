"""What the event loop's thread does itself: what is fast there, and now and then a trial where it might be."""

from __future__ import annotations

from spark.graphs.concurrency.latency_gate import LARGEST, LONGEST, TOLERABLE, LatencyGate

FAST, SLOW = LONGEST / 4, LONGEST * 10


def test_nothing_is_tried_before_another_thread_was_tolerable() -> None:
    latency_gate = LatencyGate()
    assert not latency_gate.is_fast()

    latency_gate.took_elsewhere(TOLERABLE * 2)
    assert not any(latency_gate.is_fast() for _ in range(100))

    latency_gate.took_elsewhere(TOLERABLE / 2)
    assert latency_gate.is_fast()


def test_after_a_fast_trial_it_goes_on_so() -> None:
    latency_gate = LatencyGate()
    latency_gate.took_elsewhere(TOLERABLE / 2)
    assert latency_gate.is_fast()

    latency_gate.took(FAST)

    assert all(latency_gate.is_fast() for _ in range(100))


def test_after_a_slow_trial_the_next_is_far_off() -> None:
    latency_gate = LatencyGate()
    latency_gate.took_elsewhere(TOLERABLE / 2)
    assert latency_gate.is_fast()

    latency_gate.took(SLOW)

    assert 2 <= sum(latency_gate.is_fast() for _ in range(100)) <= 4


def test_one_slow_time_is_forgiven_and_two_are_not() -> None:
    latency_gate = LatencyGate()
    for _ in range(20):
        latency_gate.took(FAST)

    latency_gate.took(SLOW)
    assert latency_gate.is_fast()
    latency_gate.took(SLOW)
    latency_gate.took_elsewhere(TOLERABLE * 2)
    assert not latency_gate.is_fast()


def test_graphs_by_turns_and_large_saves_are_not_for_the_event_loop() -> None:
    latency_gate = LatencyGate()
    latency_gate.took(FAST)

    assert [latency_gate.allows_save(graph, 1) for graph in ("a", "a", "b", "a", "a")] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert not latency_gate.allows_save("a", LARGEST + 1)
