"""The list of runs: what each row says, and what is filtered, searched, sorted and paged by the address alone."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest

from spark.graphs.checkpoint import InMemoryCheckpointBackend, RunInfo
from spark_ui.pages.run_query import PAGE, RunQuery, found, matching
from spark_ui.pages.standing import QUIET, standing_of
from tests.plugins.ui.demo_store import NOW, DemoStore
from tests.plugins.ui.serving import Served, serving

ROW = re.compile(r'<tr data-key="([^"]*)".*?</tr>', re.DOTALL)


def rows(view: Served, path: str) -> dict[str, str]:
    """The texts of the rows, by graph id, in their order."""
    return {match[1]: text_of(match[0]) for match in ROW.finditer(view.get(path).text)}


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_each_graph_id_has_one_row_that_says_where_its_run_stands(demo_view: Served) -> None:
    shown = rows(demo_view, "/")

    assert len(shown) == 27
    assert shown["report-2026-03-10"].startswith(
        "failed report-2026-03-10 ValueError: the bank's figures are of 2026-03-08, not of 2026-03-10 Check 1 2 d 2 "
    )
    assert shown["refund-1012"].startswith("interrupted 1 question refund-1012 Think 4 3 h 10 ")
    assert shown["report-2026-03-13"].startswith("waiting in 11 h report-2026-03-13")
    assert shown["index-wiki"].startswith("running index-wiki Read 17 36 s 17 ")
    assert shown["index-mail"].startswith("drained index-mail")
    assert shown["chat-maria"].startswith("out of budget chat-maria Reply 17")
    assert shown["import-2025"].startswith("by hand import-2025")


def test_a_run_whose_program_may_be_dead_is_called_silent(demo_view: Served) -> None:
    assert rows(demo_view, "/")["index-photos"].startswith("silent for 4 h index-photos Read 22")


def test_those_that_need_a_person_come_first(demo_view: Served) -> None:
    words = [text.split()[0] for text in rows(demo_view, "/").values()]

    assert list(dict.fromkeys(words)) == [
        "failed", "out", "interrupted", "silent", "cancelled", "drained", "running", "waiting", "by", "completed",
    ]  # fmt: skip


def test_a_status_filters_and_says_how_many_there_are(demo_view: Served) -> None:
    page = demo_view.get("/").text

    assert re.search(r'href="/\?status=interrupted">.*? interrupted <b>5</b>', page)
    assert {text.split()[0] for text in rows(demo_view, "/?status=interrupted").values()} == {"interrupted"}
    assert len(rows(demo_view, "/?status=interrupted&status=failed")) == 7
    assert rows(demo_view, "/?status=nonsense").keys() == rows(demo_view, "/").keys()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("wiki", ["index-wiki"]),
        ("INDEX-W", ["index-wiki"]),
        ("connection reset", ["refund-1010"]),
        ("collect", []),
        ("  wiki ", ["index-wiki"]),
        (".*", []),
    ],
)
def test_a_search_finds_ids_nodes_and_errors(demo_view: Served, text: str, ids: list[str]) -> None:
    assert [*rows(demo_view, f"/?q={quote(text)}")] == ids


def test_a_search_without_a_find_says_so_and_leads_back(demo_view: Served) -> None:
    text = demo_view.get("/?q=%3Cnothing%3E").text

    assert "No run matches" in text
    assert "&lt;nothing&gt;" in text


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("id", "chat-jonas"),
        ("-id", "report-2026-03-13"),
        ("age", "index-wiki"),
        ("steps", "chat-jonas"),
        ("checkpoints", "chat-jonas"),
        ("size", "chat-jonas"),
        ("-size", "import-2025"),
        ("nonsense", "report-2026-03-10"),
    ],
)
def test_every_column_sorts_both_ways(demo_view: Served, sort: str, first: str) -> None:
    assert next(iter(rows(demo_view, f"/?sort={sort}"))) == first


def test_a_column_says_how_it_sorts_and_turns_round(demo_view: Served) -> None:
    page = demo_view.get("/?sort=size&status=completed").text

    assert re.search(r'aria-sort="descending">\s*<a href="/\?status=completed&amp;sort=-size"', page)


def test_a_fork_names_what_it_was_forked_from(demo_view: Served) -> None:
    demo_view.get("/forks")  # by then, all checkpoints were looked at

    assert "refund-1002-again of refund-1002 " in rows(demo_view, "/?q=again")["refund-1002-again"]


def test_a_page_that_did_not_change_is_not_sent_again(demo_view: Served) -> None:
    tag = demo_view.get("/?q=wiki").headers["etag"]
    again = demo_view.ask("/?q=wiki", headers={"If-None-Match": tag})

    assert (again.status, again.body) == (304, b"")
    assert demo_view.ask("/?q=mail", headers={"If-None-Match": tag}).status == 200


def test_an_empty_store_says_how_to_make_a_run() -> None:
    with serving(InMemoryCheckpointBackend()) as view:
        text = view.open().get("/").text

    assert "No runs here yet" in text
    assert "CheckpointConfig(backend=" in text


def run(id: str, status: str = "completed", **more: object) -> RunInfo:
    return RunInfo(graph_id=id, status=status, **more)  # type: ignore[arg-type]


def test_ten_thousand_runs_are_paged() -> None:
    every = [run(f"job-{number:05}") for number in range(10_000)]

    query = RunQuery(sort="id", page=3)
    page = found(matching(every, query, now=NOW), query)

    assert [row.run.graph_id for row in page.page.items] == [f"job-{number:05}" for number in range(200, 300)]
    assert (page.page.first, page.page.total, page.page.of, page.counts) == (201, 10_000, 100, {"completed": 10_000})
    assert found(matching(every, query, now=NOW), RunQuery(sort="id", page=10**7)).page.number == 10_000 // PAGE


def test_a_run_is_called_running_while_somebody_claims_it_or_it_was_heard_of_lately() -> None:
    lately, before = NOW - QUIET, NOW - QUIET - timedelta(seconds=1)

    assert standing_of(run("a", "running", since=lately), now=NOW).kind == "running"
    assert standing_of(run("a", "running", since=before), now=NOW).kind == "silent"
    assert standing_of(run("a", "running", since=before, owner="worker-1"), now=NOW).more == "by worker-1"


def test_a_status_of_a_later_release_is_shown_as_it_is() -> None:
    assert standing_of(run("a", "paused"), now=NOW).word == "paused"


def test_a_store_that_cant_be_read_is_said_on_the_page(demo: DemoStore) -> None:
    class Broken(InMemoryCheckpointBackend):
        async def latest_runs(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            raise OSError("the disk is gone")

    with serving(Broken()) as view:
        answer = view.open().ask("/")

    assert answer.status == 503
    assert "the disk is gone" in answer.text
