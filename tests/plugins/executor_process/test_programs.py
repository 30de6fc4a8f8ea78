"""Programs that use worker processes: their scripts, how they end, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spark_testing.suites.executors.stopping import is_alive

SCRIPT = """
import asyncio, os, sys, time
from pathlib import Path

from spark.graphs import Graph, Node

class Here(Node):
    def process(self, context):
        Path(context.inputs["file"]).write_text(str(os.getpid()))
        while context.inputs["waits"]:
            time.sleep(0.01)
        return os.getpid() != context.inputs["program"]

def main():
    inputs = {"file": sys.argv[1], "waits": "waits" in sys.argv, "program": os.getpid()}
    print(asyncio.run(Graph(Here(), executor={"process": {"workers": 1}}).run(inputs)).content)

"""
GUARDED = SCRIPT + "if __name__ == '__main__':\n    main()\n"


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    begun = []

    def begin(script: str, *arguments: str) -> subprocess.Popen[str]:
        file = tmp_path / "program.py"
        file.write_text(script)
        program = subprocess.Popen(
            [sys.executable, str(file), str(tmp_path / "pid"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(program)
        return program

    yield begin
    for program in begun:
        program.kill()
        program.communicate()


def worker_of(tmp_path: Path) -> int:
    """The pid of the worker, once it executes the node."""
    deadline = time.monotonic() + 60
    while not (file := tmp_path / "pid").exists() or not file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(file.read_text())


def is_gone(pid: int) -> bool:
    """Whether a process ends in a while."""
    deadline = time.monotonic() + 60
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


def test_a_script_runs_its_own_nodes_and_ends_without_closing_anything(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    out, errors = begin(GUARDED).communicate(timeout=200)

    assert (out, errors) == ("True\n", "")
    assert is_gone(worker_of(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_workers_end_with_their_program(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    """Whether it is killed, or Ctrl-C reaches all processes of its group."""
    program = begin(GUARDED, "waits")
    pid = worker_of(tmp_path)
    if number is signal.SIGKILL:
        program.kill()
    else:
        os.killpg(program.pid, number)
    _, errors = program.communicate(timeout=200)

    assert is_gone(pid)
    assert errors.count("Traceback (most recent call last)") == (0 if number is signal.SIGKILL else 2), (
        "only the program's own KeyboardInterrupt, and the CancelledError before it"
    )


def test_a_script_that_runs_a_graph_when_it_is_imported_says_what_it_lacks(
    begin: Callable[..., subprocess.Popen[str]],
) -> None:
    program = begin(SCRIPT + "main()\n")
    _, errors = program.communicate(timeout=200)

    assert program.returncode == 1
    assert "if __name__ == '__main__':" in errors.splitlines()[-2] + errors.splitlines()[-1]


FROM_INPUT = """
import asyncio, os
from spark.graphs import Graph, node

@node
def elsewhere(context):
    return os.getpid() != context.inputs["program"]

for code in ("cloudpickle", "import"):
    graph = Graph(elsewhere, executor={"process": {"workers": 1, "code": code}})
    try:
        print(asyncio.run(graph.run({"program": os.getpid()})).content)
    except Exception as error:
        print(error)
"""


@pytest.mark.thorough
def test_a_program_from_standard_input_sends_its_nodes_or_says_why_it_can_not() -> None:
    """Its workers can't read it once more."""
    done = subprocess.run([sys.executable, "-"], input=FROM_INPUT, capture_output=True, text=True, timeout=100)

    sent, refused = done.stdout.splitlines()
    assert (sent, done.stderr) == ("True", "")
    assert "The program has no script that a worker could import" in refused
