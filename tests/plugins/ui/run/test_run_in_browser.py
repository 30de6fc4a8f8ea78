"""The pages of a run in a real browser: the slider, the tree, what is new, an answer, and texts that do harm."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    InMemoryCheckpointBackend,
    KeepAll,
    open_backend,
)
from spark_ui.addresses import run_path
from tests.plugins.ui.browser import LOOK, tab
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import Served, serving

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture
def view(url: str) -> Iterator[Served]:
    """A view that may change a store of this test's own."""
    with serving(url, allow_changes=True) as served:
        yield served


@asynccontextmanager
async def opened(browser: Browser, served: Served, path: str, *, width: int = 1280) -> AsyncIterator[Page]:
    """A page with its slider ready."""
    async with tab(browser, served, width=width) as page:
        await page.goto(path)
        await page.wait_for_selector("#slider[data-ready]")
        yield page


async def stands_at(page: Page, sequence: int) -> None:
    """Wait until the page shows this checkpoint."""
    await page.wait_for_selector(f'#where[data-sequence="{sequence}"]')


async def test_the_slider_is_moved_by_keys_and_says_where_it_stands(browser: Browser, demo_view: Served) -> None:
    from playwright.async_api import expect

    async with opened(browser, demo_view, "/run/chat-jonas") as page:
        slider = page.get_by_role("slider", name="Checkpoint")
        await slider.focus()
        for key, sequence in (("Home", 1), ("ArrowRight", 2), ("End", 61), ("ArrowLeft", 60)):
            await page.keyboard.press(key)
            await stands_at(page, sequence)
        await page.wait_for_url("**/run/chat-jonas?at=60")

        await expect(slider).to_have_attribute("aria-valuetext", re.compile("checkpoint 60 of 61: step 60, Reply, "))
        await expect(page.locator("#paper .is-last")).to_have_attribute("data-node", "Reply")
        await page.evaluate(LOOK)
        await expect(page.locator("#paper .is-last")).to_have_attribute("data-node", "Reply")


@pytest.mark.thorough
async def test_the_slider_is_dragged_and_the_address_leads_to_that_moment(browser: Browser, demo_view: Served) -> None:
    async with opened(browser, demo_view, "/run/index-wiki") as page:
        box = await page.locator("#range").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        await page.mouse.move(box["x"] + box["width"] - 8, middle)
        await page.mouse.down()
        await page.mouse.move(box["x"] + 8, middle, steps=12)
        await page.mouse.up()
        await stands_at(page, 1)
        await page.get_by_role("link", name="Next checkpoint").click()
        await stands_at(page, 2)
        await page.wait_for_url("**/run/index-wiki?at=2")
        dragged = await page.locator("#paper").inner_text(), await page.locator("#content").inner_text()
        await page.reload()
        await page.wait_for_selector("#slider[data-ready]")

        assert page.url.endswith("?at=2")
        assert (await page.locator("#paper").inner_text(), await page.locator("#content").inner_text()) == dragged


@pytest.mark.thorough
async def test_the_address_is_not_changed_at_every_move(browser: Browser, demo_view: Served) -> None:
    async with opened(browser, demo_view, "/run/chat-jonas") as page:
        changes, most = await page.evaluate("""() => {
          const replace = history.replaceState.bind(history);
          let count = 0;
          history.replaceState = (...given) => { count += 1; replace(...given); };
          const range = document.querySelector("#range");
          const begun = performance.now();
          for (let place = 0; place < 60; place++) { range.value = place; range.dispatchEvent(new Event("input")); }
          return [count, 1 + (performance.now() - begun) / 200];
        }""")
        await stands_at(page, 60)
        await page.wait_for_url("**/run/chat-jonas?at=60")

        assert 1 <= changes <= most


@pytest.mark.thorough
async def test_a_graph_that_is_forgotten_while_it_is_watched_is_said_to_be_gone(
    browser: Browser, url: str, view: Served
) -> None:
    await programs.run("ask", url, "g")
    async with opened(browser, view, "/run/g") as page:
        store = open_backend(url)
        await CheckpointManager(store).forget("g")
        await store.close()

        await page.get_by_text("This is no longer in the store.").wait_for()


@pytest.mark.thorough
async def test_what_was_opened_in_the_tree_stays_open_at_the_next_moment(browser: Browser, demo_view: Served) -> None:
    async with opened(browser, demo_view, "/run/chat-jonas?at=20&show=tree") as page:
        await page.locator('a[data-open]:has-text("messages")').click()
        await page.wait_for_selector('[data-path="graph_state.messages[19]"]')
        await page.get_by_role("link", name="Next checkpoint").click()
        await stands_at(page, 21)

        await page.wait_for_selector('[data-path="graph_state.messages[20]"]')


