"""What somebody sees who looks on: bars and a changing line on a terminal, and nothing of that elsewhere."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from spark_cli.progress import bar, watched
from tests.plugins.support.command_line import counting_graph, file_url, fill, spark


class Terminal(io.StringIO):
    """A standard error that somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_a_bar_shows_how_many_are_done(terminal: Terminal) -> None:
    with redirect_stderr(terminal), bar("copying") as report:
        report(3, 8)
        report(8, 8)

    assert "copying" in terminal.getvalue()
    assert "8/8" in terminal.getvalue()


def test_elsewhere_there_is_no_bar(tmp_path: Path) -> None:
    fill(file_url(tmp_path / "store"), to=1)

    done = spark("checkpoints", "copy", "--url", file_url(tmp_path / "store"), "--to", file_url(tmp_path / "copy"))

    assert (done.out, done.err) == ("2 copied, 0 already there\n", "")


async def test_a_run_is_shown_while_it_goes_on_and_summed_up_at_its_end(terminal: Terminal) -> None:
    graph = counting_graph()

    with redirect_stderr(terminal):
        async with watched(graph):
            await graph.run({"to": 3})

    assert "starting" in terminal.getvalue()
    assert terminal.getvalue().endswith("4 steps · last ExitNode\n")
