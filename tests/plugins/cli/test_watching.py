"""What is seen of ``spark run`` while it goes on: on terminals, elsewhere, and of what nodes emit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.cells import cell_len

from spark.graphs import MapProgress, Progress
from spark.graphs.events import CheckpointMade, RunFinished, RunResumed, StepRetrying, StepStarted, StepWaiting
from spark_cli.running.view import RunView
from spark_cli.terminal.output import clipped
from spark_cli.terminal.screen import Screen
from tests.plugins.support.command_line import file_url, infos, sequences, spark, workplace_with
from tests.plugins.support.terminals import COLOUR, spark_on_terminal, terminal
from tests.support.variants import first_of

MODULE = """
import asyncio, sys
from pathlib import Path
from spark.graphs import Graph, JoinNode, node
from spark.graphs.checkpoint import CheckpointConfig

config = CheckpointConfig(trigger_on_iteration=1)

@node
async def split(context):
    return {"items": list(range(6))}

@node
async def work(context):
    if context.inputs >= 4:
        print("reached", flush=True)
        while not Path("go").exists():
            await asyncio.sleep(0.005)
    return {}

class Gather(JoinNode):
    async def process(self, context):
        return "gathered"

split.each("items", limit=2) >> work >> Gather()
mapping = Graph(split, id="mapping", checkpoint_config=config)

@node
async def speak(context):
    for part in ("Hel", "lo\\r\\n", "wor\\tld", {"tokens": 2}, "\\x1b[2J", "end"):
        await context.emit(part)
    return "spoken"

speaking = Graph(speak, id="speaking")

@node
async def step(context):
    count = await context.graph_state.get("count", 0) + 1
    await context.graph_state.set("count", count)
    return {"more": count < 4}

step.on(more=True) >> step
steps = Graph(step, id="steps", checkpoint_config=config)
"""
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WHERE = {"graph_id": "g", "run_id": "r", "time": NOW}
WHICH = {**WHERE, "iteration": 4, "node": "charge", "attempt": 2}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the module in it."""
    with workplace_with("seen", MODULE, tmp_path, monkeypatch) as folder:
        yield folder


def shown(view: RunView, progress: Progress, *, width: int = 80) -> list[str]:
    screen = Screen(encoding="utf-8", width=width)
    return ["".join(span.text for span in clipped(line, screen)) for line in view.lines(progress, now=NOW)]


def test_a_view_says_how_far_maps_are_what_runs_and_what_steps_wait_for() -> None:
    view = RunView("orders", began=NOW - timedelta(seconds=72))
    view.note(CheckpointMade(**WHERE, iteration=4, checkpoint_id="c", sequence=3, reason="trigger", seconds=0.1))
    view.note(StepRetrying(**WHICH, step="1", error=OSError(), due=NOW + timedelta(seconds=12)))
    view.note(StepWaiting(**{**WHICH, "node": "review"}, step="2", waits=("question",)))
    progress = Progress(45, "work", ("work", "work", "sum"), 3, 3, (MapProgress("split", "work", "items", 5, 2, 13),))

    assert shown(view, progress) == [
        "● orders  1:12 · 45 steps · 1 checkpoint, the last 0 s ago",
        "  work  █████░░░░░░░░░░░░░░░  5 of 20 items, 2 running",
        "  running  work (2), sum",
        "  waiting  charge for attempt 3 in 12 s, review for question, 3 ready",
    ]
    view.note(StepStarted(**WHICH, step="1"))
    assert shown(view, progress)[-1] == "  waiting  review for question, 3 ready"
    assert max(map(cell_len, shown(view, progress, width=40))) <= 40


def test_a_view_tells_how_a_run_began_and_ended() -> None:
    view = RunView("orders", began=NOW)
    assert (view.beginning(), view.ending(None)) == (None, None)
    view.note(RunResumed(**WHERE, iteration=1, checkpoint_id="ckpt_orders_000007"))
    assert view.beginning() == "resumed from ckpt_orders_000007, 1 step done"
    view.note(RunFinished(**WHERE, iteration=12, status="failed", seconds=61.0))
    assert view.ending(None) == "failed: 12 steps, 11 of them now, 61 s"
    told = view.ending(Progress(12, "x", (), 0, 9))
    assert told == "failed: 12 steps, 11 of them now, 61 s, latest checkpoint ckpt_orders_000009"


