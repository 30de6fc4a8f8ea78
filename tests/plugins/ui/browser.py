"""A real browser, driven by Playwright: the Chromium that the machine has."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import pytest

from tests.plugins.ui.serving import Served

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOOK: Final = "import('/static/app.js').then((app) => app.refresh())"
"""Let a page look once, now: after a failure it waits longer each time."""
_PATIENCE: Final = 60_000  # ms; a busy machine takes its time
_OPTIONS: Final = (
    "--no-sandbox",  # tests may run as root, where Chromium refuses its sandbox
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-background-networking",
)


def find_browser() -> str:
    """The path of a Chromium; without one, or without Playwright, the test is skipped."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("needs a browser: apt-get install chromium, or name one in the environment variable CHROMIUM")
    if find_spec("playwright") is None:
        pytest.skip("needs Playwright: pip install playwright")
    return path


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    path = find_browser()
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=_PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*_OPTIONS])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def tab(
    browser: Browser,
    served: Served,
    *,
    width: int = 1440,
    height: int = 900,
    dark: bool = False,
    script: bool = True,
    noted: Sequence[str] = (),
) -> AsyncIterator[Page]:
    """A tab of a browser that has just opened the printed address. Nothing may be said on its console until the end.

    :param noted: what the browser itself may note there besides, such as ``"status of 503"``.
    :param script: False for a reader who has switched JavaScript off.
    """
    context = await browser.new_context(
        base_url=served.base,
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
    )
    said: list[str] = []
    try:
        page = await context.new_page()
        page.set_default_timeout(_PATIENCE)
        context.on("console", lambda message: said.extend(_news(message, noted)))
        context.on("weberror", lambda failure: said.append(str(failure.error)))
        context.on("request", lambda request: said.extend(_elsewhere(request.url, served)))
        await page.goto(served.address)
        yield page
    finally:
        await context.close()
    assert said == []


def _news(message: ConsoleMessage, noted: Sequence[str]) -> list[str]:
    """What a page says; but not that the browser notes a refused form, or a page that is gone, which the page says itself."""
    is_known = "status of 422" in message.text or (
        "status of 404" in message.text and "/static/" not in message.location["url"]
    )
    is_known = is_known or any(words in message.text for words in noted)
    return [] if is_known else [message.text]


def _elsewhere(url: str, served: Served) -> list[str]:
    return [] if re.match(rf"{served.base}/|data:|about:", url) else [f"asked for {url}"]