@pytest.mark.thorough
async def test_a_large_state_is_opened_and_searched_bit_by_bit(browser: Browser, url: str, view: Served) -> None:
    from playwright.async_api import expect

    await programs.run("large", url, "big")
    async with opened(browser, view, "/run/big?show=tree") as page:
        await page.locator('a[data-open]:has-text("orders")').click()
        await page.wait_for_selector('[data-path="graph_state.orders[99]"]')
        await page.get_by_role("link", name="Show more").first.click()
        await page.wait_for_selector('[data-path="graph_state.orders[199]"]')
        await page.get_by_role("searchbox").fill("the needle")
        await expect(page.locator("#found mark")).to_have_text(["the needle"])
        await page.get_by_role("searchbox").fill("item")
        await page.get_by_role("link", name="Search on").click()
        await expect(page.locator("#found .hits li")).to_have_count(400)
        await expect(page.locator("#found .search-on")).to_have_count(1)
        await page.get_by_role("searchbox").fill("the needle")
        await expect(page.locator("#found mark")).to_have_text(["the needle"])
        assert await page.locator("#tree li").count() < 250
        await page.get_by_role("link", name="graph_state.text").click()
        await page.wait_for_selector("pre.text")


@pytest.mark.thorough
async def test_a_page_follows_a_run_in_another_process(browser: Browser, url: str, view: Served) -> None:
    from playwright.async_api import expect

    run = await programs.process("count", url, "live")
    assert run.stdin is not None
    assert run.stdout is not None
    try:
        run.stdin.write(b"one\n")
        assert [await run.stdout.readline() for _ in range(2)] == [b"a step begins\n"] * 2
        async with opened(browser, view, "/run/live") as page:
            await stands_at(page, 1)
            await page.get_by_role("button", name="Follow").focus()
            run.stdin.write(b"two\n")
            await stands_at(page, 2)
            await page.locator("#content", has_text="two").wait_for()
            await expect(page.locator("#follow")).to_be_focused()
            await expect(page.get_by_role("slider", name="Checkpoint")).to_have_value("1")

            await page.get_by_role("link", name="First checkpoint").click()
            await stands_at(page, 1)
            run.stdin.write(b"\n")
            await page.locator("#run-head .status-completed").wait_for()
            await stands_at(page, 1)
    finally:
        run.stdin.close()
        await run.communicate()


async def test_a_question_is_answered_and_the_run_goes_on_with_the_answer(
    browser: Browser, url: str, view: Served
) -> None:
    from playwright.async_api import expect

    await programs.run("ask", url, "refund")
    async with opened(browser, view, "/run/refund") as page:
        await page.get_by_role("link", name="Answer", exact=True).click()
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator(".field-error")).to_have_count(2)
        await page.get_by_label("approve").check()
        await page.get_by_label("Amount").fill("12.5")
        await page.get_by_label("Note").fill("it's <fine>")
        await page.get_by_role("button", name="Continue").click()
        command = await page.locator(".command code").inner_text()
        await page.get_by_role("button", name="Answer").click()
        await page.get_by_text("The answer is stored").wait_for()

    said, _ = await (await programs.process("ask", url, "refund", "resume")).communicate()
    assert command.startswith("spark answer refund ")
    assert said.decode().strip() == str(("completed", {"decision": "approve", "amount": 12.5, "note": "it's <fine>"}))


@pytest.mark.thorough
async def test_no_text_of_a_store_does_anything(browser: Browser, url: str, view: Served) -> None:
    hostile = programs.HOSTILE
    await programs.run("spiteful", url, hostile)
    with pytest.raises(ValueError, match="pwned"):
        await programs.run("failing", url, "fails")
    here = run_path(hostile)
    async with tab(browser, view) as page:
        for path in (
            here,
            f"{here}?show=tree",
            f"{here}?show=tree&open=0.0.0.1",
            f"{here}?show=tree&q=pwned",
            f"{here}/timeline",
            f"{here}/commands",
            f"{here}/edit",
            run_path("fails"),
            f"{run_path('fails')}/timeline",
        ):
            await page.goto(path)
            assert await page.evaluate("window.__pwned") is None, path
            assert await page.locator("img, main script:not([src])").count() == 0, path
            assert "<script>window.__pwned" in await page.locator("main").inner_text(), path
        await page.goto(here)
        await page.get_by_role("link", name="Answer", exact=True).click()
        await page.get_by_label("b", exact=True).check()
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_text("This is the same as").wait_for()
        assert await page.locator("pre.given").inner_text() == json.dumps({"choice": "b", "text": hostile}, indent=2)
        assert await page.evaluate("window.__pwned") is None


