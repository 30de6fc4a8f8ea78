"""What tests of the browser view share: one browser for each test process, and one store to look at.

A module with tests in the browser says ``pytestmark = pytest.mark.asyncio(loop_scope="session")``: they run on one event loop,
with the browser.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from spark_ui.access import fresh, sizes
from spark_ui.run import page
from spark_ui.views.search import search
from tests.plugins.ui.demo_store import DemoStore, make_demo_store
from tests.plugins.ui.serving import Served, serving

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture(autouse=True)
def _seen_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show the store as it is, however long reading takes on a busy machine; ``test_fresh.py`` is about the rest."""
    monkeypatch.setattr(sizes, "_PATIENCE", 60)
    monkeypatch.setattr(page, "search", partial(search, seconds=60))
    if not request.path.match("test_fresh.py"):
        monkeypatch.setattr(fresh, "_QUICK", float("inf"))
        monkeypatch.setattr(fresh, "_SHARE", 0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window; the test is skipped where there is none."""
    from tests.plugins.ui.browser import running_browser

    async with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def demo() -> DemoStore:
    """A store with a run in every status, which no test changes."""
    return make_demo_store("memory://")


@pytest.fixture(scope="session")
def demo_view(demo: DemoStore) -> Iterator[Served]:
    """Its view, served and opened."""
    with serving(demo.backend, clock=demo.clock.utc_now) as served:
        yield served.open()
