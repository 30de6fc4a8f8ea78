"""What the page leaves open about values, nodes, edges and runs, row by row."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import enum
import gc
import inspect
import math
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pydantic
import pytest

from spark.errors import (
    BudgetExceededError,
    ConditionError,
    GraphDefinitionError,
    PluginNotFoundError,
    SerializationError,
)
from spark.graphs import Budget, ExitNode, Graph, Node, NodeContext, Task, TaskType, checkpoint
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.hooks import discovery
from spark_testing.clock import FakeClock
from tests.support.sites import Site
from tests.support.stand_ins import Count, Flaky, Slow, checkpoints_of, looping


class Echo(Node):
    """Returns what arrives."""

    async def process(self, context: NodeContext) -> Any:
        return context.inputs


class Setting(pydantic.BaseModel):
    b: Any


async def stored_and_loaded(value: Any, backend: checkpoint.CheckpointBackend) -> Any:
    await GraphCheckpoint("c", "g", datetime.now(), graph_state={"a": value}).save(backend)
    return (await CheckpointManager(backend).load_checkpoint("c")).graph_state["a"]


# Rows 18 and 21


def test_format_names_the_container(tmp_path: Path) -> None:
    """Row 18: and an unknown one is an error that names those there are."""
    assert FileCheckpointBackend(tmp_path, format="json").record_codec.format.name == "json"
    with pytest.raises(PluginNotFoundError, match=r"'jsom'.*json"):
        FileCheckpointBackend(tmp_path, format="jsom")


async def test_the_serializer_sees_every_object_down_and_every_value_up() -> None:
    """Row 18: keys and plain values too, children first on the way up."""

    class Watching(CheckpointSerializer):
        down: list[Any] = []  # noqa: RUF012
        up: list[Any] = []  # noqa: RUF012

        def serialize(self, obj: Any) -> Any:
            self.down.append(obj)
            return obj

        def deserialize(self, data: Any) -> Any:
            self.up.append(data)
            return data

    value = {"key": [1, (2, None)]}
    await stored_and_loaded(value, InMemoryCheckpointBackend(serializer=Watching()))

    for part in ("key", 1, 2, None, (2, None), [1, (2, None)], value):
        assert part in Watching.down
    assert [part for part in Watching.up if part in (1, 2, (2, None), [1, (2, None)], value)] == [
        1,
        2,
        (2, None),
        [1, (2, None)],
        value,
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"_type": "MyCustomType", "data": {}},
        {"$tuple": [1, 2]},
        {"$type": ["x", 1]},
        {"$dict": [["a", 1]]},
        {"$": 1, "b": 2},
    ],
)
async def test_no_dict_of_a_user_is_taken_for_a_tag(value: Any, files: FileCheckpointBackend) -> None:
    """Row 18: ``_type`` included."""
    assert await stored_and_loaded(value, files) == value


@pytest.mark.parametrize(
    "value",
    [
        *(math.inf, -math.inf, -0.0, 10**60, -(2**64)),
        *((), (1, [2, (3,)]), set(), {frozenset({1}), (2, 3)}, frozenset({"a"})),
        {1: "int", "1": "str", None: "none", (1, 2): "tuple", 1.5: "float", frozenset({1}): "set"},
        {True: "bool", 2: "int"},
        {datetime(2024, 1, 1, tzinfo=UTC): [datetime(2024, 1, 1)]},
        "\ud800 lone surrogate, \0 and emoji 🎈",
    ],
    ids=ascii,
)
async def test_values_come_back_exactly(value: Any, files: FileCheckpointBackend) -> None:
    """Row 21: of the same types, also inside."""
    loaded = await stored_and_loaded(value, files)

    assert loaded == value
    assert repr(loaded) == repr(value) or isinstance(value, set | frozenset)


async def test_nan_comes_back(files: FileCheckpointBackend) -> None:
    """Row 21."""
    assert math.isnan(await stored_and_loaded(math.nan, files))


async def test_what_cant_be_saved_is_named_by_its_path_before_anything_is_written(
    files: FileCheckpointBackend,
) -> None:
    """Row 21: with the path ``graph_state['a'][3].b``."""
    with pytest.raises(SerializationError) as raised:
        await stored_and_loaded([0, 1, 2, Setting(b=object())], files)

    assert raised.value.path == "graph_state['a'][3].b"
    assert raised.value.path in str(raised.value)
    assert not Path(files.directory).exists() or not list(Path(files.directory).rglob("*.ckpt"))


# Row 22


async def test_an_exit_node_passes_its_input_on_and_adds_success() -> None:
    """Row 22."""
    assert (await Graph(start=ExitNode()).run({"a": 1})).content == {"a": 1, "success": True}


@pytest.mark.parametrize(("budget", "iterations"), [(Budget(max_seconds=25.5), 3), (Budget(max_iterations=2), 2)])
async def test_a_budget_that_is_used_up_leaves_a_checkpoint_and_raises(budget: Budget, iterations: int) -> None:
    """Row 22: every limit is optional; the error is also a ``TimeoutError``."""
    clock = FakeClock()
    graph = Graph(start=looping(Slow(5, clock=clock, seconds=10)), checkpoint_config=CheckpointConfig(), clock=clock)

    with pytest.raises(TimeoutError) as raised:
        await graph.run(Task(type=TaskType.STANDARD, budget=budget))

    (last,) = await checkpoints_of(graph)
    assert isinstance(raised.value, BudgetExceededError)
    assert (last.execution_metadata["reason"], last.execution_metadata["iteration"]) == ("budget", iterations)


async def test_an_empty_budget_sets_no_limit() -> None:
    """Row 22."""
    assert (await Graph(start=looping(Count(5))).run(Task(budget=Budget()))).content["count"] == 5


async def test_a_run_goes_on_where_its_budget_ended() -> None:
    """Row 22: the work left is pending."""
    graph = Graph(start=looping(Count(5)), checkpoint_config=CheckpointConfig())
    with pytest.raises(BudgetExceededError):
        await graph.run(Task(budget=Budget(max_iterations=2)))

    result = await graph.run(resume=True)

    assert result.content["count"] == 5


# Row 23


async def ran_after(output: Any, *wired: tuple[dict[str, Any], str]) -> list[str]:
    """The nodes that run after one that returns this output, when they are wired with ``on(**arguments)``."""
    order: list[str] = []

    class Target(Node):
        async def process(self, context: NodeContext) -> None:
            order.append(context.node)

    start = Echo()
    for arguments, name in wired:
        start.on(**arguments) >> Target(name=name)
    await Graph(start=start, max_concurrency=1).run(output)
    return order


async def test_an_edge_fires_when_all_its_keys_are_equal() -> None:
    """Row 23: a missing key equals nothing but ``None``."""
    ran = await ran_after(
        {"a": 1, "b": 2},
        ({"a": 1, "b": 2}, "both"),
        ({"a": 1, "b": 3}, "one"),
        ({"missing": None}, "none"),
        ({"missing": False}, "false"),
        ({}, "always"),
    )

    assert ran == ["both", "none", "always"]


async def test_an_edge_takes_one_callable_instead() -> None:
    """Row 23."""
    ran = await ran_after({"a": 1}, ({"condition": lambda content: content["a"] > 0}, "positive"))

    assert ran == ["positive"]
    with pytest.raises(GraphDefinitionError, match="not both"):
        Echo().on(lambda content: True, a=1)


async def test_every_matching_edge_fires_in_order_of_priority() -> None:
    """Row 23: then in order of declaration."""
    ran = await ran_after({}, ({}, "a"), ({"priority": 1}, "b"), ({}, "c"), ({"priority": 2}, "d"))

    assert ran == ["d", "b", "a", "c"]


async def test_a_condition_that_raises_fails_the_run_with_the_edge_named() -> None:
    """Row 23."""
    with pytest.raises(ConditionError, match=r"'Echo' -> 'target'.*KeyError") as raised:
        await ran_after({}, ({"condition": lambda content: content["missing"]}, "target"))

    assert isinstance(raised.value.__cause__, KeyError)


# Rows 24 and 25


async def test_iterations_are_counted_on_across_a_resume() -> None:
    """Row 24: so that triggers stay in step."""
    config = CheckpointConfig(trigger_on_iteration=4)
    graph = Graph(start=looping(Flaky(9, fails_at=7)), checkpoint_config=config)
    with pytest.raises(ConnectionError):
        await graph.run()

    await graph.run(resume=True)

    assert [each.execution_metadata["iteration"] for each in await checkpoints_of(graph)] == [4, 6, 8, 10]


async def test_a_new_run_counts_from_zero() -> None:
    """Row 24: iterations since the run began."""
    graph = Graph(start=ExitNode(), checkpoint_config=CheckpointConfig())

    await graph.run()
    await graph.run()

    assert [each.execution_metadata["iteration"] for each in await checkpoints_of(graph)] == [1, 1]


@pytest.mark.parametrize(("task", "inputs"), [(Task(inputs={"a": 1}), {"a": 1}), ({"a": 1}, {"a": 1}), (None, {})])
async def test_run_takes_a_task_a_mapping_or_nothing(task: Any, inputs: dict[str, Any]) -> None:
    """Row 25: and returns a message."""
    message = await Graph(start=Echo(name="last")).run(task)

    assert (message.content, message.status, message.node) == (inputs, "completed", "last")


async def test_the_message_holds_what_the_last_finishing_node_returned() -> None:
    """Row 25: a node finishes where no edge matches."""
    start = Echo()
    start.on(done=True) >> ExitNode()

    assert (await Graph(start=start).run({"done": False})).node == "Echo"
    assert (await Graph(start=start).run({"done": True})).node == "ExitNode"


# Row 26


@pytest.fixture
def _scanned_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is installed is looked at again, and once more after the test."""
    monkeypatch.delitem(vars(checkpoint), "FileCheckpointBackend", raising=False)
    discovery.reset()
    yield
    monkeypatch.undo()
    discovery.reset()


