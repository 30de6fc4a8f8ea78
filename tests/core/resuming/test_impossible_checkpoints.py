"""Intact checkpoints that say what no run ever said: one family of errors, and nothing runs."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from copy import deepcopy
from enum import Enum
from typing import Any, Final

import pytest

from spark.errors import CheckpointDamagedError, GraphRestoreError, SparkError
from spark.graphs import Budget, Graph, JoinNode, Node, NodeContext, Task
from spark.graphs.checkpoint import CheckpointConfig, EverySeconds, GraphCheckpoint, InMemoryCheckpointBackend, KeepFor
from spark.graphs.checkpoint.links import link
from tests.support.running import every_step, history
from tests.support.variants import in_full, tries

SECTIONS: Final = ("frontier", "topology", "execution_metadata", "config", "node_states", "graph_state")
WRONG: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1, 2**63, 10**400, 1.5, float("nan"), float("inf"), "", "x", "\x1b[2J", b"x"),
    *([], ["x"], [None], [[1, 2]], (1,), {}, {"x": 1}, {1: 2}, {"node": {}}, {"x"}),
)
MISSING: Final = Enum("Missing", ["MISSING"]).MISSING  # which has the same name in every process
"""In the place of a value: it, and its key, is not there."""
TOKEN: Final = {"node": "end", "lineage": 1, "source": None, "content": "2"}


class Work(Node):
    """Takes anything, and returns what leads on."""

    async def process(self, context: NodeContext) -> Any:
        context.state["times"] = 1
        return {"on": context.iteration < 6}


class Meeting(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return {"on": False}


def wired() -> Node:
    """A loop, a fan-out, a join and an edge with a priority."""
    first, end = Work(), Work(name="end")
    meeting = Meeting(name="meeting")
    first >> [Work(name="left"), Work(name="right")] >> meeting >> end
    end.on(on=True, priority=2) >> first
    return first


def graph_on(backend: InMemoryCheckpointBackend, **more: Any) -> Graph:
    config = every_step(backend, trigger=EverySeconds(60), retention=KeepFor(days=1), trigger_on_node=["end"], **more)
    return Graph(wired(), id="impossible", checkpoint_config=config)


@pytest.fixture
async def intact() -> GraphCheckpoint:
    """Made while one branch waits at the join and the other is still to run, after a first result."""
    graph = graph_on(InMemoryCheckpointBackend())
    await graph.run({"day": "monday"})
    checkpoint = (await history(graph))[1]
    assert checkpoint.frontier is not None
    assert len(checkpoint.frontier["tokens"]) == 2
    checkpoint.frontier["result"] = {"content": {"on": False}, "node": "end"}
    return checkpoint


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in there, itself included."""
    yield path
    if isinstance(value, dict | list):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[step], (*path, step))


def changed(checkpoint: GraphCheckpoint, section: str, path: tuple[Any, ...], wrong: Any) -> GraphCheckpoint:
    mutant = checkpoint.isolated()
    if not path:
        setattr(mutant, section, deepcopy(wrong))
        return mutant
    inner = getattr(mutant, section)
    for step in path[:-1]:
        inner = inner[step]
    if wrong is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = deepcopy(wrong)
    return mutant


def mutants(checkpoint: GraphCheckpoint) -> list[tuple[str, tuple[Any, ...], Any]]:
    return [
        (section, path, wrong)
        for section in SECTIONS
        for path in places(getattr(checkpoint, section))
        for wrong in (*WRONG, MISSING)
        if path or wrong is not MISSING
    ]


async def outcomes(mutant: GraphCheckpoint) -> None:
    """Take it over by each way that leads to a run. Errors of ours are fine."""
    task = Task(budget=Budget(max_iterations=30))
    ways = [
        lambda: Graph.from_checkpoint(mutant, start=wired(), checkpoint_config=CheckpointConfig()).run(task),
        lambda: Graph.from_checkpoint(mutant, checkpoint_config=CheckpointConfig()).run(task),
        lambda: graph_on(InMemoryCheckpointBackend()).run(task, resume=mutant),
        lambda: _resumed_from_a_store(mutant, task),
    ]
    for way in ways:
        try:
            await way()
        except SparkError as error:
            str(error)


async def _resumed_from_a_store(mutant: GraphCheckpoint, task: Task) -> None:
    backend = InMemoryCheckpointBackend()
    await mutant.save(backend)
    loaded = (await history(graph_on(backend)))[0]
    await Graph.from_checkpoint(loaded, start=wired()).run(task)  # with the configuration that it records
    await graph_on(backend).run(task, resume=True)
    await graph_on(backend).run(task, resume="state")


