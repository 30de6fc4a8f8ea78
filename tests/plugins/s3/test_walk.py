"""Ids come in their own order, from any id on, and a page of them costs a page: S3 lists them in another order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_backend_s3.listing.listed import ListedGraphs
from spark_backend_s3.listing.walk import GraphWalk
from spark_backend_s3.names import Keys, beginning_of, quote
from spark_backend_s3.objects import Listed, Page
from spark_backend_s3.scan import Entry
from spark_testing import HOSTILE_IDS
from tests.support.variants import first_of

KEYS = Keys("runs/")
TIME = datetime(2026, 1, 1, tzinfo=UTC)
long_beginnings = st.sampled_from(["x" * 77, "x" * 78, "x" * 79, "x" * 80, "x" * 90, "é" * 13, "é" * 14])
parts = st.sampled_from(
    ["a", "b", "-", ".", "/", "_", "0", "Z", "!", " ", "é", "\uff01", "🙈", "\ud83d", "~", "x" * 75, "é" * 12]
)
short_ids = st.lists(parts, max_size=5).map("".join)
long_ids = st.tuples(long_beginnings, st.lists(parts, max_size=3).map("".join), st.sampled_from(["", "y" * 100])).map(
    "".join
)
ids = short_ids | long_ids | st.sampled_from(HOSTILE_IDS)


class Listing:
    """Keys in order, a page at a time, as S3 gives them; and how many pages were asked for."""

    def __init__(self, names: dict[str, int], *, size: int) -> None:
        """So many records of each name; of -n, there are n emptied places."""
        self._size = size
        self._objects = sorted(
            (
                Listed(KEYS.record(name, each), count > 0, "etag", TIME)
                for name, count in names.items()
                for each in range(1, abs(count) + 1)
            ),
            key=lambda found: found.key,
        )
        self._keys = [found.key for found in self._objects]
        self.requests = 0

    async def page(
        self, prefix: str, *, action: str, limit: int = 1000, after: str = "", more: str | None = None
    ) -> Page:
        self.requests += 1
        begin = max(bisect_right(self._keys, after), bisect_left(self._keys, prefix))
        end = bisect_left(self._keys, prefix + "\U0010ffff")
        size = min(limit, self._size)
        return Page(self._objects[begin : min(end, begin + size)], TIME, "more" if end - begin > size else None)


async def walked(
    listing: Any, known: Sequence[str], prefix: str = "", after: str | None = None, limit: int | None = None
) -> list[str]:
    by_name = {quote(each): each for each in known}

    async def long_ids(entries: Sequence[Entry]) -> list[str | None]:
        return [by_name[entry.name] for entry in entries]

    listed = ListedGraphs(listing, KEYS, beginning_of(prefix), action="walk")
    found: list[str] = []
    async for batch in GraphWalk(listed, prefix=prefix, after=after, long_ids=long_ids).batches():
        found += [graph_id for graph_id, _ in batch]
        if limit is not None and len(found) >= limit:
            break
    return found[:limit]


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(ids, st.integers(-3, 3).filter(bool), max_size=30),
    ids,
    ids | st.none(),
    st.integers(1, 8),
    st.integers(1, 5),
)
async def test_ids_come_in_order(graphs: dict[str, int], prefix: str, after: str | None, size: int, limit: int) -> None:
    listing = Listing({quote(graph_id): count for graph_id, count in graphs.items()}, size=size)
    there = sorted(graph_id for graph_id, count in graphs.items() if count > 0)
    for beginning in ("", prefix, prefix[:-1]):
        wanted = [each for each in there if each.startswith(beginning) and (after is None or each > after)]

        assert await walked(listing, there, beginning, after) == wanted
        assert await walked(listing, there, beginning, after, limit) == wanted[:limit]


@pytest.mark.parametrize("form", first_of(["{:d}", "日{:d}本", "run-{:06d}", "order {:d}: eu"], always=2))
async def test_pages_cost_as_much_more_as_there_are_more_graphs(form: str) -> None:
    """From a store that lists 200 objects at a time; each graph has six."""
    costs = list[int]()
    for count in (300, 1_200):
        known = [form.format(number) for number in range(count)]
        listing, after, seen = Listing({quote(graph_id): 6 for graph_id in known}, size=200), None, list[str]()
        while page := await walked(listing, known, after=after, limit=50):
            after = page[-1]
            seen += page

        assert seen == sorted(known)
        costs.append(listing.requests)
    assert costs[1] <= 5 * costs[0]
    listing.requests = 0
    assert await walked(listing, known) == sorted(known)
    assert listing.requests <= 6 * count / 200 + 7


async def test_long_ids_are_listed_in_order_and_each_page_lists_those_that_begin_alike() -> None:
    known = ["x" * 90 + f"-{number}-" + "y" * 80 for number in range(100)]
    listing = Listing({quote(graph_id): 2 for graph_id in known}, size=50)

    assert await walked(listing, known, "x" * 85, limit=10) == sorted(known)[:10]
    assert listing.requests <= 2 * 100 / 50 + 2