@pytest.mark.usefixtures("_scanned_anew")
def test_a_backend_that_is_not_installed_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 26: an ``ImportError`` with the line to type."""
    monkeypatch.syspath_prepend(tmp_path)
    Site(tmp_path).hide_our_plugins()

    with pytest.raises(ImportError, match=r"pip install 'spark-graphs\[file\]'"):
        from spark.graphs.checkpoint import FileCheckpointBackend  # noqa: F401


@pytest.mark.usefixtures("_scanned_anew")
def test_a_backend_that_is_installed_and_broken_is_an_error_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 26: not the advice to install what is there."""
    monkeypatch.setitem(sys.modules, "spark_backend_file", None)

    with pytest.raises(ImportError, match="spark-graphs-backend-file") as raised:
        from spark.graphs.checkpoint import FileCheckpointBackend  # noqa: F401

    assert raised.value.__cause__ is not None
    assert "pip install" not in str(raised.value)


def test_a_backend_of_a_plugin_is_the_class_itself() -> None:
    """Row 26: and type checkers see it, too."""
    import spark_backend_file

    assert checkpoint.FileCheckpointBackend is spark_backend_file.FileCheckpointBackend
    typed = [node for node in ast.walk(ast.parse(inspect.getsource(checkpoint))) if isinstance(node, ast.If)]
    assert "from spark_backend_file import FileCheckpointBackend" in ast.unparse(typed[0])


