"""What somebody sees who looks on: bars and a changing line on a terminal, and nothing of that elsewhere."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from spark_cli.terminal.progress import bar
from tests.plugins.support.command_line import file_url, fill, spark
from tests.support.variants import first_of


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
    assert "8 of 8" in terminal.getvalue()


def test_elsewhere_there_is_no_bar(tmp_path: Path) -> None:
    fill(file_url(tmp_path / "store"), to=1)

    done = spark("checkpoints", "copy", "--url", file_url(tmp_path / "store"), "--to", file_url(tmp_path / "copy"))

    assert (done.out, done.err) == ("2 copied, 0 already there\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full: /dev/full")
@pytest.mark.parametrize("command", first_of([["runs"], ["runs", "--json"], ["show", "counting"], ["plugins"]]))
def test_a_result_that_cant_be_written_is_one_line_of_error(tmp_path: Path, command: list[str]) -> None:
    url = file_url(tmp_path / "store")
    fill(url)
    more = [] if command == ["plugins"] else ["--url", url]

    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "spark_cli", *command, *more]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "spark: the result can't be written: No space left on device.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", first_of(["<&- >&- 2>&-", ">&-", "2>&-"]))
def test_streams_may_be_closed(tmp_path: Path, closed: str) -> None:
    url = file_url(tmp_path / "store")
    fill(url)

    words = ["sh", "-c", f'"{sys.executable}" -m spark_cli show counting --url "{url}" {closed}']

    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
