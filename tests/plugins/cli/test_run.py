"""``spark run`` and ``spark graph``, on graphs in modules of the working directory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spark.graphs import Graph, MapProgress, Progress
from spark_cli.running.view import RunView
from tests.plugins.support.command_line import counting_graph, file_url, infos, sequences, spark, workplace_with

MODULE = """
import os, signal
from spark.graphs import ExitNode, Graph, JoinNode, Node, node
from spark.graphs.checkpoint import CheckpointConfig

class Count(Node):
    async def process(self, context):
        count = await context.graph_state.get("count", 0) + 1
        if count == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        await context.graph_state.set("count", count)
        return {"done": count >= 4, "hello": context.inputs.get("name")}

count = Count()
count.on(done=False) >> count
count.on(done=True) >> ExitNode()
graph = Graph(start=count, id="four")
stepwise = Graph(start=count, id="four", checkpoint_config=CheckpointConfig(trigger_on_iteration=1))

@node
async def fails(context):
    raise ConnectionError("the service is down")

@node
async def odd(context):
    print("said by a node")
    return {"bytes": b"\\xff", "set": {1}, "name": context.inputs["name"]}

@node
async def split(context):
    return {}

@node
async def left(context):
    return {}

@node
async def right(context):
    return {}

class Report(JoinNode):
    async def process(self, context):
        return {}

split >> [left, right] >> Report(name="a <report>")

def build():
    return Graph(start=odd, id="odd")

@node
async def leaves(context):
    raise SystemExit(7)

before = node(split.process, name="before leaves")
before >> leaves
that_leaves = Graph(start=before, id="stopped", checkpoint_config=CheckpointConfig(trigger_on_iteration=1000))

@node
async def mended(context):
    return {}

before_fails, before_mended = (node(split.process, name="before") for _ in range(2))
before_fails >> fails
before_mended >> mended
was = Graph(start=before_fails, id="renamed")
is_now = Graph(start=before_mended, id="renamed")

failing = Graph(start=fails, id="failing")
joined = Graph(start=split, id="joined")
not_a_graph = 5


def needs_more(size):
    pass


"""


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with the module in it."""
    with workplace_with("graphs_of_mine", MODULE, tmp_path, monkeypatch) as folder:
        yield folder


def test_a_run_prints_its_result_as_json_and_its_progress_beside_it() -> None:
    done = spark("run", "graphs_of_mine:graph")

    result = done.json
    assert isinstance(result.pop("run_id"), str)
    assert (done.code, result) == (
        0,
        {
            "graph_id": "four",
            "resumed": False,
            "status": "completed",
            "node": "ExitNode",
            "content": {"done": True, "hello": None, "success": True},
        },
    )
    assert re.fullmatch(r"spark: completed: 5 steps, \d+\.\d s\n", done.err)


def test_a_function_may_make_the_graph_and_inputs_are_given_as_json() -> None:
    done = spark("run", "graphs_of_mine:build", "--input", '{"name": "world"}')

    assert done.json["content"] == {"bytes": "_w==", "set": [1], "name": "world"}
    assert "said by a node" in done.err


def test_checkpoints_go_to_the_store_of_the_url() -> None:
    done = spark("run", "graphs_of_mine:graph", "--url", "sqlite:///runs.db")

    made = sequences(infos("sqlite:///runs.db"))
    assert done.err.endswith(f"latest checkpoint ckpt_four_{made[-1]:06}\n")


def test_a_graph_that_makes_no_checkpoints_takes_the_configuration_in_force(workplace: Path) -> None:
    (workplace / "spark.toml").write_text('[checkpoint]\nurl = "sqlite:///runs.db"\ntrigger_on_iteration = 1\n')

    spark("run", "graphs_of_mine:graph")

    assert sequences(infos("sqlite:///runs.db")) == [1, 2, 3, 4, 5]


def test_a_run_whose_node_was_renamed_is_resumed_by_what_the_error_says() -> None:
    store = ("--resume", "--url", "sqlite:///runs.db")
    spark("run", "graphs_of_mine:was", *store)

    refused = spark("run", "graphs_of_mine:is_now", *store)
    done = spark("run", "graphs_of_mine:is_now", *store, "--rename", "fails=mended")

    assert (refused.code, "--rename fails=" in refused.err) == (1, True)
    assert (done.code, done.json["resumed"], done.json["node"]) == (0, True, "mended")


@pytest.mark.parametrize("pair", ["fails", "=mended", "fails=", "fails=a=b"])
def test_what_is_no_pair_of_keys_renames_nothing(pair: str) -> None:
    done = spark("run", "graphs_of_mine:is_now", "--resume", "--url", "sqlite:///runs.db", "--rename", pair)

    assert (done.code, f"--rename {pair!r} must be OLD=NEW" in done.err) == (2, True)