def test_the_database_backend_is_importable_from_the_same_place() -> None:
    """Row 26: about SQL."""
    import spark_backend_sql

    assert checkpoint.DatabaseCheckpointBackend is spark_backend_sql.DatabaseCheckpointBackend


def test_the_s3_backend_is_importable_from_the_same_place() -> None:
    """Row 26: about S3."""
    import spark_backend_s3

    assert checkpoint.S3CheckpointBackend is spark_backend_s3.S3CheckpointBackend


# Row 27


async def test_large_data_belongs_in_files_that_the_state_refers_to(files: FileCheckpointBackend) -> None:
    """Row 27: so that a path is a value like any other."""
    path = PurePosixPath("/path/to/data.parquet")

    assert await stored_and_loaded(path, files) == path


# Rows 28, 30 and 31


async def test_a_store_that_lasts_is_saved_to_without_a_trigger(files: FileCheckpointBackend) -> None:
    """Row 28: adaptively, the first time after the first step; a store in memory only at the end."""
    clock = FakeClock()
    stored = {}
    for backend in (files, InMemoryCheckpointBackend()):
        config = CheckpointConfig(backend=backend)
        node = looping(Slow(40, clock=clock, seconds=0.01))
        graph = Graph(node, id="g", checkpoint_config=config, clock=clock)
        await graph.run()
        stored[backend.name] = [each.execution_metadata["iteration"] for each in await checkpoints_of(graph)]

    assert stored["memory"] == [41]
    assert stored["file"][-1] == 41
    assert len(stored["file"]) == config.max_checkpoints  # a clock that stands still while saving makes saving free


