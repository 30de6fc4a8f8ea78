"""Errors speak of the command, not of Python's methods."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from spark_cli.terminal.words import in_words_of_the_command
from tests.plugins.support.command_line import spark

ROOT: Final = Path(__file__).parents[3]
SOURCES: Final = [
    *(ROOT / "core" / "src").rglob("*.py"),
    *(path for path in ROOT.glob("plugins/*/src/**/*.py") if not {"cli", "testing_kit", "ui"} & {*path.parts}),
]
CALLS: Final = re.compile(
    r"\brun\([^)]*\)|\bresume=|\brename=|from_checkpoint|checkpoint_config=|a checkpoint_config|CheckpointManager|open_backend"
    r"|\.fork\(|graph\.load\(|set_state\(|spark\.hooks\.plugins|resume_all|load_checkpoint|with_checkpoints"
)
"""What a person can't do who types commands."""
MAYBE: Final = re.compile(
    r"run\(|resume=|rename=|checkpoint_config|[Cc]heckpoint\(|CheckpointManager|fork\(|plugins\(|resume_all"
)


def messages() -> Iterator[str]:
    """Every text in the sources that may speak of a method, with an ``x`` in the place of each value."""
    for path in SOURCES:
        source = path.read_text()
        if not MAYBE.search(source):
            continue
        tree = ast.parse(source)
        for parent in ast.walk(tree):
            if isinstance(parent, ast.Expr | ast.JoinedStr | ast.FormattedValue):
                continue  # documentation, and the parts of what is found as a whole
            for each in ast.iter_child_nodes(parent):
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and " " in each.value:
                    yield each.value
                elif isinstance(each, ast.JoinedStr):
                    yield "".join(map(_text, each.values))


def _text(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    return "'x'" if part.conversion == ord("r") else "x"


OF_PROGRAMS: Final = {
    "Graph(checkpoint_config='x'): give a CheckpointConfig": "written in the module that is run",
    "To set it again, pass checkpoint_config= to Graph.from_checkpoint()": "only a program restores a graph so",
    "for others, pass checkpoint_config= to Graph.from_checkpoint()": "the same",
    "Pass checkpoint_config= to Graph.from_checkpoint()": "the same",
    "To run nodes on the restored state, pass start= to Graph.from_checkpoint()": "the same",
    "records pending work but no nodes. Pass start= to Graph.from_checkpoint()": "the same",
    "Give rename= where it was loaded: Graph.from_checkpoint(), or load()": "the same",
    "run(resume='x'): give True to resume the latest run": "the command gives what is listed there",
    "rename='x': give a mapping of recorded node keys": "the command gives a mapping",
    "set_state() set x of graph 'x'": "a call in the module that is run; what to do is said in the words of the command",
    "await context.run(key, function, …) runs it in a thread": "written in a node",
    "context.run('x', 'x'): give the function and its arguments": "written in a node",
    "context.run('x', …): the key of a durable call": "written in a node",
    "for 'x' it returned 'x'; return a Graph with this id": "written in the function that the command calls",
    "and save checkpoint.fork(…)": "nothing but a program that knows the types can do it",
}
"""Messages about code of the program, which are right as they are, and those that no command brings about."""


def test_no_message_of_the_library_tells_people_at_a_terminal_to_call_a_method() -> None:
    """A new one gets a line in the table of the command, or it is about the program's code and gets one above."""
    said = [in_words_of_the_command(text) for text in messages()]
    found = [text for text in said if CALLS.search(text)]

    assert len(said) > 100
    assert [text for text in found if not any(part in text for part in OF_PROGRAMS)] == []
    assert [part for part in OF_PROGRAMS if not any(part in text for text in found)] == []


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (
            "Finish it with run(resume=True). Or abandon it and keep its state: await graph.load(), then graph.start = "
            "graph.start, then run(inputs).",
            "Finish it with spark run MODULE:GRAPH --resume. Or leave it unfinished, and begin another from scratch: spark run "
            "MODULE:GRAPH --input JSON.",
        ),
        (
            "is now node 'b': pass rename={'a': 'b'}, and give your nodes names",
            "is now node 'b': give --rename a=b, and give your nodes names",
        ),
        ("If it replaces that node, pass rename={'a': …}; or", "If it replaces that node, give --rename a=NEW; or"),
        ("run(resume={'review': …}): no question", "--answer review=JSON: no question"),
        ("See `spark checkpoints list`, or CheckpointManager.list_checkpoints().", "See `spark checkpoints list`."),
        ("a text of the program: run(task)", "a text of the program: run(task)"),
    ],
)  # fmt: skip
def test_what_is_to_be_done_is_said_in_the_words_of_the_command(text: str, instead: str) -> None:
    assert in_words_of_the_command(text) == instead


ASKING = """
from spark.graphs import ExitNode, Graph, node

@node
async def {node}(context):
    return {{"approved": await context.interrupt("sure?", key="sure"), "of": context.inputs["of"]}}

{node} >> ExitNode()
graph = Graph({node}, id="asking")
"""


def test_what_a_run_refuses_is_said_in_the_words_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("asks", "asked"):
        (tmp_path / f"words_{name}.py").write_text(ASKING.format(node=name))
    where = ["words_asks:graph", "--url", "sqlite:///runs.db"]
    assert spark("run", *where, "--input", '{"of": 1}').code == 3

    refused = {
        "other inputs": spark("run", *where, "--resume", "--input", '{"of": 2}'),
        "unfinished": spark("run", *where, "--resume-state", "--input", '{"of": 2}'),
        "no question": spark("run", *where, "--answer", "nothing=1"),
        "another node": spark("run", "words_asked:graph", *where[1:], "--resume"),
    }

    for why, done in refused.items():
        assert done.code == 1, (why, done)
        assert CALLS.search(done.err) is None, (why, done.err)
    assert "To finish it, leave --input out: spark run MODULE:GRAPH --resume." in refused["other inputs"].err
    assert "Finish it with spark run MODULE:GRAPH --resume. Or leave it unfinished" in refused["unfinished"].err
    assert "--answer nothing=JSON: no question with this id is open." in refused["no question"].err
    assert "give --rename asks=NEW" in refused["another node"].err
