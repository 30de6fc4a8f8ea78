"""``spark worker --once`` and ``spark run --due``: whatever is unfinished and can continue is resumed, by cron or a service."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, open_backend
from spark_testing.clock import FakeClock
from tests.plugins.support.command_line import spark

BEFORE = datetime.now(UTC) - timedelta(hours=1)
MODULE = """
import os
from pathlib import Path
from spark.graphs import Graph, node

@node
async def begin(context):
    return {}

@node
async def work(context):
    kind = context.graph_id.partition("-")[0]
    if kind == "later":
        await context.sleep(20 * 365 * 86400)
    if kind == "soon":
        await context.sleep(60)
    if kind == "asks":
        await context.interrupt("?")
    if kind == "ends":
        os._exit(9)
    if kind == "fails" and not Path("mended").exists():
        raise ConnectionError("the service is down")
    print("done", context.graph_id)
    return kind

begin >> work

def build(graph_id):
    return Graph(begin, id=graph_id)

def forgetful_build(graph_id):
    build(graph_id)

async def slow_build(graph_id):
    return build(graph_id)

graph = build("one")
asking = build("asks-9")
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "due_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("due_module", None)


def begin(url: str, *graph_ids: str) -> None:
    """Run graphs, some time ago, until they wait or fail."""
    import due_module  # type: ignore[import-not-found]

    async def run() -> None:
        async with open_backend(url) as store:
            for graph_id in graph_ids:
                config = CheckpointConfig(backend=store)
                graph = Graph(due_module.begin, id=graph_id, checkpoint_config=config, clock=FakeClock(now=BEFORE))
                await asyncio.gather(graph.run(wait=False), return_exceptions=True)

    asyncio.run(run())


def statuses(url: str) -> dict[str, str]:
    async def look() -> dict[str, str]:
        async with open_backend(url) as store:
            return {run.graph_id: run.status for run in await CheckpointManager(store).runs()}

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("worker --once --concurrency 2", "due_module:build"),
        ("worker --once --concurrency 2", "due_module:slow_build"),
        ("run --due --limit 2", "due_module:build"),
    ],
)
def test_what_is_due_is_resumed(command: str, target: str) -> None:
    url, (name, *options) = "sqlite:///runs.db", command.split()
    begin(url, "later-1", "soon-1", "soon-2", "asks-1", "fails-1")
    done = spark(name, target, *options, "--url", url)

    assert done.code in (None, 0)
    finished = {"status": "completed"}
    assert done.json == {"resumed": {"soon-1": finished, "soon-2": finished}, "failed": {}, "skipped": {}}
    assert "done soon-1" in done.err
    assert statuses(url) == {
        "later-1": "waiting",
        "soon-1": "completed",
        "soon-2": "completed",
        "asks-1": "interrupted",
        "fails-1": "failed",
    }
    again = spark(name, target, *options, "--url", url)
    assert (again.code in (None, 0), again.json["resumed"]) == (True, {})


def test_a_run_that_fails_shows_in_the_exit_code(tmp_path: Path) -> None:
    url = "sqlite:///runs.db"
    begin(url, "soon-1", "soon-2")
    text = (tmp_path / "due_module.py").read_text()
    (tmp_path / "due_module.py").write_text(
        text.replace('print("done"', 'assert context.graph_id != "soon-1"; print("done"')
    )
    del sys.modules["due_module"]
    done = spark("worker", "due_module:build", "--once", "--url", url)

    assert done.code == 1
    assert done.json["failed"] == {"soon-1": "AssertionError: "}
    assert list(done.json["resumed"]) == ["soon-2"]
    assert "the run of graph 'soon-1' failed" in done.err
    assert "AssertionError" in done.err


def test_what_a_run_waits_for_is_printed() -> None:
    asked = spark("run", "due_module:asking", "--url", "sqlite:///runs.db").json
    (question,) = asked["interrupts"]
    assert (asked["status"], asked["due"], question["node"], question["payload"]) == ("interrupted", None, "work", "?")

    assert spark("answer", "asks-9", f"{question['id']}=true", "--url", "sqlite:///runs.db").code in (None, 0)
    resumed = spark("worker", "due_module:build", "--once", "--url", "sqlite:///runs.db").json["resumed"]
    assert resumed == {"asks-9": {"status": "completed"}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["due_module:graph", "--once"], "spark worker needs a function that makes the graph for a graph id"),
        (["due_module:nothing", "--once"], "is not a graph"),
        (["due_module:build", "--once", "--concurrency", "0"], "--concurrency"),
        (["due_module:build", "--once", "--idle-exit", "1"], "leave out --idle-exit"),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], message: str) -> None:
    done = spark("worker", *arguments, "--url", "sqlite:///runs.db")
    assert done.code == 2
    assert message in done.err


def test_due_takes_few_other_options() -> None:
    done = spark("run", "due_module:build", "--due", "--input", "{}", "--url", "sqlite:///runs.db")
    assert done.code == 2
    assert "it takes --limit, --grace and --url" in done.err


