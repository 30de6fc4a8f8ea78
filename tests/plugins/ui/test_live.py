"""What happens in another process is seen in the browser, without a reload, and without losing one's place."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend, open_backend
from tests.plugins.ui.browser import tab
from tests.plugins.ui.serving import Served, serving
from tests.plugins.ui.test_command import Work

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Writer:
    """A process that runs ``live-1``."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.plugins.ui.live_writer", url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    writer = Writer(url)
    yield writer
    writer.close()


async def test_rows_follow_a_run_in_another_process_and_keep_focus_and_place(
    browser: Browser, url: str, writer: Writer
) -> None:
    from playwright.async_api import expect

    backend = open_backend(url)
    for number in range(40):
        await Graph(Work(), id=f"job-{number}", checkpoint_config=CheckpointConfig(backend=backend)).run()
    await backend.close()

    with serving(url) as served:
        async with tab(browser, served) as page:
            await page.evaluate("window.isSamePage = true")
            row = page.locator("tr[data-key=live-1]")
            writer.tell("go on")
            await row.get_by_text("running", exact=True).wait_for()
            news, focused = page.locator("#news"), page.get_by_role("link", name="job-39", exact=True)
            await expect(row).to_contain_text("by ")
            await expect(news).to_have_text("live-1: running.")

            await focused.focus()
            await page.evaluate("scrollTo(0, 300)")
            writer.tell("fail")
            await row.get_by_text("RuntimeError: as it was told").wait_for()

            await expect(news).to_have_text("live-1: failed.")
            await expect(page.get_by_role("link", name="failed 1")).to_be_visible()
            await expect(focused).to_be_focused()
            assert await page.evaluate("scrollY") > 200
            assert await page.evaluate("window.isSamePage")


@pytest.mark.thorough
async def test_a_search_finds_while_one_types_and_keeps_the_words(browser: Browser, demo_view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, demo_view) as page:
        search = page.get_by_label("Search runs")
        await page.keyboard.press("/")
        await page.keyboard.type("wiki")

        await expect(page).to_have_url(re.compile(r"/\?q=wiki$"))
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("#news")).to_have_text("1–1 of 1.")
        await expect(search).to_be_focused()

        await page.keyboard.press("Escape")
        await expect(search).not_to_be_focused()
        await expect(search).to_have_value("wiki")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/run/index-wiki")


@pytest.mark.thorough
async def test_what_cant_be_reached_any_more_is_said(browser: Browser) -> None:
    from playwright.async_api import expect

    with serving(InMemoryCheckpointBackend()) as served:
        context = await browser.new_context(base_url=served.base)
        page = await context.new_page()
        await page.goto(served.address)

    await expect(page.locator("#lost")).to_contain_text("spark ui does not answer.")
    await context.close()


@pytest.mark.thorough
async def test_everything_works_without_the_script(browser: Browser, demo_view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, demo_view, script=False) as page:
        await page.get_by_label("Search runs").fill("refund")
        await page.get_by_role("button", name="Search").click()
        await page.wait_for_url("**/?q=refund")
        await page.get_by_role("link", name="interrupted 5").click()
        await page.wait_for_url("**/?q=refund&status=interrupted")
        await page.get_by_role("link", name="Graph", exact=True).click()
        await page.wait_for_url("**&sort=id")

        await expect(page.locator("tbody tr")).to_have_count(5)
        await expect(page.get_by_role("button", name="Theme")).to_have_count(0)
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("button", name="Check")).to_be_visible()
