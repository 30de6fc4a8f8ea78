"""What mypy tells somebody who checks their own graph strictly, with the wheels installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.install.wheels import Environment, clean_environment

PROJECT = """
import asyncio
from typing import Any

from spark.graphs import Budget, ExitNode, Graph, JoinNode, Message, Node, NodeContext, Task, node
from spark.graphs.checkpoint import (
    AfterNode,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    EveryIterations,
    FileCheckpointBackend,
    GraphCheckpoint,
    KeepFor,
    KeepLast,
)


class Fetch(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.update("fetched", lambda count: count + 1, default=0)
        return {"page": context.inputs["url"]}


class Parse(Node):
    def process(self, context: NodeContext) -> dict[str, Any]:
        return {"words": context.inputs["page"].split()}


class Tick(Node):
    async def process(self) -> dict[str, Any]:
        return {"tick": True}


class Tock(Node):
    def process(self) -> None:
        return None


class Report(JoinNode):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"branches": len(context.inputs)}


@node
async def shout(context: NodeContext) -> dict[str, Any]:
    return {"page": context.inputs["page"].upper()}


@node
def whisper() -> dict[str, Any]:
    return {}


class Announce(CheckpointHandler):
    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        print(checkpoint.checkpoint_id)


backend = FileCheckpointBackend(directory="checkpoints")


def build() -> Graph:
    fetch = Fetch()
    fetch >> [Parse(), shout, whisper] >> Report() >> Tick(name="tick") >> Tock()
    fetch.on(page=None) >> ExitNode()
    fetch.on(lambda content: content["page"] == "") >> ExitNode(name="empty")
    config = CheckpointConfig(backend=backend, trigger_on_iteration=5, max_checkpoints=3, handler=Announce())
    return Graph(start=fetch, id="typed", checkpoint_config=config)


async def main() -> None:
    result = await build().run(Task(inputs={"url": "x"}, budget=Budget(max_seconds=3)), resume=True)
    latest = await CheckpointManager(backend).load_latest("typed")
    assert latest is not None
    reveal_type(Graph.from_checkpoint(latest))
    reveal_type(result)


reveal_type(FileCheckpointBackend(directory="checkpoints"))
reveal_type(shout)
reveal_type(EveryIterations(5) | AfterNode("Report"))
reveal_type(KeepLast(5) | KeepFor(days=7))
asyncio.run(main())
"""


def check(environment: Environment, code: str, directory: Path) -> list[str]:
    """The lines that ``mypy --strict`` prints about the code."""
    file = directory / "mine.py"
    file.write_text(code)
    # The cache is this test's own: what mypy remembers of the source tree must not answer for the wheels.
    options = ["--strict", "--no-error-summary", "--cache-dir", str(directory / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--python-executable", environment.python, file.name],
        cwd=directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def report(with_all: Environment, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return check(with_all, PROJECT, tmp_path_factory.mktemp("typed"))


def test_a_user_s_graph_has_no_type_errors(report: list[str]) -> None:
    """Nodes may be async or plain, and take the context or nothing, without an ignore."""
    assert [line for line in report if " error: " in line] == []


def test_types_are_those_that_a_user_expects(report: list[str]) -> None:
    revealed = [found[1] for line in report if (found := re.search('Revealed type is "(.*)"', line))]

    assert revealed == [
        "spark.graphs.graph.Graph",
        "spark.graphs.message.Message",
        "spark_backend_file.backend.FileCheckpointBackend",
        "spark.graphs.nodes.FunctionNode",
        "spark.graphs.checkpoint.triggers.Trigger",
        "spark.graphs.checkpoint.retention.Retention",
    ]


def test_a_mistake_in_a_call_is_found(with_all: Environment, tmp_path: Path) -> None:
    """Or the silence above would say nothing."""
    code = """
from spark.graphs.checkpoint import CheckpointConfig, FileCheckpointBackend

CheckpointConfig(backend=FileCheckpointBackend(directory=3), trigger_on_iterations=5)
"""
    lines = check(with_all, code, tmp_path)

    assert len([line for line in lines if " error: " in line]) == 2
    assert any("directory" in line for line in lines)
    assert any("trigger_on_iterations" in line for line in lines)