@pytest.mark.thorough
async def test_the_timeline_zooms_and_moves(browser: Browser, demo_view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, demo_view) as page:
        await page.goto("/run/chat-jonas/timeline?axis=steps")
        await page.locator("#timeline").focus()
        chart = page.locator("#chart")
        for key in ("+", "ArrowRight"):
            before = await chart.get_attribute("data-first") or ""
            await page.keyboard.press(key)
            await expect(chart).not_to_have_attribute("data-first", before)
            await expect(chart).to_have_css("transform", "none")

        await expect(page).to_have_url(re.compile("first="))
        assert await page.locator("#chart .mark").count() < 50


@pytest.mark.thorough
async def test_on_a_narrow_screen_nothing_runs_out_of_it(browser: Browser, demo_view: Served) -> None:
    async with tab(browser, demo_view, width=390) as page:
        for path in ("refund-1012", "refund-1010?show=tree", "index-wiki/timeline", "chat-maria/commands"):
            await page.goto(f"/run/{path}")
            if await page.locator("#slider").count():
                await page.wait_for_selector("#slider[data-ready]")

            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path


@pytest.mark.thorough
async def test_without_javascript_links_and_forms_do(browser: Browser, demo_view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, demo_view, script=False) as page:
        await page.goto("/run/chat-jonas?at=20&show=tree")
        await page.get_by_role("link", name="graph_state").click()
        await page.get_by_role("link", name="messages", exact=True).click()
        await page.locator('[data-path="graph_state.messages[0]"]').wait_for()
        await page.get_by_role("searchbox").fill("Turn 7")
        await page.get_by_role("button", name="Search").click()
        await expect(page.locator("mark").first).to_have_text("Turn 7")
        await page.get_by_role("link", name="Next checkpoint").click()
        await stands_at(page, 21)


@pytest.mark.thorough
async def test_a_drawing_that_is_larger_than_its_frame_shows_where_the_run_stands(browser: Browser) -> None:
    from playwright.async_api import expect

    backend = InMemoryCheckpointBackend()
    nodes = [programs.link(number) for number in range(40)]
    for one, next_one in pairwise(nodes):
        one >> next_one
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, retention=KeepAll())
    await Graph(nodes[0], id="chain", checkpoint_config=config).run()

    with serving(backend) as served:
        async with opened(browser, served, "/run/chain") as page:
            first, last = (page.locator(f'#paper [data-node="link {number}"]') for number in (0, 39))
            await expect(last).to_be_in_viewport(ratio=1)
            await expect(first).not_to_be_in_viewport()
            await page.get_by_role("slider", name="Checkpoint").focus()
            await page.keyboard.press("Home")
            await expect(first).to_be_in_viewport(ratio=1)
            await page.locator("#paper").evaluate("(paper) => paper.scrollTo(0, 500)")
            await page.evaluate(LOOK)
            assert await page.locator("#paper").evaluate("(paper) => paper.scrollTop") == 500


@pytest.mark.thorough
async def test_a_move_counts_that_is_made_while_the_history_is_read(browser: Browser, url: str, view: Served) -> None:
    from playwright.async_api import expect

    await programs.run("ask", url, "g")
    first, *_ = await edited(url, total=1)
    async with opened(browser, view, "/run/g") as page:
        slider = page.get_by_role("slider", name="Checkpoint")
        history, moment = asyncio.Event(), asyncio.Event()
        await page.route("**/history?after=*", partial(held, history))
        await page.route(f"**/run/g?at={first}", partial(held, moment))
        async with page.expect_request("**/history?after=*"):
            *_, newest = await edited(url, total=2)
        async with page.expect_request(f"**/run/g?at={first}"):
            await page.get_by_role("link", name="First checkpoint").click()
        history.set()
        await expect(slider).to_have_attribute("max", str(newest - first))
        moment.set()

        await stands_at(page, first)
        await expect(slider).to_have_value("0")
        await page.get_by_role("link", name="Next checkpoint").click()
        await stands_at(page, first + 1)


async def held(go: asyncio.Event, route: Route) -> None:
    """Answer a request once it is let go."""
    await go.wait()
    await route.continue_()


async def edited(url: str, **values: int) -> list[int]:
    """Edit the state of ``g``; the sequences that its history has then."""
    store = open_backend(url)
    manager = CheckpointManager(store)
    await manager.edit("g", set=values)
    sequences = [entry.sequence for entry in await manager.history("g")]
    await store.close()
    return sequences
