"""A page of a run whose state is large reads what it shows, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.support.counting_reads import CountingReads
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import Served, serving


@pytest.fixture
def store(tmp_path: Path) -> CountingReads:
    url = f"sqlite:///{tmp_path}/runs.db"
    asyncio.run(programs.run("large", url, "big"))
    return CountingReads(url)


@pytest.fixture
def view(store: CountingReads) -> Iterator[Served]:
    with serving(store) as served:
        yield served.open()


def test_the_state_is_read_for_the_page_that_shows_it(store: CountingReads, view: Served) -> None:
    page = view.get("/run/big?at=1").text
    view.get("/run/big/timeline")

    assert "<svg" in page
    assert store.read < 10_000

    view.get("/run/big?at=1&show=tree")
    assert store.read > 1_000_000


def test_a_page_that_does_not_read_the_state_still_says_that_a_part_is_missing(
    store: CountingReads, view: Served
) -> None:
    async def lose() -> None:
        await store.delete_blobs("big", await store.blob_names("big"))

    asyncio.run(lose())

    page = view.get("/run/big?at=1").text
    assert "A part of this checkpoint can&#39;t be read" in page or "A part of this checkpoint can't be read" in page
    assert "are missing" in page
