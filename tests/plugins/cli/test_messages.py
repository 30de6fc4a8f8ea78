"""``spark send`` and ``spark answer``, on files and on SQLite, to graphs that wait and to graphs that don't exist yet."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph, NodeContext, node
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig
from tests.plugins.support.command_line import file_url, spark, sqlite_url, with_store


@pytest.fixture(params=[file_url, sqlite_url], ids=["file", "sqlite"])
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
    sent = spark("send", "order", "approved", '{"by": "me"}', "--url", url)
    assert (sent.code, sent.out) == (0, "sent\n")
    assert result_of(url, waits).content == {"by": "me"}


def test_a_message_without_a_value_and_from_standard_input(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spark("send", "order", "approved", "--url", url).code == 0
    assert result_of(url, waits).content is None
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))
    assert spark("send", "other", "approved", "-", "--url", url, "--json").json == {"sent": True}


def test_a_key_sends_a_message_once(url: str) -> None:
    assert spark("send", "order", "approved", "1", "--key", "k", "--url", url).code == 0
    again = spark("send", "order", "approved", "1", "--key", "k", "--url", url)
    assert (again.code, again.out) == (0, "not sent: a message with the key 'k' was sent before\n")


def test_questions_are_shown_and_answered(url: str) -> None:
    first, second = result_of(url, asks).interrupts
    shown = spark("answer", "order", "--url", url)
    assert shown.code == 0
    assert first.id in shown.out
    assert "sure?" in shown.out
    assert [each["id"] for each in spark("answer", "order", "--url", url, "--json").json] == [first.id, second.id]

    answered = spark("answer", "order", f"{first.id}=true", f'{second.id}="a=b"', "--url", url)
    assert (answered.code, answered.out) == (0, "2 answered\n")
    assert result_of(url, asks).content == [True, "a=b"]
    assert "no question is open" in spark("answer", "order", "--url", url).err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["send", "order", "approved", "yes"], "is not JSON"),
        (["answer", "order", "nonsense"], "must be ID=JSON"),
        (["answer", "order", "id=yes"], "must be ID=JSON"),
        (["send", "sqlite:///x", "approved"], "is a URL, not a graph id"),
    ],
)
def test_wrong_usage_is_said(arguments: list[str], says: str, url: str) -> None:
    done = spark(*arguments, "--url", url)
    assert done.code == 2
    assert says in done.err


def test_a_store_that_keeps_nothing_is_refused() -> None:
    done = spark("send", "order", "approved", "--url", "memory://")
    assert done.code == 2
    assert "keeps nothing after this command" in done.err


def test_what_can_not_be_sent_or_answered_is_said(url: str) -> None:
    refused = spark("answer", "order", "id=1", "--url", url)
    assert refused.code == 1
    assert "no open question 'id'" in refused.err
    assert spark("send", "order", "", "--url", url).code != 0
    assert spark("send", "__spark__.inbox.x", "approved", "--url", url).code == 1
