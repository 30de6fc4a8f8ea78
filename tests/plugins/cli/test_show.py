"""``spark show``: one run in detail, without the types of its program, and the commands to copy."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from spark.graphs import Graph, JoinNode, NodeContext, Retry, node
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig
from tests.plugins.support.command_line import damage, file_url, fill, save_by_hand, spark, sqlite_url, with_store
from tests.plugins.support.terminals import plain_lines, spark_on_terminal
from tests.support.variants import first_of


@dataclass
class Refund:
    """A type of the program, which the command does not know."""

    amount: int


@node
async def start(context: NodeContext) -> dict[str, Any]:
    await context.graph_state.set("refund", Refund(80))
    return {"items": [1, 2, 3]}


@node
async def ask(context: NodeContext) -> Any:
    return await context.interrupt({"refund": 80, "for": "Zoë"}, key="refund")


@node
async def hear(context: NodeContext) -> Any:
    return await context.wait_for("paid")


@node
async def flaky(context: NodeContext) -> None:
    raise ConnectionError("the service is down")


@node
async def fails(context: NodeContext) -> None:
    deep(7)


def deep(levels: int) -> None:
    if levels == 0:
        raise ValueError(f"too deep {levels}")
    deep(levels - 1)


class Together(JoinNode):
    async def process(self, context: NodeContext) -> None: ...


@node
async def quick(context: NodeContext) -> dict[str, Any]:
    return {}


@pytest.fixture(params=first_of([file_url, sqlite_url]), ids=["file", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: Callable[[Path], str] = request.param
    return made(tmp_path / "store")


def run(url: str, *after: Any, graph_id: str = "order") -> None:
    """Let a graph run that does this after its start."""

    async def work(store: CheckpointBackend) -> None:
        first = node(start.process, name="start")
        first >> list(after)
        config = CheckpointConfig(backend=store, trigger_on_iteration=1)
        graph = Graph(first, id=graph_id, checkpoint_config=config)
        await asyncio.gather(graph.run(wait=False), return_exceptions=True)

    with_store(url, work)


def commands_in(text: str) -> dict[str, list[str]]:
    return {purpose: shlex.split(command) for purpose, command in re.findall(r"^  (to .*): spark (.*)$", text, re.M)}


def test_a_run_that_asks_is_shown_with_the_command_that_answers(url: str) -> None:
    run(url, node(ask.process, name="ask"))

    done = spark("show", "order", "--url", url)
    data = spark("show", "order", "--url", url, "--json").json

    assert done.code == 0
    head, meaning, place, *rest = done.out.splitlines()
    assert re.fullmatch(r"order  \? interrupted  since 20\d\d-[\d-]+ [\d:]+ UTC, \d+ s ago", head)
    assert meaning == "  questions are open"
    assert place.startswith("  1 step, last node start, run ")
    (question,) = data["questions"]
    asked = next(line for line in rest if line.startswith(f"  {question['id']}  ask, for "))
    assert asked.endswith(' s: {"refund": 80, "for": "Zoë"}')
    assert f"  ask  waits for the answer to {question['id']}" in rest
    answer = commands_in(done.out)["to answer"]
    assert spark(*(word.replace("JSON", "true") for word in answer)).code == 0
    (wait,) = data["pending"][0]["waits"]
    assert (wait["kind"], wait["name"], wait["due"]) == ("interrupt", question["id"], None)


def test_a_run_that_failed_is_shown_with_its_stack(url: str) -> None:
    run(url, node(fails.process, name="fails"))

    short = spark("show", "order", "--url", url).out
    long = spark("show", "order", "--url", url, "--verbose").out

    assert "  ValueError: too deep 0\n      in node 'fails', attempt 1, at 20" in short
    assert "      … 4 more; --verbose shows them\n" in short
    assert (short.count(" in deep\n"), long.count(" in deep\n")) == (5, 8)
    assert "  fails  to be run, attempt 2\n" in short
    assert commands_in(short)["to resume it"] == ["run", "MODULE:GRAPH", "--resume", "--url", url]


def test_what_steps_wait_for_is_told(url: str) -> None:
    joined, waiting, join = node(quick.process, name="quick"), node(hear.process, name="hear"), Together()
    joined >> join
    waiting >> join
    run(
        url,
        joined,
        waiting,
        node(flaky.process, name="flaky", retry=Retry(initial_interval=7_210, max_interval=9_000, jitter=False)),
    )

    out = spark("show", "order", "--url", url).out

    assert re.search(r"^  in 2 h, at 20.* UTC$", out, re.M)
    assert "  hear      waits for the signal paid\n" in out
    assert "  flaky     waits for attempt 2, in 2 h\n" in out
    assert "  Together  waits at a join\n" in out
    assert commands_in(out)["to send what it waits for"] == ["send", "order", "paid", "JSON", "--url", url]


def test_the_history_is_summed_up(url: str) -> None:
    fill(url, to=12)
    save_by_hand(url, "by hand")

    title, titles, *lines = spark("show", "counting", "--last", "3", "--url", url).out.splitlines()[4:]

    assert re.fullmatch(r"14 checkpoints, [\d.]+ KB", title)
    assert titles.split() == ["CHECKPOINT", "REASON", "STEP", "NODE", "AGE", "SIZE"]
    assert [line.split()[0] for line in lines] == ["ckpt_counting_000012", "ckpt_counting_000013", "by"]
    for last, shown in ((0, 0), (10, 10), (14, 14), (20, 14)):
        data = spark("show", "counting", "--last", str(last), "--url", url, "--json").json
        assert len(data["checkpoints"]) == shown


def test_a_run_whose_latest_checkpoint_is_damaged_says_so(tmp_path: Path) -> None:
    fill(file_url(tmp_path / "store"), to=4)
    damage(tmp_path / "store", sequence=5)

    done = spark("show", "counting", "--url", file_url(tmp_path / "store"))

    assert done.code == 0
    assert "checkpoint 'ckpt_counting_000005'" in done.out.lower()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_a_terminal_and_commands_stay_whole(url: str, width: int) -> None:
    run(url, node(ask.process, name="ask"))

    out = spark_on_terminal("show", "order", "--url", url, width=width).out

    lines = plain_lines(out)
    table = lines[next(at for at, line in enumerate(lines) if "CHECKPOINT" in line) :][:3]
    assert max(map(cell_len, table)) <= width
    assert "\x1b[33m? interrupted\x1b[0m" in out
    assert commands_in("\n".join(lines))["to answer"][-2:] == ["--url", url]


def test_an_unknown_graph_is_an_error(url: str) -> None:
    fill(url, to=1)

    done = spark("show", "count", "--url", url)

    assert done.code != 0
    assert "'count'" in done.err
