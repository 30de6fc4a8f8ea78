"""The pages of a run over HTTP, as a browser without JavaScript has them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, HistoryEntry, InMemoryCheckpointBackend
from spark_ui.addresses import run_path
from spark_ui.views import search
from tests.plugins.ui.demo_store import DemoStore
from tests.plugins.ui.run import programs
from tests.plugins.ui.serving import Served, serving


@pytest.fixture(scope="module")
def large_view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The view of a store with a state of 2 MB."""
    url = f"sqlite:///{tmp_path_factory.mktemp('large')}/runs.db"
    asyncio.run(programs.run("large", url, "big"))
    with serving(url) as served:
        yield served.open()


def test_every_moment_of_every_run_has_a_page(demo: DemoStore, demo_view: Served) -> None:
    for graph_id in asyncio.run(CheckpointManager(demo.backend).graph_ids()):
        sequences = demo_view.get(f"{run_path(graph_id)}/history").body.decode()
        last = max(map(int, re.findall(r"\d+", sequences.partition("]")[0])))
        for at in {1, last // 2 or 1, last}:
            for show in ("changes", "tree"):
                page = demo_view.get(f"{run_path(graph_id)}?at={at}&show={show}").text
                assert f"<strong>#{at}</strong>" in page
        assert "<svg" in demo_view.get(f"{run_path(graph_id)}/timeline?axis=steps").text


def test_links_lead_from_moment_to_moment(demo_view: Served) -> None:
    page = demo_view.get("/run/chat-jonas?at=20").text

    assert re.search(r'href="/run/chat-jonas\?at=19"[^>]*rel="prev"', page)
    assert re.search(r'href="/run/chat-jonas\?at=21"[^>]*rel="next"', page)
    assert 'aria-disabled="true" data-go="next"' in demo_view.get("/run/chat-jonas").text


def test_a_page_shows_a_moment_as_it_was(demo_view: Served) -> None:
    early, late = demo_view.get("/run/index-wiki?at=5").text, demo_view.get("/run/index-wiki").text

    assert "4 of 40" in early
    assert "16 of 40" not in early
    assert "16 of 40" in late
    assert "wiki/page-003.md" in early


def test_a_checkpoint_that_is_gone_is_replaced_by_the_one_before(demo_view: Served) -> None:
    page = demo_view.get("/run/index-wiki?at=9999").text

    assert "<strong>#17</strong>" in page
    assert "The checkpoint in the address was deleted" in page


def test_a_graph_that_is_not_there_is_not_found(demo_view: Served) -> None:
    for path in ("/run/nobody", "/run/nobody/timeline", "/run/nobody/commands", "/run/~zz"):
        assert demo_view.ask(path).status == 404


def test_the_error_and_the_question_are_on_the_page(demo_view: Served) -> None:
    failed = unescape(demo_view.get("/run/report-2026-03-10").text)
    asked = unescape(demo_view.get("/run/refund-1012").text)

    assert "the bank's figures are of 2026-03-08" in failed
    assert "demo_store.py" in failed
    assert "Open question" in asked
    assert "spark answer refund-1012" in asked


def test_a_read_only_view_offers_commands_and_no_forms(demo_view: Served) -> None:
    page = demo_view.get("/run/refund-1012/commands").text

    assert "spark ui --allow-changes" in page
    assert "spark send refund-1012" in page
    assert '<form method="post"' not in page
    assert 'method="post"' not in demo_view.get("/run/refund-1012").text
    assert demo_view.ask("/run/refund-1012/edit").headers["location"] == "/run/refund-1012/commands"


def test_a_large_state_is_never_sent_whole(large_view: Served) -> None:
    for path in ("/run/big", "/run/big?show=tree", "/run/big?show=tree&open=0.0", "/run/big?show=tree&open=0.1"):
        assert len(large_view.get(path).body) < 120_000

    page = large_view.get("/run/big?show=tree&open=0.0&start=100").text
    assert "graph_state.orders[199]" in page
    assert "graph_state.orders[200]" not in page


def test_a_large_state_is_searched_where_it_is(large_view: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "monotonic", lambda: 0.0)  # however long it takes
    needle = large_view.get(f"/run/big?show=tree&q={quote('the NEEDLE')}").text
    many = large_view.get("/run/big/at/1/search?q=item").text

    assert "<mark>the needle</mark>" in needle
    assert "graph_state.text" in needle
    assert "200 places with" in many
    assert "values were searched so far" in many
    on = unescape(re.findall(r'data-search-on="([^"]*)"', many)[0])
    assert "graph_state.orders[99]" not in large_view.get(on).text, "it goes on where the first one stopped"
    assert "graph_state.orders[199]" in large_view.get(on).text
    assert len(many) < 200_000


def test_a_value_is_copied_as_json(large_view: Served) -> None:
    answer = large_view.get("/run/big/at/1/value?open=0.0.3")

    assert answer.text.startswith('{\n  "id": 3,')
    assert large_view.ask("/run/big/at/1/value?open=0.0.99999").status == 404


def test_branches_that_are_not_there_are_not_found(large_view: Served) -> None:
    for path in ("/at/1/branch?open=7.7", "/at/77/branch?open=0", "/at/77/search?q=x", f"/at/{'7' * 5_000}/value"):
        assert large_view.ask(f"/run/big{path}").status == 404


def test_a_checkpoint_that_is_deleted_while_its_page_is_open_is_replaced_by_the_one_before() -> None:
    store = InMemoryCheckpointBackend()
    manager = CheckpointManager(store)

    async def fill() -> list[HistoryEntry]:
        await Graph(ExitNode(), id="g", checkpoint_config=CheckpointConfig(backend=store)).run()
        for number in range(1, 4):
            await manager.edit("g", set={"a": number})
        return list(await manager.history("g"))

    entries = asyncio.run(fill())
    with serving(store) as served:
        served.open().get(f"/run/g?at={entries[2].sequence}")
        asyncio.run(manager.delete_checkpoint(entries[1].checkpoint_id or ""))
        pages = [served.get(f"/run/g?at={entry.sequence}").text for entry in (entries[1], entries[3])]

    assert "was deleted, or never existed" in pages[0]
    assert all('class="moment"' in page for page in pages)


def test_a_damaged_checkpoint_says_so_and_the_others_are_shown(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    asyncio.run(programs.run("ask", url, "g"))
    (record, *_) = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 500)
    record.write_bytes(record.read_bytes()[:-40] + b"x" * 40)

    with serving(url) as served:
        pages = [served.open().get(f"/run/g?at={at}").text for at in (1, 2)]

    assert any("can't be read" in unescape(page) for page in pages)
    assert any('class="moment"' in page for page in pages)


def test_where_a_run_is_silent_no_step_is_said_to_run(demo_view: Served) -> None:
    silent, running = demo_view.get("/run/index-photos").text, demo_view.get("/run/index-wiki").text

    assert "is-running" in running
    assert "is-running" not in silent
    assert "status-running" not in silent
    assert "is-running" in demo_view.get("/run/index-photos?at=20").text, "at that time one did"
