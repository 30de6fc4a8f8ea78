"""``spark send`` and ``spark answer``, on files and on SQLite, to graphs that wait and to graphs that don't exist yet."""

from __future__ import annotations

import asyncio
import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig
from tests.plugins.support.command_line import file_url, spark, sqlite_url, with_store
from tests.support.variants import first_of


@pytest.fixture(params=first_of([file_url, sqlite_url]), ids=["file", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: Callable[[Path], str] = request.param
    return made(tmp_path / "store")


def result_of(url: str, work: Callable[[NodeContext], Any]) -> Any:
    """What a run of the graph "order" returns whose only node does this."""

    async def run(store: CheckpointBackend) -> Any:
        start = node(work)
        graph = Graph(start, id="order", checkpoint_config=CheckpointConfig(backend=store))
        return await graph.run(resume=True, wait=False)

    return with_store(url, run)


async def waits(context: NodeContext) -> Any:
    return await context.wait_for("approved")


async def asks(context: NodeContext) -> Any:
    return await asyncio.gather(context.interrupt({"pay": 5}, key="a=b"), context.interrupt("sure?", key="sure"))


def test_a_message_reaches_a_graph_that_has_not_begun(url: str) -> None:
    sent = spark("send", "order", "approved", '{"by": "me"}', "--anyway", "--url", url)
    assert (sent.code, sent.out) == (0, "sent\n")
    assert result_of(url, waits).content == {"by": "me"}


def test_a_message_without_a_value_and_from_standard_input(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spark("send", "order", "approved", "--anyway", "--url", url).code == 0
    assert result_of(url, waits).content is None
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))
    assert spark("send", "order", "approved", "-", "--url", url, "--json").json == {"sent": True}


def test_a_key_sends_a_message_once(url: str) -> None:
    assert spark("send", "order", "approved", "1", "--key", "k", "--anyway", "--url", url).code == 0
    again = spark("send", "order", "approved", "1", "--key", "k", "--url", url)
    assert (again.code, again.out) == (0, "not sent: a signal with the key 'k' was sent before\n")


def test_questions_are_shown_and_answered(url: str) -> None:
    first, second = result_of(url, asks).interrupts
    shown = spark("answer", "order", "--url", url)
    assert shown.code == 0
    assert first.id in shown.out
    assert "sure?" in shown.out
    told = shlex.split(shown.err.removeprefix("spark: to answer: spark "))
    assert told == ["answer", "order", f"{first.id}=JSON", f"{second.id}=JSON", "--url", url]
    assert [each["id"] for each in spark("answer", "order", "--url", url, "--json").json] == [first.id, second.id]

    answered = spark("answer", "order", f"{first.id}=true", f'{second.id}="a=b"', "--url", url)
    assert (answered.code, answered.out) == (0, "2 answered\n")
    assert result_of(url, asks).content == [True, "a=b"]
    assert "no question is open" in spark("answer", "order", "--url", url).err


def test_an_answer_may_come_from_standard_input(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = result_of(url, asks).interrupts
    monkeypatch.setattr("sys.stdin", io.StringIO('{"pay": "all"}'))

    assert spark("answer", "order", f"{first.id}=-", f"{second.id}=1", "--url", url).code == 0
    assert result_of(url, asks).content == [{"pay": "all"}, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "order", "approved", "yes"], "is not JSON"),
        (["send", "order", "approved", "[1e999]"], "1e999 is not a valid JSON number"),
        (["send", "order", "approved", "NaN"], "NaN is not a valid JSON number"),
        (["send", "order", "approved", "[" * 5_000], "nested too deeply"),
        (["send", "order", ""], "NAME is given an empty text"),
        (["answer", "order", "nonsense"], "must be ID=JSON"),
        (["answer", "order", "id=yes"], "must be ID=JSON"),
        (["answer", "order", "id=yes"], "A text needs quotes of its own"),
        (["answer", "order", "=-"], "must be ID=JSON"),
        (["answer", "order", "id=-"], "the value of id=- is not JSON"),
        (["send", "sqlite:///x", "approved"], "is a URL, not a graph id"),
    ],
)
def test_wrong_usage_is_said(arguments: list[str], says: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes"))
    done = spark(*arguments, "--url", url)
    assert done.code == 2
    assert says in done.err


def test_a_store_that_keeps_nothing_is_refused() -> None:
    for more in ([], ["--anyway"]):
        done = spark("send", "order", "approved", *more, "--url", "memory://")
        assert done.code == 2
        assert "sqlite:///runs.db" in done.err


def test_what_can_not_be_sent_or_answered_is_said(url: str) -> None:
    result_of(url, asks)
    refused = spark("answer", "order", "id=1", "--url", url)
    assert refused.code == 1
    assert "no open question 'id'" in refused.err
    assert spark("send", "order", "x" * 101, "--url", url).code == 1
    assert spark("send", "__spark__.inbox.order", "approved", "--anyway", "--url", url).code == 1