def test_a_killed_run_is_resumed(workplace: Path) -> None:
    store = file_url(workplace / "store")
    arguments = [sys.executable, "-m", "spark_cli", "run", "graphs_of_mine:stepwise", "--resume", "--url", store]

    killed = subprocess.run(arguments, capture_output=True, env=os.environ | {"DIE_AT": "3"}, timeout=200)
    assert sequences(infos(store)) == [1, 2]
    resumed = subprocess.run(arguments, capture_output=True, text=True, timeout=200)

    assert killed.returncode == -signal.SIGKILL
    assert json.loads(resumed.stdout)["status"] == "completed"
    assert re.fullmatch(
        r"spark: resumed from ckpt_four_000002, 2 steps done\n"
        r"spark: completed: 5 steps, 3 of them now, \d+\.\d s, latest checkpoint ckpt_four_000005\n",
        resumed.stderr,
    )
    assert sequences(infos(store)) == [1, 2, 3, 4, 5]


def test_a_complete_run_gives_its_result_again_and_takes_no_other_inputs() -> None:
    run = ["run", "graphs_of_mine:graph", "--url", "sqlite:///runs.db"]
    first = spark(*run, "--input", '{"name": "monday"}').json

    again = spark(*run, "--resume").json
    same = spark(*run, "--resume", "--input", '{"name": "monday"}').json
    other = spark(*run, "--resume", "--input", '{"name": "tuesday"}')

    assert again == same == {**first, "resumed": True}
    assert (other.code, other.out) == (1, "")
    assert "was started with other inputs" in other.err
    assert "spark run MODULE:GRAPH --resume-state --input JSON" in other.err


def test_a_new_run_in_the_stored_state_takes_new_inputs() -> None:
    run = ["run", "graphs_of_mine:graph", "--url", "sqlite:///runs.db"]
    first = spark(*run, "--input", '{"name": "monday"}').json

    second = spark(*run, "--resume-state", "--input", '{"name": "tuesday"}')

    assert second.json["run_id"] != first["run_id"]
    assert second.json["content"] == {"done": True, "hello": "tuesday", "success": True}
    assert "2 steps" in second.err  # the count of the first run is at its end already


def test_an_unfinished_run_is_not_cut_off_by_a_new_one() -> None:
    run = ["run", "graphs_of_mine:failing", "--url", "sqlite:///runs.db"]
    spark(*run)

    done = spark(*run, "--resume-state")

    assert (done.code, done.out) == (1, "")
    assert "has an unfinished run" in done.err
    assert "Finish it with spark run MODULE:GRAPH --resume. Or leave it unfinished" in done.err


def test_a_node_that_exits_gives_the_exit_code_and_the_run_is_saved() -> None:
    done = spark("run", "graphs_of_mine:that_leaves", "--url", "sqlite:///runs.db")

    assert done.code == 7
    assert "checkpoint 'ckpt_stopped_000001'" in done.err


def test_what_a_node_raises_is_shown_with_the_checkpoint_to_go_on_from() -> None:
    done = spark("run", "graphs_of_mine:failing", "--url", "sqlite:///runs.db")

    assert (done.code, done.out) == (1, "")
    assert "ConnectionError: the service is down" in done.err
    assert "latest checkpoint ckpt_failing_000001\n" in done.err
    assert "engine" not in done.err, "what the library does in between tells nobody anything"
    assert "spark: ConnectionError: the service is down\nspark:     in node 'fails', attempt 1, at 20" in done.err
    assert 'graphs_of_mine.py", line 22, in fails\n' in done.err

    listed = spark("checkpoints", "list", "--url", "sqlite:///runs.db")
    shown = spark("checkpoints", "show", "ckpt_failing_000001", "--url", "sqlite:///runs.db")

    assert "  ConnectionError: the service is down\n" in listed.out
    assert "    error: ConnectionError: the service is down\n        in node 'fails', attempt 1, at 20" in shown.out


