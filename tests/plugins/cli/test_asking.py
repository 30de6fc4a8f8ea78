"""What can't be undone is asked about at a terminal, and refused where there is none; ``--yes`` answers in advance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.support.command_line import file_url, fill, infos, save_by_hand, spark
from tests.plugins.support.terminals import COLOUR, terminal

URL = "sqlite:///runs.db"
ASKS = {
    "delete": (
        ["checkpoints", "delete", "ckpt_counting_000001", "ckpt_counting_000002"],
        "Delete 2 checkpoints: ckpt_counting_000001, ckpt_counting_000002?",
        2,
    ),
    "delete a graph": (
        ["checkpoints", "delete", "--graph", "counting"],
        "Delete all 6 checkpoints of graph 'counting', including those made by hand?",
        6,
    ),
    "forget": (
        ["checkpoints", "forget", "counting"],
        "Remove every trace of graph 'counting', including 6 checkpoints?",
        6,
    ),
    "prune": (
        ["checkpoints", "prune", "--keep", "1"],
        "Delete 5 old checkpoints of 2 graphs? --dry-run shows which.",
        5,
    ),
    "repair": (["doctor", "--repair"], "Delete 1 damaged checkpoint?", 1),
}
"""A command, what it asks, and how many checkpoints it deletes."""


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five checkpoints of one graph and one made by hand, and two of another graph."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    fill(URL, to=4)
    save_by_hand(URL, "by hand")
    fill(URL, graph_id="other", to=1)


def spoil(request: pytest.FixtureRequest) -> None:
    import sqlite3

    if "repair" in request.node.name:
        connection = sqlite3.connect("runs.db")
        with connection:
            connection.execute("UPDATE checkpoints SET payload = x'00' WHERE graph_id = 'other' AND sequence = 1")
        connection.close()


def answered(text: str, *command: str) -> tuple[int, str]:
    """How a command ends that is called in a real terminal, where somebody types this."""
    with terminal(width=200) as made:
        process = subprocess.Popen(
            [sys.executable, "-m", "spark_cli", *command], stdin=made.slave, stdout=made.slave, stderr=made.slave
        )
        made.wait_for("[y/N]: ")
        os.write(made.master, f"{text}\n".encode())
        code = process.wait(200)
        return code, COLOUR.sub("", made.close())


@pytest.mark.parametrize("name", ASKS)
def test_without_a_terminal_nothing_is_deleted_unless_somebody_was_sure(
    name: str, request: pytest.FixtureRequest
) -> None:
    command, question, count = ASKS[name]
    spoil(request)
    before = len(infos(URL))

    refused = spark(*command, "--url", URL)
    assert refused.code == 2
    assert refused.err.endswith(
        f"spark: this needs an answer, and there is no terminal: {question} If you are sure, pass --yes.\n"
    )
    assert len(infos(URL)) == before
    assert spark(*command, "--yes", "--url", URL).code == 0
    assert len(infos(URL)) == before - count


@pytest.mark.parametrize(
    ("text", "code", "left"), [("", 1, 8), pytest.param("n", 1, 8, marks=pytest.mark.thorough), ("y", 0, 6)]
)
def test_at_a_terminal_a_person_is_asked(text: str, code: int, left: int) -> None:
    command, question, _ = ASKS["delete"]

    ended, shown = answered(text, *command, "--url", URL)

    assert ended == code
    assert f"{question} [y/N]: " in shown
    assert ("nothing was changed" in shown) is (code == 1)
    assert len(infos(URL)) == left


def test_what_would_delete_nothing_asks_nothing() -> None:
    assert spark("checkpoints", "prune", "--keep", "99", "--url", URL).out == "0 deleted\n"
    assert spark("checkpoints", "prune", "--keep", "1", "--dry-run", "--url", URL).code == 0
    assert spark("doctor", "--repair", "--url", URL).code == 0


def test_adding_to_graphs_that_are_there_already_is_asked_about(tmp_path: Path) -> None:
    target = file_url(tmp_path / "copy")
    assert spark("checkpoints", "copy", "other", "--url", URL, "--to", target).code == 0
    assert spark("checkpoints", "export", "records", "--url", URL).code == 0

    for command in (["copy", "--url", URL, "--to", target], ["import", "records", "--url", target]):
        refused = spark("checkpoints", *command)
        assert refused.code == 2
        assert "The target already has 1 of 2 graphs. Add what is missing there?" in refused.err
        assert len(infos(target)) == 2
    assert spark("checkpoints", "copy", "counting", "--url", URL, "--to", target).code == 0
    assert spark("checkpoints", "import", "records", "--url", target, "--yes").out == "0 copied, 8 already there\n"
