"""``spark runs``: which runs a store holds, on terminals of any width, in a pipe, and while they go on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len

from spark.graphs.checkpoint.maintenance.runs import STATUSES as ALL_STATUSES
from spark_cli.views.statuses import STATUSES
from tests.plugins.support.command_line import (
    file_url,
    fill,
    put_many_runs,
    put_run,
    spark,
    sqlite_url,
)
from tests.plugins.support.terminals import COLOUR, plain_lines, spark_on_terminal, terminal
from tests.support.variants import first_of

LONG = "invoices-of-the-northern-branch-2026-01-31"
WIDE = "注文-処理-" * 6


@pytest.fixture(params=first_of([file_url, sqlite_url]), ids=["file", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: Callable[[Path], str] = request.param
    return made(tmp_path / "store")


@pytest.fixture
def runs(tmp_path: Path) -> str:
    """A store with a run in each status."""
    url = sqlite_url(tmp_path / "store")
    put_run(url, "done", "completed")
    put_run(url, LONG, "failed", error_type="ConnectionError", error_message="the service is down", error_node="send")
    put_run(url, WIDE, "waiting", due=(datetime.now(UTC) + timedelta(hours=2, minutes=5)).isoformat())
    put_run(url, "refund", "interrupted", age=timedelta(days=3), questions=2)
    put_run(url, "killed", "trigger", age=timedelta(seconds=20))
    return url


def test_a_choice_that_is_none_is_told_with_those_there_are(url: str) -> None:
    done = spark("runs", "--sort", "size", "--url", url)

    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        "Error: Invalid value for '--sort': 'size' is not one of 'need', 'age', 'due', 'id', 'step'."
    )


def test_those_runs_come_first_that_need_a_person(runs: str) -> None:
    done = spark("runs", "--url", runs)

    titles, *rows, last = done.out.splitlines()
    assert titles.split() == ["STATUS", "GRAPH", "NODE", "STEP", "AGE"]
    assert [row.split()[1] for row in rows] == ["failed", "interrupted", "silent", "waiting", "completed"]
    assert rows[0].endswith("  send      12  3 min  ConnectionError: the service is down")
    assert rows[1].endswith("3 d  2 questions")
    assert rows[3].endswith("in 2 h")
    assert last == "5 runs: 1 failed, 1 interrupted, 1 silent, 1 waiting, 1 completed"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_fits_its_terminal(runs: str, width: int) -> None:
    lines = plain_lines(spark_on_terminal("runs", "--url", runs, width=width).out)

    assert max(map(cell_len, lines)) <= width
    failed, waiting = lines[1], next(line for line in lines if "waiting" in line)
    assert failed.startswith("✗ failed")
    assert (LONG in failed) == (WIDE in waiting) == (width == 200)
    assert ("ConnectionError" in failed) == (width >= 80)
    assert "invoi" in failed
    assert "1-31" in failed, "ids differ at their ends"
    assert "3 min" in failed
    columns = [cell_len(line.partition(age)[0]) for line, age in ((failed, " 3 min"), (waiting, " 3 min"))]
    assert columns[0] == columns[1], "wide characters count twice"


def test_there_is_colour_on_a_terminal_unless_nobody_wants_it(runs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = spark_on_terminal("runs", "--url", runs).out
    monkeypatch.setenv("NO_COLOR", "1")
    plain = spark_on_terminal("runs", "--url", runs).out
    piped = spark("runs", "--url", runs).out

    assert "\x1b[31m✗ failed" in coloured
    ages = re.compile(r" +\d+ s\b")
    assert ages.sub("", COLOUR.sub("", coloured)) == ages.sub("", plain)
    assert "\x1b" not in plain + piped


@pytest.mark.parametrize("name", ["LANG", "LC_ALL"])
def test_a_terminal_that_knows_only_ascii_gets_nothing_else(
    runs: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "C")
    shown = spark_on_terminal("runs", "--url", runs, width=80).out

    lines = plain_lines(shown)
    assert shown.isascii()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("x failed")
    assert "\\u6ce8" in shown
    assert "..." in lines[1]


def test_a_terminal_gets_as_many_rows_as_fit_and_a_pipe_all(runs: str) -> None:
    for number in range(30):
        put_run(runs, f"more-{number:02d}", "completed")

    fitting = plain_lines(spark_on_terminal("runs", "--url", runs, height=12).out)
    limited = spark("runs", "--url", runs, "--limit", "2").out.splitlines()

    assert len(fitting) == 11
    assert fitting[-2:] == [
        "… 27 more; --limit 0 shows all",
        "35 runs: 1 failed, 1 interrupted, 1 silent, 1 waiting, 31 completed",
    ]
    assert len(spark("runs", "--url", runs).out.splitlines()) == 1 + 35 + 1
    assert len(spark_on_terminal("runs", "--url", runs, "--limit", "0", height=12).out.splitlines()) == 1 + 35 + 1
    assert (len(limited), limited[3]) == (5, "… 33 more; --limit 0 shows all")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "silent"], ["killed"]),
        (["--status", "running"], []),
        (["--status", "failed", "--status", "interrupted"], [LONG, "refund"]),
        (["--sort", "id"], ["done", LONG, "killed", "refund", WIDE]),
        (["--sort", "age", "--limit", "1"], ["killed"]),
        (["--sort", "due", "--limit", "1"], [WIDE]),
        (["re"], ["refund"]),
    ],
)
def test_runs_are_chosen_and_sorted(runs: str, options: list[str], found: list[str]) -> None:
    assert [run["graph_id"] for run in spark("runs", *options, "--url", runs, "--json").json] == found


def test_json_has_every_field(runs: str) -> None:
    (failed,) = spark("runs", "--status", "failed", "--url", runs, "--json").json

    assert (failed["graph_id"], failed["node"], failed["iteration"]) == (LONG, "send", 12)
    assert failed["error"] == "ConnectionError: the service is down"


def test_a_store_without_runs_says_so(url: str) -> None:
    fill(url, to=1)

    assert "there are no such runs here" in spark("runs", "other", "--url", url).err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--status", "lost"], "'lost' is not a status; choose one of damaged, failed"),
        (["--watch"], "--watch changes a view in place, so it needs a terminal"),
        (["sqlite:///x.db"], "is a URL, not a graph id"),
    ],
)
def test_wrong_usage_is_told(runs: str, options: list[str], told: str) -> None:
    done = spark("runs", *options, "--url", runs)

    assert done.code == 2
    assert told in " ".join(done.err.split())


def test_ten_thousand_graphs_are_an_overview(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "store")
    put_run(url, "zero", "completed")
    put_many_runs(tmp_path / "store.db", ["completed"] * 99 + ["failed"], count=10_000)

    lines = plain_lines(spark_on_terminal("runs", "--url", url, height=24).out)

    assert (len(lines), lines[-1]) == (23, "10,001 runs: 100 failed, 9,901 completed")
    assert lines[1].startswith("✗ failed")


def test_every_status_of_the_library_is_known() -> None:
    assert set(STATUSES) == ALL_STATUSES | {"silent"}


WATCHED = """
import asyncio, sys
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig

@node
async def count(context):
    done = await context.graph_state.get("count", 0) + 1
    await context.graph_state.set("count", done)
    if done == 3:
        sys.stdin.readline()
    return {"more": done < 5}

count.on(more=True) >> count
graph = Graph(count, id="counting", checkpoint_config=CheckpointConfig(backend=sys.argv[1], trigger_on_iteration=1))
asyncio.run(graph.run(claim=True))
"""


def test_watching_shows_a_run_that_goes_on_in_another_process(tmp_path: Path) -> None:
    """Until Ctrl-C, which is no failure."""
    url = file_url(tmp_path / "store")
    put_run(url, "done", "completed")
    with terminal() as screen:
        command = [sys.executable, "-m", "spark_cli", "runs", "--url", url, "--watch", "--every", "0.1"]
        watching = subprocess.Popen(command, stdin=screen.slave, stdout=screen.slave, stderr=screen.slave)
        screen.wait_for("1 run: ")
        running = subprocess.Popen([sys.executable, "-c", WATCHED, url], stdin=subprocess.PIPE)
        screen.wait_for("1 running, 1 completed")
        running.communicate(b"\n", timeout=200)
        screen.wait_for("2 runs: 2 completed")
        watching.send_signal(signal.SIGINT)

        assert watching.wait(200) == 0
        assert running.returncode == 0
        shown = screen.text
    assert shown.count("STATUS") > 2, "the view was replaced"
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("\x1b[?25h"), "the cursor is there again"