def test_an_earlier_failure_is_not_told_of_a_later_one(workplace: Path) -> None:
    (workplace / "spark.toml").write_text('[checkpoint]\nurl = "sqlite:///runs.db"\n')
    spark("run", "graphs_of_mine:failing")
    (workplace / "spark.toml").write_text('[checkpoint]\nurl = "sqlite:///runs.db"\ntrigger_on_failure = false\n')

    done = spark("run", "graphs_of_mine:failing")

    assert "ConnectionError: the service is down" in done.err
    assert "spark:     in node" not in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["graphs_of_mine"], "write module:name"),
        (["graphs_of_mine:nothing"], "has no attribute 'nothing'"),
        (["graphs_of_mine:not_a_graph"], "is int, not a graph"),
        (["graphs_of_mine:needs_more"], "can't be called without arguments: missing a required argument: 'size'"),
        (["no_such_module:graph"], "there is no module 'no_such_module'"),
        (["graphs_of_mine:graph", "--input", "{"], "--input is not JSON"),
        (["graphs_of_mine:graph", "--resume", "--resume-state"], "give one of --resume"),
        (["graphs_of_mine:graph", "--input", "[1]"], "--input must be a JSON object"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(arguments: list[str], told: str) -> None:
    done = spark("run", *arguments)

    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("source", "first", "error"),
    [
        ("import not_there", "line 1, in <module>", "ModuleNotFoundError: No module named 'not_there'"),
        ("def graph(:", "line 1", "SyntaxError: invalid syntax"),
        ("def graph():\n    return 1 / 0", "line 2, in graph", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_wrong_within_the_module_is_shown_from_there_on(
    workplace: Path, source: str, first: str, error: str
) -> None:
    (workplace / "graphs_of_mine.py").write_text(source)

    done = spark("run", "graphs_of_mine:graph")

    frames = [line for line in done.err.splitlines() if line.lstrip().startswith("File ")]
    assert done.code == 1
    assert error in done.err
    assert len(frames) == 1
    assert frames[0].endswith(f'graphs_of_mine.py", {first}')


def test_resuming_without_a_store_says_what_is_missing() -> None:
    done = spark("run", "graphs_of_mine:graph", "--resume")

    assert done.code == 1
    assert "has nothing to resume from" in done.err


def test_a_graph_is_drawn_as_mermaid() -> None:
    done = spark("graph", "graphs_of_mine:graph")

    assert done.code == 0
    assert done.out.startswith("flowchart TD\n")
    assert done.out == spark("graph", "graphs_of_mine:graph", "--mermaid").out


def test_a_drawing_has_the_theme_that_is_asked_for() -> None:
    drawn = {
        theme: spark("graph", "graphs_of_mine:graph", "--svg", "--theme", theme).out for theme in ("light", "dark")
    }

    assert drawn["light"] != drawn["dark"]
    for theme, svg in drawn.items():
        assert ElementTree.fromstring(svg).get("class") == f"spark-drawing is-{theme}"
    refused = spark("graph", "graphs_of_mine:graph", "--theme", "dark")
    assert (refused.code, "give --svg" in refused.err) == (2, True)


@pytest.mark.parametrize(("graph", "nodes", "edges"), [("graph", 2, 2), ("joined", 4, 4)])
def test_a_graph_is_drawn_as_svg(graph: str, nodes: int, edges: int) -> None:
    svg = ElementTree.fromstring(spark("graph", f"graphs_of_mine:{graph}", "--svg").out)

    keys = [each.get("data-node") for each in svg.iter() if each.get("data-node")]
    assert len(keys) == nodes
    assert len([each for each in svg.iter() if (each.get("class") or "").startswith("edge")]) == edges
    assert (graph == "joined") == ("a <report>" in keys)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(3, "parse", ("parse", "walk"), 2, 7), "3 steps · running parse, walk · 2 ready · checkpoint 7"),
        (Progress(0, None, (), 0, None), "0 steps"),
        (Progress(9, "x", tuple("abcdef"), 0, None), "9 steps · running a, b, c, d, e, …"),
        (
            Progress(9, "x", ("work", "work"), 3, None, (MapProgress("split", "work", "items", 5, 2, 3),)),
            "9 steps · work 5 of 10 items · running work (2) · 3 ready",
        ),
        (
            Progress(2, "x", (), 0, None, suspended=3, waits={"question": 1, "retry": 2}, at_joins=4),
            "2 steps · last x · 4 at joins · 3 suspended (1 question, 2 retries)",
        ),
    ],
)
def test_progress_is_one_line(progress: Progress, text: str) -> None:
    assert RunView("graph", began=datetime.now(UTC)).line(progress) == text


def test_a_graph_says_how_far_its_run_is() -> None:
    graph = counting_graph()
    seen: list[Progress | None] = []

    async def run(graph: Graph) -> None:
        assert graph.progress is None
        running = asyncio.create_task(graph.run({"to": 3}))
        running.add_done_callback(lambda _: seen.append(graph.progress))
        await running

    asyncio.run(run(graph))

    assert seen == [Progress(iteration=4, last_node="ExitNode", running=(), waiting=0, checkpoint=None)]
