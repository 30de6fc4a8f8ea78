"""What the author of an executor gives to the suite, and what its tests have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from spark.graphs import Graph, Message, Node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.executors import Executor
from spark_testing.suites.conformance import Conformance

_SHARED: Final = pytest.StashKey[Executor]()
LONGEST: Final = 60.0
"""Seconds that anything may take: what takes longer hangs."""


class GivenExecutor(Conformance):
    """Subclass the suite with ``make_executor``; say in the attributes what the executor is like."""

    in_processes: ClassVar[bool] = True
    """Its workers are processes of their own, which may be killed; False if steps are executed in this process."""
    ends_workers: ClassVar[bool] = True
    """``close`` ends these processes."""
    many: ClassVar[int] = 300
    """The items of the map by which it is seen that it never has more steps than it says."""
    lasting: ClassVar[Sequence[str]] = ()
    """How the names of threads begin that stay when it is closed."""

    def make_executor(self) -> Executor:
        """A new executor that executes two steps at a time."""
        raise NotImplementedError(f"{type(self).__name__} needs a method make_executor().")

    @pytest.fixture
    def executor(self, request: pytest.FixtureRequest) -> Executor:
        """One that serves all tests of the suite, so that its workers start once."""
        suite = request.node.getparent(pytest.Class)
        if _SHARED not in suite.stash:
            suite.stash[_SHARED] = self.make_executor()
            suite.addfinalizer(suite.stash[_SHARED].close)
        shared: Executor = suite.stash[_SHARED]
        return shared

    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        """Where nodes write down what they do."""
        return str(tmp_path / "done.txt")


class Ran:
    """What a run has come to.

    :param message: what it returned.
    """

    def __init__(self, message: Message, state: Any, node_states: Any) -> None:
        self.message = message
        self.state = dict(state)
        self.node_states = dict(node_states)

    def without_ids(self) -> tuple[str, Any, Any]:
        """All of it, but for the id of the run."""
        return str(self.message.content).replace(str(self.message.run_id), "run"), self.state, self.node_states


async def run(start: Node, inputs: Any = None, *, state: Any = None, **arguments: Any) -> Ran:
    """Run a graph, and see what it leaves."""
    store = InMemoryCheckpointBackend()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1)
    graph = Graph(start, id="g", state=state, checkpoint_config=config, **arguments)
    async with asyncio.timeout(LONGEST):
        message = await graph.run(inputs)
    checkpoint = await CheckpointManager(store).load_latest("g")
    assert checkpoint is not None, "the run made no checkpoint"
    return Ran(message, checkpoint.graph_state, checkpoint.node_states)


async def until(is_so: Callable[[], object], *, what: str) -> None:
    """Wait until something is so, which another process sees to."""
    deadline = asyncio.get_running_loop().time() + LONGEST / 2
    while not is_so():
        assert asyncio.get_running_loop().time() < deadline, f"it took too long until {what}"
        await asyncio.sleep(0.01)


def lines(file: str) -> list[str]:
    """What nodes have written down."""
    return Path(file).read_text(encoding="utf-8").splitlines() if Path(file).exists() else []


def at_once(error: Exception, attempt: int) -> float | None:
    """Two more attempts, without a pause."""
    return 0.0 if attempt < 3 else None
