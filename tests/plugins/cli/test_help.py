"""Help that can be read, examples that work, and what a shell completes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from spark_cli.app import app
from spark_cli.examples import OF_CHECKPOINTS, OF_SPARK
from tests.plugins.support.command_line import fill, save_by_hand, spark
from tests.support.sites import site_in

MAIN: Any = typer.main.get_command(app)
OURS = [
    ["run"],
    ["show"],
    ["drain"],
    ["edit"],
    ["fork"],
    ["answer"],
    ["send"],
    ["runs"],
    ["graph"],
    ["doctor"],
    ["plugins"],
] + [["checkpoints", name] for name in OF_CHECKPOINTS]


@pytest.mark.parametrize("command", OURS, ids=" ".join)
def test_help_is_written_for_people(command: list[str]) -> None:
    help = spark(*command, "--help").out

    assert help.startswith(f"Usage: spark {' '.join(command)} [OPTIONS]")
    assert re.search(r"\[\[|\]\]|<int|<str|<path|x>=|<=x", help) is None
    lines = help.partition("\nExamples:\n")[0].splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_arguments_are_shown_as_they_are_written() -> None:
    assert "Usage: spark checkpoints copy [OPTIONS] [GRAPH_ID]...\n" in spark("checkpoints", "copy", "--help").out
    assert "Usage: spark answer [OPTIONS] GRAPH_ID [ID=JSON]...\n" in spark("answer", "--help").out


def test_options_stand_in_groups() -> None:
    help = spark("run", "--help").out

    assert re.search(r"\nResume:\n  --resume .*\n  --resume-state .*\n", help)
    assert help.index("\nResume:") < help.index("\nOptions:\n") < help.index("  --help  ") < help.index("\nExamples:\n")


@pytest.mark.parametrize(
    "example", [line for group in (OF_SPARK, OF_CHECKPOINTS) for text in group.values() for line in text.splitlines()]
)
def test_an_example_is_written_as_it_should_be(example: str) -> None:
    words = shlex.split(example.partition(" > ")[0])[1:]
    context = MAIN.make_context("spark", words)
    command, rest = MAIN, words
    while hasattr(command, "resolve_command"):
        _, command, rest = command.resolve_command(context, rest)

    command.make_context("example", rest)  # refuses what it does not know


def test_each_command_has_an_example() -> None:
    listed = {name for section in MAIN.own.values() for name in section} - {"checkpoints"}

    assert {"run", "runs", "answer", "send", "doctor"} <= {*OF_SPARK} <= listed
    assert {*OF_CHECKPOINTS} == {name for section in MAIN.commands["checkpoints"].own.values() for name in section}


@pytest.fixture
def completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What bash is offered after these words, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)

    def completed(words: str) -> list[str]:
        monkeypatch.setenv("_SPARK_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        done = spark()
        monkeypatch.delenv("_SPARK_COMPLETE")
        assert (done.code, done.err) == (0, "")
        return done.out.split()

    return completed


def test_a_shell_completes_commands_options_and_ids(
    completed: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("sqlite:///runs.db", to=1)
    fill("sqlite:///runs.db", graph_id="other", to=1)
    save_by_hand("sqlite:///runs.db", "mine")

    assert completed("spark checkpoints ver") == ["verify"]
    assert completed("spark checkpoints verify --im") == ["--import"]
    assert completed("spark answer --url sqlite:///runs.db cou") == ["counting"]
    assert completed("spark checkpoints show --url sqlite:///runs.db mi") == ["mine"]
    monkeypatch.setenv("SPARK_CHECKPOINT_URL", "sqlite:///runs.db")
    assert completed("spark answer o") == ["other"]


def test_a_shell_gets_nothing_where_there_is_nothing(completed: Callable[[str], list[str]]) -> None:
    """And no store is made, nor a server asked."""
    assert completed("spark answer --url sqlite:///nowhere.db o") == []
    assert completed("spark answer --url postgresql://127.0.0.1:1/runs o") == []
    assert completed("spark answer o") == []
    assert [*Path().iterdir()] == []


def test_a_command_that_is_broken_keeps_no_shell_from_the_others(
    completed: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site_in(tmp_path, monkeypatch) as site:
        (tmp_path / "fake_broken.py").write_text("raise RuntimeError")
        site.add_dist_info("fake-broken", "1.0", "[spark.commands]\nrubble = fake_broken:command\n")

        assert completed("spark ru") == ["run", "runs"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_the_shell_that_asks(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = (
        f"{shlex.quote(sys.executable)} -m spark_cli --show-completion; true"  # or the shell would become the command
    )
    done = subprocess.run([shell, "-c", command], capture_output=True, text=True, timeout=200, check=False)

    assert done.stderr == ""
    assert "_SPARK_COMPLETE" in done.stdout