@in_full
async def test_whatever_stands_anywhere_in_one_only_our_errors_come_of_it(intact: GraphCheckpoint) -> None:
    drawn = random.Random(12).sample(mutants(intact), tries(250))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for section, path, wrong in drawn:
            try:
                await outcomes(changed(intact, section, path, wrong))
            except Exception as error:
                pytest.fail(f"{section} {path} = {wrong!r}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    ("section", "path", "wrong"),
    [
        ("frontier", ("result",), 5),
        ("frontier", ("result", "node"), ["end"]),
        ("frontier", ("tokens",), 5),
        ("frontier", ("tokens", "3"), 5),
        ("frontier", ("tokens", "03"), TOKEN),
        ("frontier", ("tokens", "three"), TOKEN),
        ("frontier", ("tokens", "5"), TOKEN),
        ("frontier", ("tokens", "9" * 20), TOKEN),
        ("frontier", ("tokens", "3", "node"), {}),
        ("frontier", ("tokens", "3", "lineage"), [1]),
        ("frontier", ("tokens", "3", "source"), {"x": 1}),
        ("frontier", ("tokens", "3", "source"), MISSING),
        ("frontier", ("tokens", "3", "joined"), "yes"),
        ("frontier", ("tokens", "3", "content"), 10**400),
        ("frontier", ("tokens", "3", "content"), "1"),
        ("frontier", ("tokens", "3", "failures"), "two"),
        ("frontier", ("tokens", "3", "path"), [1, -1]),
        ("frontier", ("tokens", "3", "path"), 1),
        ("frontier", ("contents",), []),
        ("frontier", ("contents", "2"), MISSING),
        ("frontier", ("next_token",), 10**400),
        ("frontier", ("next_token",), 1),
        ("execution_metadata", ("iteration",), 10**400),
        ("execution_metadata", ("iteration",), "many"),
        ("execution_metadata", ("last_node",), {}),
        ("execution_metadata", ("run_id",), 5),
        ("topology", (), [1]),
        ("topology", ("nodes", 0, "class"), 5),
        ("topology", ("nodes", 0, "key"), ["Work"]),
        ("topology", ("edges", 0, "priority"), 10**400),
        ("topology", ("edges", 0, "target"), {}),
        ("topology", ("start",), "nowhere"),
        ("config", ("max_concurrency",), 10**400),
        ("config", ("inputs",), ["monday"]),
        ("config", ("on_failure",), "stop"),
        ("config", ("failure_grace",), -1),
        ("node_states", ("Work",), 5),
        ("graph_state", (1,), 5),
    ],
    ids=str,
)
async def test_what_no_run_writes_is_named_and_nothing_runs(
    intact: GraphCheckpoint, section: str, path: tuple[Any, ...], wrong: Any
) -> None:
    mutant = changed(intact, section, path, wrong)
    graph = graph_on(InMemoryCheckpointBackend())

    with pytest.raises(
        GraphRestoreError, match=rf"'ckpt_impossible_000002' of graph 'impossible' has an invalid {section}: "
    ):
        Graph.from_checkpoint(mutant, start=wired())
    with pytest.raises(GraphRestoreError, match=f"has an invalid {section}"):
        await graph.run(resume=mutant)
    assert graph.get_state_snapshot() == {}


async def test_a_configuration_that_no_graph_has_is_named_with_the_cure(intact: GraphCheckpoint) -> None:
    backend = InMemoryCheckpointBackend()
    link(intact, store=backend)
    intact.config["checkpoint"]["durability"] = ["sync"]
    graph = graph_on(backend)
    del graph

    with pytest.raises(GraphRestoreError, match=r"checkpoint configuration that can't be used.*checkpoint_config="):
        Graph.from_checkpoint(intact, start=wired())
    Graph.from_checkpoint(intact, start=wired(), checkpoint_config=CheckpointConfig())


async def test_a_stored_one_is_refused_without_being_changed(intact: GraphCheckpoint) -> None:
    assert intact.frontier is not None
    backend = InMemoryCheckpointBackend()
    intact.frontier["tokens"]["3"]["lineage"] = "x"
    await intact.save(backend)

    with pytest.raises((GraphRestoreError, CheckpointDamagedError), match="lineage"):
        await graph_on(backend).run(resume=True)
    assert len((await backend.list("impossible")).infos) == 1