@pytest.mark.parametrize("plain", first_of([False, True]))
def test_a_run_on_a_terminal_shows_a_view_that_is_gone_at_its_end(workplace: Path, plain: bool) -> None:
    import os

    environment = os.environ | ({"LANG": "C", "NO_COLOR": "1"} if plain else {})
    with terminal(width=60) as screen:
        command = [sys.executable, "-m", "spark_cli", "run", "seen:mapping", "--url", file_url(workplace / "runs")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=screen.slave) as running:
            try:
                screen.wait_for("4 of 6 items, 2 running")
                (workplace / "go").touch()
                assert b'"gathered"' in running.communicate(timeout=200)[0]
            finally:
                running.kill()
        shown = screen.close()

    assert running.returncode == 0
    assert "reached" in shown, "what nodes print appears above the view"
    assert ("#############......." in shown) == plain
    assert ("█████████████░░░░░░░" in COLOUR.sub("", shown)) == (not plain)
    assert shown.isascii() == plain
    assert ("\x1b[36m" in shown) == (not plain)
    last = COLOUR.sub("", shown).rpartition("\x1b[2K")[2]
    assert re.fullmatch(r"spark: completed: 8 steps, \d+\.\d s, latest checkpoint ckpt_mapping_\d{6}\n", last)


def test_elsewhere_there_are_no_control_characters() -> None:
    done = spark("run", "seen:steps", "--url", "sqlite:///runs.db")

    assert "\x1b" not in done.err
    assert "\r" not in done.err


def test_what_nodes_emit_is_shown_as_it_comes_and_the_result_stays_apart() -> None:
    done = spark("run", "seen:speaking", "--emitted")

    assert done.json["content"] == "spoken"
    emitted, _, last = done.err.rpartition("spark: completed: ")
    assert emitted == 'Hello\nwor\tld\n{"tokens": 2}\n\\x1b[2Jend\n'
    assert last.startswith("1 step, ")
    assert "Hello" not in spark("run", "seen:speaking").err


def test_emitted_text_is_shown_on_a_terminal_without_a_view() -> None:
    done = spark_on_terminal("run", "seen:speaking", "--emitted")

    assert done.out.startswith('Hello\nwor\tld\n{"tokens": 2}\n\\x1b[2Jend\n')
    assert "\x1b" not in done.out


def test_a_run_continues_from_any_checkpoint_and_says_so_where_that_is_a_branch(workplace: Path) -> None:
    url = file_url(workplace / "runs")
    spark("run", "seen:steps", "--url", url)

    branch = spark("run", "seen:steps", "--url", url, "--from", "ckpt_steps_000002")
    latest = spark("run", "seen:steps", "--url", url, "--from", "ckpt_steps_000006")

    assert (branch.code, branch.json["resumed"]) == (0, True)
    assert branch.err.startswith(
        "spark: a new branch begins at ckpt_steps_000002; the checkpoints after it stay.\n"
        "spark: resumed from ckpt_steps_000002, 2 steps done\n"
    )
    assert sequences(infos(url)) == [1, 2, 3, 4, 5, 6]
    assert "branch from 2" in spark("checkpoints", "list", "--url", url).out
    assert (latest.code, "branch" in latest.err) == (0, False)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--from", "ckpt_steps_000001", "--resume"], 2, "--from already says what to resume"),
        (["--from", "ckpt_steps_000001"], 2, "--from needs a store"),
        (["--from", "ckpt_other_000001", "--url", "sqlite:///runs.db"], 2, "no checkpoint 'ckpt_other_000001'"),
    ],
)
def test_wrong_usage_is_told(options: list[str], code: int, told: str) -> None:
    done = spark("run", "seen:speaking", *options)

    assert (done.code, told in done.err) == (code, True)
