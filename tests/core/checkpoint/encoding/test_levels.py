"""What a policy of sizes promises: few chunks, few bytes written again, and little that is dead."""

from __future__ import annotations

import random

import pytest

from spark.graphs.checkpoint.encoding.levels import (
    ChunkSize,
    Thresholds,
    divided,
    is_bought_at_once,
    is_flush_due,
    is_large,
    level,
    limit,
    to_rewrite,
)

STORE = Thresholds(8 * 1024)
KB, MB = 1024, 2**20


@pytest.mark.parametrize("size", [2_000, 9_000, 100_000])
def test_of_what_grows_there_are_few_chunks_and_each_byte_is_written_a_few_times(size: int) -> None:
    chunks: list[ChunkSize] = []
    written = total = most = 0
    for _ in range(10 * MB // size):
        total += size
        full = limit(STORE, total)
        old = to_rewrite(STORE, chunks, written=size, limit=full)
        merged = size + sum(chunks[place].live for place in old)
        chunks = [chunk for place, chunk in enumerate(chunks) if place not in old] + [ChunkSize(merged, 0)]
        written += merged
        most = max(most, len(chunks))

    assert most <= 3 * STORE.ratio + 64
    assert written < 4.5 * total


def test_what_is_more_than_half_dead_is_written_again() -> None:
    chunks = [ChunkSize(10, 9), ChunkSize(9, 10), ChunkSize(2 * MB, 3 * MB)]

    assert to_rewrite(STORE, chunks, written=0, limit=MB) == [1, 2]


def test_a_large_item_that_is_a_chunk_by_itself_is_not_written_again() -> None:
    large, small = ChunkSize(200_000, 0, is_single=True), ChunkSize(5_000, 0, is_single=True)

    assert to_rewrite(STORE, [large] * 100, written=0, limit=MB) == []
    assert to_rewrite(STORE, [small] * 100, written=0, limit=MB) == [*range(100)]


def test_at_most_half_of_what_is_kept_is_dead_while_items_change() -> None:
    source = random.Random(1)
    chunks = [ChunkSize(MB, 0)] * 10
    for _ in range(5_000):
        place = source.randrange(len(chunks))
        live, dead, _ = chunks[place]
        lost = min(live, 4_000)
        chunks[place] = ChunkSize(live - lost, dead + lost)
        old = to_rewrite(STORE, chunks, written=lost, limit=MB)
        merged = lost + sum(chunks[place].live for place in old)
        chunks = [chunk for place, chunk in enumerate(chunks) if place not in old] + [ChunkSize(merged, 0)]
        assert sum(chunk.dead for chunk in chunks) <= sum(chunk.live for chunk in chunks)


def test_full_chunks_are_larger_in_a_large_mapping() -> None:
    assert [limit(STORE, total) for total in (0, 64 * MB, 64 * MB + 1, 10**10)] == [MB, MB, 4 * MB, 256 * MB]


def test_every_chunk_but_the_last_is_full_and_none_is_much_more() -> None:
    assert divided([4, 4, 4, 4, 4], limit=8) == [2, 2, 1]
    assert divided([1, 20, 3], limit=8) == [2, 1]
    assert divided([], limit=8) == []


def test_levels_are_sixteenfold() -> None:
    assert [level(size) for size in (0, 4 * KB - 1, 4 * KB, 64 * KB - 1, 64 * KB, MB)] == [0, 0, 1, 1, 2, 3]


def test_what_stays_is_put_into_a_chunk_once_that_costs_less() -> None:
    assert not is_flush_due(STORE, cold=3 * KB, rent=4 * KB)
    assert is_flush_due(STORE, cold=3 * KB, rent=5 * KB)
    assert not is_flush_due(STORE, cold=1 * KB, rent=50 * KB), "the reference would take its place"
    assert not is_flush_due(Thresholds(), cold=10**9, rent=10**12), "a store without blobs has no chunks"


def test_what_is_large_or_much_is_put_there_at_once() -> None:
    assert is_large(STORE, 8 * KB)
    assert not is_large(STORE, 8 * KB - 1)
    assert is_bought_at_once(STORE, 128 * KB, is_constant=False, is_growing=False)
    assert not is_bought_at_once(STORE, 127 * KB, is_constant=False, is_growing=True)
    assert not is_bought_at_once(Thresholds(), 10**12, is_constant=True, is_growing=True)


def test_what_never_changes_is_put_there_at_once_even_if_it_is_small() -> None:
    assert is_bought_at_once(STORE, 256, is_constant=True, is_growing=False)
    assert not is_bought_at_once(STORE, 255, is_constant=True, is_growing=False)


def test_what_is_appended_is_put_there_at_once_where_blobs_are_cheap() -> None:
    databases, files = Thresholds.of_store(8 * KB), Thresholds.of_store(128 * KB)

    assert is_bought_at_once(databases, 512, is_constant=False, is_growing=True)
    assert not is_bought_at_once(databases, 511, is_constant=False, is_growing=True)
    assert not is_bought_at_once(files, 1024 * KB, is_constant=False, is_growing=True)