@pytest.mark.parametrize(("rule", "paid"), [("finish", 1), ("cancel", 2)])
async def test_what_runs_beside_a_failed_node_finishes_or_is_stopped(rule: Any, paid: int) -> None:
    """Row 30: and what finished is not paid for again."""
    calls: list[str] = []
    has_failed = asyncio.Event()

    class Pay(Node):
        async def process(self, context: NodeContext) -> None:
            calls.append("pay")
            if not has_failed.is_set():
                await has_failed.wait()
                for _ in range(20):
                    await asyncio.sleep(0)

    class Fail(Node):
        async def process(self, context: NodeContext) -> None:
            if not has_failed.is_set():
                has_failed.set()
                raise ConnectionError("the service hung up")

    start = Echo()
    start >> Pay()
    start >> Fail()
    graph = Graph(start, id="g", on_failure=rule, checkpoint_config=CheckpointConfig())
    with pytest.raises(ConnectionError):
        await graph.run()
    await graph.run(resume=True)

    assert calls.count("pay") == paid


async def test_a_run_that_is_cancelled_is_saved_where_it_stands() -> None:
    """Row 31: although no trigger asked for it, and then the cancellation goes on."""
    waits = asyncio.Event()

    class Wait(Node):
        async def process(self, context: NodeContext) -> None:
            waits.set()
            await asyncio.Event().wait()

    start = Count()
    start >> Wait()
    graph = Graph(start, id="g", checkpoint_config=CheckpointConfig())
    run = asyncio.create_task(graph.run())
    await waits.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    (saved,) = await checkpoints_of(graph)
    assert (saved.execution_metadata["reason"], saved.graph_state) == ("cancelled", {"count": 1})


# Rows 33 and 34


async def test_every_rule_is_recorded_and_made_again(files: FileCheckpointBackend) -> None:
    """Row 33: by name and options, so that a restored graph keeps what the original kept."""
    config = CheckpointConfig(
        backend=files,
        trigger=checkpoint.EveryIterations(2) | checkpoint.AfterNode("Count"),
        retention=checkpoint.KeepAll(),
    )
    graph = Graph(looping(Count(4)), id="g", checkpoint_config=config)
    await graph.run()

    (*_, latest) = await checkpoints_of(graph)
    del graph
    gc.collect()
    restored = Graph.from_checkpoint(latest, start=looping(Count(4))).checkpoint_config

    assert restored is not None
    assert repr((restored.trigger, restored.retention)) == repr((config.trigger, config.retention))


class Colour(enum.Enum):
    RED = "r"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = dataclasses.field(compare=False)


class Pair(NamedTuple):
    left: int
    right: str


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Point(1, 2.5),
        Pair(1, "b"),
        deque([1, 2], maxlen=3),
        defaultdict(list, {"a": [1]}),
        Counter("aab"),
        OrderedDict(b=1, a=2),
        Fraction(1, 3),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30), "IST")),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_types_that_everybody_has_come_back_without_being_registered(
    files: FileCheckpointBackend, value: Any
) -> None:
    """Row 34: exactly, by their type and all that they hold."""
    back = await stored_and_loaded(value, files)

    assert type(back) is type(value)
    assert repr(back) == repr(value)
