"""The frame of all pages in a real browser: what is blocked, the theme, the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugins.ui.browser import tab
from tests.plugins.ui.serving import Served

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_printed_address_opens_the_runs_and_leaves_no_token_in_the_address(
    browser: Browser, demo_view: Served
) -> None:
    async with tab(browser, demo_view) as page:
        assert page.url == f"{demo_view.base}/"
        assert await page.title() == "Runs · spark"
        assert await page.evaluate("document.cookie") == ""


async def test_the_theme_is_remembered(browser: Browser, demo_view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, demo_view) as page:
        theme = page.get_by_role("button", name="Theme")
        await expect(theme).to_have_text("Auto")
        for word in ("Light", "Dark"):
            await theme.click()
            await expect(theme).to_have_text(word)
        await page.goto("/health")

        assert await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


async def test_without_the_address_a_page_says_where_to_find_it(browser: Browser, demo_view: Served) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    answer = await page.goto(demo_view.base)

    assert answer is not None
    assert answer.status == 401
    assert await page.get_by_role("heading").inner_text() == "This page is locked"
    assert await page.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "22.4px"
    assert not [each for each in said if "Content Security Policy" in each]
    await context.close()