def test_it_takes_the_configured_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert spark("worker", "due_module:build", "--once").code == 2
    monkeypatch.setenv("SPARK_CHECKPOINT_URL", "sqlite:///runs.db")
    begin("sqlite:///runs.db", "soon-1")
    assert [*spark("worker", "due_module:build", "--once").json["resumed"]] == ["soon-1"]


def test_a_run_that_somebody_claims_is_refused_by_name() -> None:
    """``spark run`` claims what it runs."""
    from spark.graphs.checkpoint.derived.claims import Claim, Lease
    from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM

    done: list[Any] = []

    async def claimed() -> None:
        async with open_backend("sqlite:///runs.db") as store:
            claim = Claim(owner="somebody")
            lease = Lease(claim, store, "one", clock=SYSTEM_CLOCK, random=SYSTEM_RANDOM, on_lost=print)
            await lease.take()
            done.append(await asyncio.to_thread(spark, "run", "due_module:graph", "--url", "sqlite:///runs.db"))
            await lease.release()

    before = datetime.now(UTC).replace(microsecond=0)
    asyncio.run(claimed())
    assert done[0].code == 1
    assert "being run by 'somebody'" in done[0].err
    since = re.search(r"since (\S+ \S+) UTC", done[0].err)
    assert since is not None
    assert before <= datetime.fromisoformat(since[1]).replace(tzinfo=UTC) <= datetime.now(UTC)
    assert spark("run", "due_module:graph", "--url", "sqlite:///runs.db").json["content"] == "one"


def test_submitted_runs_are_carried_out_by_a_worker() -> None:
    """It resumes what is due besides, and ends when nothing is left."""
    url = "sqlite:///runs.db"
    begin(url, "later-1", "soon-1")
    assert spark("submit", "due_module:build", "new-1", "--input", '{"item": 1}', "--url", url).out == "submitted\n"
    again = spark("submit", "due_module:build", "new-1", "--input", '{"item": 1}', "--url", url)
    assert again.out == "not submitted: graph 'new-1' has this run already\n"
    assert statuses(url)["new-1"] == "queued"
    done = spark("worker", "due_module:build", "--url", url, "--idle-exit", "0", "--owner", "worker-1")

    assert done.code in (None, 0)
    assert statuses(url) == {"later-1": "waiting", "new-1": "completed", "soon-1": "completed"}
    assert "spark: worker 'worker-1' resumes what can continue in the sql store, 8 runs at a time." in done.err
    assert "spark: new-1: taken up: it was queued, 0 steps done" in done.err
    assert "spark: new-1: completed" in done.err
    assert "the worker has ended; 2 completed." in done.err


def test_a_worker_tells_of_runs_that_fail_and_goes_on() -> None:
    url = "sqlite:///runs.db"
    for graph_id in ("fails-1", "new-1"):
        spark("submit", "due_module:build", graph_id, "--url", url)
    done = spark("worker", "due_module:build", "--url", url, "--idle-exit", "0", "--quiet")

    assert done.code in (None, 0)
    assert "spark: the run of graph 'fails-1' failed:" in done.err
    assert "ConnectionError: the service is down" in done.err
    assert "taken up" not in done.err
    assert statuses(url) == {"fails-1": "failed", "new-1": "completed"}


def test_a_run_that_ends_its_worker_fails_before_it_ends_one_more() -> None:
    url = "sqlite:///runs.db"
    spark("submit", "due_module:build", "ends-1", "--url", url)
    work = ["worker", "due_module:build", "--url", url, "--idle-exit", "0", "--max-restarts", "0"]
    ended = subprocess.run([sys.executable, "-m", "spark_cli", *work], capture_output=True, timeout=200, check=False)
    done = spark(*work)

    assert (ended.returncode, done.code or 0) == (9, 0)
    assert "RunError: Graph 'ends-1' is not restarted any more: the process that ran it ended" in done.err
    assert statuses(url) == {"ends-1": "failed"}
    assert "is not restarted any more" in spark("show", "ends-1", "--url", url).out


def test_inputs_that_differ_from_those_of_a_submitted_run_are_refused() -> None:
    spark("submit", "due_module:build", "new-1", "--input", '{"item": 1}', "--url", "sqlite:///runs.db")
    done = spark("submit", "due_module:build", "new-1", "--input", '{"item": 2}', "--url", "sqlite:///runs.db")

    assert done.code == 1
    assert "they differ in 'item'" in done.err


@pytest.mark.parametrize("command", ["worker", "submit"])
def test_a_function_that_does_not_return_the_graph_is_told_so(command: str) -> None:
    url = "sqlite:///runs.db"
    spark("submit", "due_module:build", "new-1", "--url", url)
    arguments = ["--once"] if command == "worker" else ["new-2"]
    done = spark(command, "due_module:forgetful_build", *arguments, "--url", url)

    assert done.code == 1
    assert "returned None for 'new-" in done.err
    assert "return Graph(start, id=graph_id)" in done.err
