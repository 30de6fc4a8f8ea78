"""Every page is used by keys alone and read by a screen reader: focus, headings, names and references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from tests.plugins.ui.browser import tab
from tests.plugins.ui.demo_store import DemoStore
from tests.plugins.ui.serving import Served, serving

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]

PAGES: Final = [
    "/",
    "/?q=nothing-has-this",
    "/forks",
    "/health",
    "/run/refund-1003",
    "/run/refund-1010",
    "/run/chat-jonas?at=20",
    "/run/chat-jonas?show=tree&q=turn",
    "/run/refund-1003/timeline",
    "/run/refund-1012/commands",
    "/run/refund-1010/edit",
    "/run/refund-1010/send",
    "/run/refund-1010/forget",
    "/run/nobody",
]
WANTED: Final = """() => {
  const every = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")];
  const groups = new Set();
  window.wanted = new Set(every.filter((each) => {
    if (each.disabled || each.tabIndex < 0 || each.type === "hidden") return false;
    if (!each.checkVisibility({ visibilityProperty: true })) return false;
    if (each.type !== "radio") return true;
    return each.checked && !groups.has(each.name) && groups.add(each.name);
  }));
  return window.wanted.size;
}"""
"""What a reader of this page can reach; of the choices of one question, the chosen one."""
FOCUSED: Final = """() => {
  const focused = document.activeElement;
  window.wanted.delete(focused);
  if (focused === document.body) return "";
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  const { top, bottom, left, right } = focused.getBoundingClientRect();
  const name = focused.outerHTML.slice(0, 120);
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) return `no focus is seen: ${name}`;
  if (bottom < 1 || top > innerHeight - 1 || right < 1 || left > innerWidth - 1) return `outside of the window: ${name}`;
  const middle = (Math.max(left, 0) + Math.min(right, innerWidth)) / 2;
  const cover = document.elementFromPoint(middle, Math.min(Math.max(top, 0) + 3, bottom - 1));
  const isSticky = cover?.closest(".slider") && !focused.closest(".slider") && !focused.contains(cover);
  return isSticky ? `covered by the slider: ${name}` : "";
}"""
WRONG: Final = """() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
  const levels = all("h1, h2, h3, h4").map((each) => Number(each.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) wrong.push(`headings of level 1: ${levels}`);
  const skipped = levels.find((level, at) => at && level > levels[at - 1] + 1);
  if (skipped) wrong.push(`a level is skipped: ${levels}`);
  const named = (each) => each.getAttribute("aria-label") || each.labels?.length || each.textContent.trim() || each.title;
  const roles = "a[href], button, input:not([type=hidden]), select, textarea, dialog, [role=img], [role=group], progress";
  for (const each of all(roles))
    if (!named(each) && !each.hasAttribute("aria-labelledby")) wrong.push(`no name: ${each.outerHTML.slice(0, 160)}`);
  for (const each of all("nav:not([aria-label], [aria-labelledby]), aside:not([aria-label], [aria-labelledby])"))
    wrong.push(`a part without a name: ${each.outerHTML.slice(0, 80)}`);
  const parts = all("nav[aria-label]").map((each) => each.getAttribute("aria-label"));
  if (new Set(parts).size !== parts.length) wrong.push(`two parts have one name: ${parts}`);
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => wrong.push(`an id is there twice: ${id}`));
  for (const name of ["aria-labelledby", "aria-describedby", "for"])
    for (const each of document.querySelectorAll(`[${name}]`))
      for (const id of each.getAttribute(name).split(" ").filter(Boolean))
        if (!document.getElementById(id)) wrong.push(`${name} leads nowhere: ${id}`);
  const isOpenTable = (each) => !each.caption || each.querySelector("thead th:not([scope])");
  if (all("table").some(isOpenTable)) wrong.push("a table without a caption, or without scopes");
  if (all("main").length !== 1 || !document.documentElement.lang) wrong.push("no main part, or no language");
  if (document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])")) wrong.push("an order of focus of its own");
  return wrong;
}"""
"""The rules that most screen readers need; the names of roles and the colours have tests of their own."""


@pytest.fixture(scope="module")
def view(demo: DemoStore) -> Iterator[Served]:
    """The demo store with the pages that could change it; no test sends one."""
    with serving(demo.backend, clock=demo.clock.utc_now, allow_changes=True) as served:
        yield served


async def opened(page: Page, path: str) -> None:
    """Open a page, and wait until its scripts have made of it what they make of it."""
    from playwright.async_api import expect

    await page.goto(path)
    if await page.locator("#slider").count():
        await page.wait_for_selector("#slider[data-ready]")
    await expect(page.locator("[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize("path", PAGES)
async def test_all_that_can_be_pressed_is_reached_by_tab_and_seen_to_be(
    browser: Browser, view: Served, path: str
) -> None:
    async with tab(browser, view, height=700) as page:
        await opened(page, path)
        count = await page.evaluate(WANTED)
        for key in ("Tab", "Shift+Tab"):
            for _ in range(count + 2):
                await page.keyboard.press(key)
                assert await page.evaluate(FOCUSED) == "", key
        missing = await page.evaluate("[...window.wanted].map((each) => each.outerHTML.slice(0, 120))")

        assert count > 5
        assert missing == []


@pytest.mark.parametrize("path", PAGES)
async def test_headings_names_and_references_are_in_order(browser: Browser, view: Served, path: str) -> None:
    async with tab(browser, view) as page:
        await opened(page, path)

        assert await page.evaluate(WRONG) == []


async def test_the_first_key_leads_past_the_menu(browser: Browser, view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, view) as page:
        await page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to content")
        box = await skip.bounding_box()
        assert box is not None
        assert box["y"] >= 0
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await page.keyboard.press("Tab")

        await expect(page.locator("main :focus")).to_have_count(1)


async def test_the_help_keeps_the_focus_and_gives_it_back(browser: Browser, view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, view) as page:
        row, help = page.locator("[data-row]").first, page.get_by_role("dialog", name="Keyboard shortcuts")
        await page.keyboard.press("j")
        await expect(row).to_be_focused()
        await page.keyboard.press("?")
        await expect(help).to_be_visible()
        for _ in range(4):
            await page.keyboard.press("Tab")
            assert await page.evaluate(
                "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
            )
        await page.keyboard.press("g")
        await page.keyboard.press("h")
        await page.keyboard.press("Escape")

        await expect(help).to_be_hidden()
        await expect(row).to_be_focused()
        assert page.url == f"{view.base}/"


async def test_pages_are_gone_through_by_letters(browser: Browser, view: Served) -> None:
    from playwright.async_api import expect

    async with tab(browser, view) as page:
        # The second letter counts only soon after the first: no time passes here, however busy the machine is.
        await page.clock.install(time=0)
        await page.clock.pause_at(1_000_000)
        for letter, path in (("f", "/forks"), ("h", "/health"), ("r", "/")):
            await page.keyboard.press("g")
            await page.keyboard.press(letter)
            await page.wait_for_url(f"{view.base}{path}")
        rows = page.locator("[data-row]")
        for key, at in (("k", -1), ("ArrowUp", -2), ("ArrowDown", -1)):
            await page.keyboard.press(key)
            await expect(rows.nth(at)).to_be_focused()
