"""``spark edit``, ``spark fork`` and ``spark drain``, which ask before they change something."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, GraphCheckpoint
from tests.plugins.support.command_line import (
    counting_graph,
    file_url,
    fill,
    infos,
    sequences,
    spark,
    sqlite_url,
    with_store,
)
from tests.support.variants import first_of


class Terminal(io.StringIO):
    """A standard input that somebody types at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=first_of([file_url, sqlite_url]), ids=["file", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with five checkpoints of one graph, which is complete."""
    made: Callable[[Path], str] = request.param
    store = made(tmp_path / "store")
    fill(store, to=4)
    return store


def latest(url: str, graph_id: str = "counting") -> GraphCheckpoint:
    async def look(store: CheckpointBackend) -> GraphCheckpoint | None:
        return await CheckpointManager(store).load_latest(graph_id)

    found = with_store(url, look)
    assert isinstance(found, GraphCheckpoint)
    return found


def count_on(url: str, graph_id: str) -> int:
    """What the graph has counted to once it is resumed."""

    async def run(store: CheckpointBackend) -> int:
        graph = counting_graph(CheckpointConfig(backend=store), graph_id=graph_id)
        await graph.run(resume=True)
        return int(await graph.get_state("count"))

    return int(with_store(url, run))


def test_an_edit_is_a_new_checkpoint_with_a_reason(url: str) -> None:
    command = [
        "edit",
        "counting",
        "--set",
        "count=7",
        "--set",
        'who="ops=me"',
        "--append",
        "log=1",
        "--url",
        url,
        "--yes",
    ]
    refused = spark(*command)
    done = spark("edit", "counting", "--set", "log=[]", "--reason", "to begin a log", "--url", url, "--yes")
    again = spark(*command, "--append", 'log={"a": 2}', "--json")

    assert (refused.code, "log" in refused.err) == (1, True)
    assert (done.code, done.out) == (0, "edited: ckpt_counting_000006\n")
    assert f"spark run MODULE:GRAPH --resume --url {url}" in done.err
    assert again.json["sequence"] == 7
    assert latest(url).graph_state == {"count": 7, "who": "ops=me", "log": [1, {"a": 2}]}
    assert "to begin a log" in spark("checkpoints", "list", "--url", url).out
    spark("edit", "counting", "--delete", "who", "--url", url, "--yes")
    assert "who" not in latest(url).graph_state


@pytest.mark.parametrize(("answer", "code", "made"), [("n", 1, 5), ("y", 0, 6)])
def test_at_a_terminal_an_edit_shows_what_it_changes_and_asks(
    url: str, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, made: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))

    done = spark("edit", "counting", "--set", "count=7", "--set", "new=[1]", "--url", url)

    assert (done.code, len(infos(url))) == (code, made)
    assert done.err.startswith("- count: 4\n+ count: 7\n+ new: [1]\n")
    assert "Change graph 'counting' like this?" in done.err


@pytest.mark.parametrize(
    "command",
    [
        ["edit", "counting", "--set", "count=7"],
        ["fork", "ckpt_counting_000002"],
        ["drain", "counting"],
    ],
)
def test_without_a_terminal_only_yes_changes_something(url: str, command: list[str]) -> None:
    done = spark(*command, "--url", url)

    assert (done.code, "--yes" in done.err) == (2, True)
    assert sequences(infos(url)) == [1, 2, 3, 4, 5]


def test_an_edit_may_count_as_a_step_of_a_node(url: str) -> None:
    fork = ["fork", "ckpt_counting_000002", "--to", "other", "--url", url]
    spark(*fork, "--as-node", "Count", "--output", '{"to": 9, "done": false}', "--set", "count=6")

    assert count_on(url, "other") == 9


def test_a_node_may_have_returned_what_is_false(url: str) -> None:
    spark("fork", "ckpt_counting_000002", "--to", "other", "--as-node", "ExitNode", "--output", "false", "--url", url)

    assert (latest(url, "other").frontier or {})["result"]["content"] is False


def test_a_fork_begins_another_graph_and_asks_nobody(url: str) -> None:
    done = spark("fork", "ckpt_counting_000002", "--to", "other", "--url", url)
    taken = spark("fork", "ckpt_counting_000002", "--to", "other", "--url", url)

    assert (done.code, done.out) == (0, "forked: ckpt_other_000001\n")
    assert f"spark run MODULE:BUILD --id other --resume --url {url}" in done.err
    assert (taken.code, "has checkpoints already" in taken.err) == (1, True)
    assert latest(url).sequence == 5
    assert "fork of ckpt_counting_000002" in spark("checkpoints", "list", "other", "--url", url).out
    assert "  forked from ckpt_counting_000002\n" in spark("show", "other", "--url", url).out
    assert "  other  from ckpt_counting_000002\n" in spark("show", "counting", "--forks", "--url", url).out
    assert count_on(url, "other") == 4


def test_a_fork_without_another_id_is_a_branch(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))

    done = spark("fork", "ckpt_counting_000002", "--set", "count=3", "--url", url)

    assert (done.code, done.out.lstrip()) == (0, "forked: ckpt_counting_000006\n")
    assert "Let graph 'counting' continue from 'ckpt_counting_000002'?" in done.err
    assert (latest(url).parent, latest(url).graph_state["count"]) == (2, 3)
    listed = spark("checkpoints", "list", "counting", "--url", url).out
    assert (listed.count("branch from"), listed.endswith("  branch from 2\n")) == (1, True)
    assert "2 branches" in spark("show", "counting", "--url", url).out


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["edit", "counting"], "say what to change: --set, --append, --delete or --as-node"),
        (["edit", "counting", "--reason", "x"], "say what to change"),
        (["edit", "counting", "--set", "count"], "'count' must be --set KEY=JSON"),
        (["edit", "counting", "--append", "count=yes"], "A text needs quotes of its own: 'KEY=\"yes\"'"),
        (["edit", "counting", "--set", "a=1", "--output", "1"], "say which node, with --as-node"),
        (["edit", "counting", "--as-node", "Count", "--output", "{"], "--output is not JSON"),
        (["edit", "counting", "--set", "a=1", "--set", "a=2"], "--set gives 'a' more than one value"),
        (["edit", "counting", "--set", "a=NaN"], "must be --set KEY=JSON"),
        (["edit", "counting", "--set", "a=1", "--as-node", ""], "--as-node is given an empty text"),
        (["fork", "ckpt_counting_000001", "--to", "sqlite:///x"], "is a URL, not a graph id"),
        (
            ["fork", "ckpt_counting_000001", "--to", ""],
            "--to is given an empty text. Is a variable of your shell not set?",
        ),
        (["checkpoints", "prune", "", "--keep", "1"], "[GRAPH_ID] is given an empty text"),
        (["checkpoints", "prune", "counting", "--keep", "1", "--url", ""], "--url is given an empty text"),
    ],
)
def test_wrong_usage_is_told(url: str, command: list[str], told: str) -> None:
    done = spark(*command[:2], "--url", url, "--yes", *command[2:])

    assert done.code == 2
    assert told in " ".join(done.err.split())
    assert len(infos(url)) == 5, "nothing was changed"


def test_nobody_is_asked_to_stop_where_nothing_runs(url: str) -> None:
    done = spark("drain", "counting", "--url", url, "--yes")

    assert (done.code, done.out) == (1, "")
    assert "no run of graph 'counting' seems to be under way" in done.err
    assert spark("drain", "counting", "--url", url, "--yes", "--json").json == {"asked": False}


RUNNING = """
import asyncio
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig

@node
async def step(context):
    print("reached", flush=True)
    await asyncio.sleep(0.02)

step >> step
graph = Graph(step, id="endless", checkpoint_config=CheckpointConfig(trigger_on_iteration=1))
"""


@pytest.mark.thorough
def test_a_run_in_another_process_is_asked_to_stop(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(RUNNING)
    url = sqlite_url(tmp_path / "runs")
    command = [sys.executable, "-m", "spark_cli", "run", "endless:graph", "--url", url]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            for _ in range(2):  # the first checkpoint is there
                while running.stderr.readline() != "reached\n":
                    assert running.poll() is None
            shown = spark("show", "endless", "--url", url)
            asked = spark("drain", "endless", "--reason", "new release", "--url", url, "--yes")
            out, err = running.communicate(timeout=200)
        finally:
            running.kill()

    assert f"  to stop it where it can be resumed: spark drain endless --url {url}\n" in shown.out
    assert (asked.code, asked.out) == (0, "asked\n")
    assert running.returncode == 75
    assert '"status": "drained"' in out
    assert "spark: drained: " in err
    assert "‖ drained" in spark("runs", "--url", url).out


def test_an_edit_is_refused_if_the_graph_moves_on_while_somebody_thinks(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def edit(store: CheckpointBackend) -> None:
        await CheckpointManager(store).edit("counting", set={"count": 8})

    class Slow(Terminal):
        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
            other = Thread(target=with_store, args=(url, edit))  # of a loop of its own
            other.start()
            other.join()
            return "y\n"

    monkeypatch.setattr("sys.stdin", Slow())
    done = spark("edit", "counting", "--set", "count=7", "--url", url)

    assert (done.code, "has moved on" in done.err) == (1, True)
    assert latest(url).graph_state["count"] == 8
