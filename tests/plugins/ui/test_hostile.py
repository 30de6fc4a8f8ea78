"""Nothing from a store is taken for HTML, a script, an address or a style, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_ui.addresses import from_segment, run_path, timeline_path, to_segment
from tests.plugins.ui.browser import tab
from tests.plugins.ui.hostile_store import HOSTILE, make_hostile_store
from tests.plugins.ui.serving import Served, serving

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.fixture(scope="module")
def store() -> InMemoryCheckpointBackend:
    return make_hostile_store()


@pytest.fixture(scope="module")
def view(store: InMemoryCheckpointBackend) -> Iterator[Served]:
    with serving(store) as served:
        yield served.open()


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("path", ["/", "/?q=harmed&status=failed&sort=-node", "/forks", "/health"])
def test_what_a_store_holds_makes_no_element_attribute_or_address(view: Served, path: str) -> None:
    for tag, attributes in Elements(view.get(path).text).found:
        assert tag not in {"iframe", "object", "embed", "base", "style", "img"}
        assert tag != "script" or (attributes.get("src") or "").startswith("/static/")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert re.match(r"[/?#](?![/\\])|$", attributes.get(name) or ""), attributes


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_search_for_anything_shows_it_as_it_is(view: Served, text: str) -> None:
    answer = view.ask(f"/?q={quote(text, errors='surrogatepass')}")

    assert answer.status == 200
    assert "window.harmed = 1</script>" not in answer.text
    assert '<img src=x onerror="' not in answer.text
    assert "\x00" not in answer.text
    assert "\u202e" not in answer.text


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_every_graph_id_has_an_address_of_one_plain_segment(text: str) -> None:
    segment = to_segment(text)

    assert re.fullmatch(r"[A-Za-z0-9_.:@+,=~-]+", segment)
    assert segment.strip(".") != ""
    assert from_segment(segment) == text


@pytest.mark.parametrize("segment", ["~2f", "~", "~4", "~41", "a b", "%2F", "..", "~ED~A0", "\u00e9"])
def test_an_address_that_is_no_graphs_is_refused(view: Served, segment: str) -> None:
    with pytest.raises(ValueError):
        from_segment(segment)
    assert view.ask(f"/run/{quote(segment)}").status == 404


async def test_pages_of_every_graph_are_found_by_the_links_of_the_list(
    view: Served, store: InMemoryCheckpointBackend
) -> None:
    linked = set(re.findall(r'<a href="(/run/[^"]+)" data-row>', view.get("/").text))

    ids = await store.graph_ids()
    assert linked == {run_path(id) for id in ids}
    for id in ids:
        assert view.ask(run_path(id)).status == view.ask(timeline_path(id)).status == 200


@pytest.mark.thorough
@pytest.mark.asyncio(loop_scope="session")
async def test_a_browser_runs_nothing_of_a_hostile_store(browser: Browser, view: Served) -> None:
    async with tab(browser, view) as page:
        for path in ("/", "/forks", "/health", "/?q=<script>window.harmed=1</script>"):
            await page.goto(path)
            await page.evaluate("import('/static/app.js').then((app) => { app.forget(); return app.refresh(); })")

            assert await page.evaluate("window.harmed") is None
            assert await page.locator("img").count() == 0


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.thorough)])
async def test_no_text_is_so_long_that_it_runs_out_of_its_page(browser: Browser, view: Served, width: int) -> None:
    longest = HOSTILE.index("x" * 200)
    graph_ids = ["x" * 200, f"names-{longest}", f"texts-{longest}"]
    async with tab(browser, view, width=width) as page:
        for path in [
            "/",
            *map(run_path, graph_ids),
            *map(timeline_path, graph_ids),
            f"{run_path(graph_ids[1])}?show=tree",
        ]:
            await page.goto(path)
            if await page.locator("#slider").count():
                await page.wait_for_selector("#slider[data-ready]")

            assert await page.evaluate("document.documentElement.scrollWidth") == width, path


ODD_QUERIES: Final = [
    f"q={'x' * 50_000}",
    "&".join(["status=failed"] * 3_000),
    f"sort={'-' * 5_000}age&page={'9' * 5_000}",
    "page=-1&page=%D9%A3",
    f"at={'9' * 5_000}&show=tree&open={'0.' * 3_000}0",
    "at=%D9%A3&show=tree&open=%D9%A3",
    f"show=tree&open=0&start={'9' * 18}",
    f"show=tree&q={'%C4%B0' * 100}&after={'9.' * 500}9&seen={'9' * 18}",
    "first=1e308&last=-1e308&axis=steps",
    "first=nan&last=inf",
    "done=%3Cb%3E&token=x&token=",
    "%ff=%fe&q=%ED%A0%80&;;;===",
]


@pytest.mark.thorough
@pytest.mark.parametrize("query", ODD_QUERIES, ids=range(len(ODD_QUERIES)))
def test_whatever_an_address_asks_for_is_answered_with_a_page(demo_view: Served, query: str) -> None:
    run = "/run/refund-1012"
    pages = (
        "",
        "/timeline",
        "/commands",
        "/history",
        "/at/3/branch",
        "/at/3/search",
        "/at/3/value",
        "/edit",
        "/answer",
    )
    for path in ("/", "/forks", "/health", *(f"{run}{page}" for page in pages), f"/run/{'a' * 10_000}", "/run/%00"):
        answer = demo_view.ask(f"{path}?{query}")

        assert answer.status in {200, 303, 404}, path
        assert len(answer.body) < 400_000, path
