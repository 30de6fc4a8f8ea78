"""What a page shows while things go wrong: a program is killed, the view or the store is gone for a while, two people answer."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spark.graphs.checkpoint import CheckpointManager, open_backend
from tests.plugins.ui.browser import LOOK, tab
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import serving

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.thorough]


class Watch:
    """The clock of the view, which can be later than that of the programs."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def begun(url: str, *more: str) -> asyncio.subprocess.Process:
    """A process that runs ``job``, in the midst of a step."""
    process = await programs.process("count", url, "job", *more)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"a step begins\n"
    return process


async def told(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    await process.stdin.drain()


async def test_a_run_that_is_killed_is_said_to_be_silent_and_followed_when_it_is_resumed(
    browser: Browser, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    url, watch = f"sqlite:///{tmp_path}/runs.db", Watch()
    first = await begun(url)
    await told(first, "one")
    assert first.stdout is not None
    assert await first.stdout.readline() == b"a step begins\n"
    with serving(url, clock=watch.now) as served:
        async with tab(browser, served) as page:
            await page.goto("/run/job")
            await page.locator("#run-head .status-running").wait_for()
            await page.locator("#paper .is-running").wait_for()
            first.kill()
            await first.wait()
            watch.ahead = timedelta(minutes=3)
            await page.locator("#run-head").get_by_text("silent").wait_for()
            await page.locator("#run-head").get_by_text("for 3 min").wait_for()
            await expect(page.locator(".is-running, .status-running")).to_have_count(0)
            await expect(page.locator("#pending").get_by_text("next")).to_be_visible()
            await expect(page.locator("#news")).to_contain_text("silent")

            second = await begun(url, "resume")
            watch.ahead = timedelta()
            await told(second, "two")
            await page.locator("#run-head .status-running").wait_for()
            await page.locator("#content").get_by_text("two").wait_for()
            await told(second, "")
            await page.locator("#run-head .status-completed").wait_for()
            assert await second.wait() == 0


async def test_a_page_takes_up_again_when_the_view_was_started_again(browser: Browser, tmp_path: Path) -> None:
    from playwright.async_api import expect

    url = f"sqlite:///{tmp_path}/runs.db"
    await programs.run("ask", url, "job")
    with ExitStack() as running:
        served = running.enter_context(serving(url))
        async with tab(browser, served, noted=("ERR_", "status of 401")) as page:
            await page.get_by_role("link", name="job", exact=True).wait_for()
            await page.evaluate("window.isSamePage = true")
            running.close()
            lost = page.locator("#lost")
            await lost.get_by_text("spark ui does not answer. What you see may be out of date.").wait_for()

            again = running.enter_context(serving(url, port=served.port, token=served.token[::-1]))
            await programs.run("ask", url, "job-2")
            await page.evaluate(LOOK)
            await lost.get_by_text("spark ui was started again: open the address that it printed.").wait_for()
            other = await page.context.new_page()
            await other.goto(again.address)
            await page.evaluate(LOOK)
            await page.get_by_role("link", name="job-2", exact=True).wait_for()

            await expect(lost).to_be_hidden()
            assert await page.evaluate("window.isSamePage")


@pytest.mark.parametrize("address", ["sqlite:///{}/runs.db", "file://{}/runs"])
async def test_a_store_that_disappears_is_said_to_be_gone_and_the_next_one_is_shown(
    browser: Browser, tmp_path: Path, address: str
) -> None:
    from playwright.async_api import expect

    place = tmp_path / "place"
    place.mkdir()
    url = address.format(place)
    await programs.run("ask", url, "job")
    with serving(url) as served:
        async with tab(browser, served, noted=["status of 503"]) as page:
            await page.get_by_role("link", name="job", exact=True).wait_for()
            place.rename(tmp_path / "elsewhere")  # at once, whatever the view is reading in it
            await page.locator("#lost").get_by_text("The store can't be read now.").wait_for()
            await page.goto("/run/job")
            await page.get_by_text("There is no store at").wait_for()
            place.mkdir()
            await programs.run("ask", url, "job-2")
            await page.goto("/")
            await page.get_by_role("link", name="job-2", exact=True).wait_for()

            await expect(page.get_by_role("link", name="job", exact=True)).to_have_count(0)


async def test_of_two_tabs_that_answer_a_question_the_second_is_told_that_the_first_counts(
    browser: Browser, tmp_path: Path
) -> None:
    from playwright.async_api import expect

    url = f"sqlite:///{tmp_path}/runs.db"
    await programs.run("ask", url, "job")
    with serving(url, allow_changes=True) as served:
        async with tab(browser, served, noted=["status of 409"]) as first:
            second = await first.context.new_page()
            for page, amount in ((first, "1"), (second, "2")):
                await page.goto("/run/job")
                await page.get_by_role("link", name="Answer", exact=True).click()
                await page.get_by_label("approve").check()
                await page.get_by_label("Amount").fill(amount)
                await page.get_by_role("button", name="Continue").click()
                await page.get_by_text("This is the same as").wait_for()
            for page, text in (
                (first, "The answer is stored"),
                (second, "The first answer counts; this one was not stored"),
            ):
                await page.get_by_role("button", name="Answer").click()
                await page.get_by_text(text).wait_for()
            await second.goto("/run/job")

            await expect(second.get_by_text("Answered.")).to_be_visible()
            await expect(second.get_by_role("link", name="Answer", exact=True)).to_have_count(0)

    _, content = await programs.run("ask", url, "job", resume=True)
    assert content["amount"] == 1


async def test_a_graph_that_has_moved_on_is_not_forgotten_by_an_old_page(browser: Browser, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    await programs.run("ask", url, "job")
    with serving(url, allow_changes=True) as served:
        async with tab(browser, served, noted=["status of 409"]) as page:
            await page.goto("/run/job/forget")
            await edited(url, "job")
            await page.get_by_role("button", name="Forget it").click()
            await page.get_by_text("The run has moved on since you opened this page.").wait_for()
            await page.get_by_role("button", name="Forget it").click()
            await page.get_by_role("heading", name="Forgotten").wait_for()


async def edited(url: str, graph_id: str) -> None:
    store = open_backend(url)
    await CheckpointManager(store).edit(graph_id, set={"edited": True})
    await store.close()
