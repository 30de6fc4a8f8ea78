"""A restored graph is checkpointed as the one that was saved: every setting is recorded, or its loss is said."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphRestoreError, SparkWarning
from spark.graphs import Graph
from spark.graphs.checkpoint import (
    AfterNode,
    Boundary,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointInfo,
    CheckpointManager,
    CheckpointSerializer,
    EveryIterations,
    EverySeconds,
    FileCheckpointBackend,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepAll,
    KeepFor,
    KeepLast,
    Retention,
    Trigger,
    WithinOverhead,
)
from spark.graphs.checkpoint.policies.lookup import retention_from_data, rule_to_data, trigger_from_data
from tests.support.running import Countdown, countdown

OTHERS: dict[str, Any] = {
    "enabled": False,
    "trigger_on_iteration": 7,
    "trigger_on_seconds": 2.5,
    "trigger_on_node": ["Countdown"],
    "max_checkpoints": 3,
    "auto_cleanup": False,
    "handler_errors": "raise",
    "trigger_on_failure": False,
    "trigger": EveryIterations(5) & AfterNode("Countdown") | WithinOverhead(0.1),
    "retention": KeepLast(5) | KeepFor(days=7) & KeepAll(),
    "durability": "async",
    "trigger_on_start": True,
    "trigger_on_cancel": False,
    "cancel_grace": 1.5,
    "signal_poll": 0.25,
    "record_errors": False,
    "max_overhead": 0.5,
    "metrics": ["loss"],
}
"""Another value than the default for each setting."""
NOT_RECORDED = {"backend", "handler", "sources", "format", "serializer", "codec"}
"""The backend is that which the checkpoint was loaded from. That handlers are lost is said; ``sources`` rule nothing. The rest is
recorded with the store."""


class Odd(Trigger):
    def is_due(self, boundary: Boundary) -> bool:
        return boundary.iteration % 2 == 1


class KeepOdd(Retention):
    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return checkpoint.sequence % 2 == 1


class KeepLastButFew(KeepLast):
    """Inherits the name of another rule."""


class Tells(CheckpointHandler):
    pass


@pytest.fixture
def backend() -> Iterator[InMemoryCheckpointBackend]:
    yield InMemoryCheckpointBackend()
    gc.collect()  # no graph of the id lives on into the next test


async def saved(backend: InMemoryCheckpointBackend, *, steps: int = 3, **settings: Any) -> GraphCheckpoint:
    """A checkpoint of a graph that lives no more."""
    config = CheckpointConfig(**{"backend": backend, "trigger_on_iteration": 1, **settings})
    await Graph(countdown(), id="recorded", checkpoint_config=config, max_concurrency=3, node_threads=5).run(
        {"limit": steps}
    )
    gc.collect()
    (info, *_) = await CheckpointManager(backend).list_checkpoints("recorded")
    return await CheckpointManager(backend).load_checkpoint(info.checkpoint_id)


def test_every_setting_is_tried_here_or_known_not_to_be_recorded() -> None:
    assert {each.name for each in fields(CheckpointConfig)} == OTHERS.keys() | NOT_RECORDED
    for each in fields(CheckpointConfig):
        default = each.default if each.default is not MISSING else None
        assert OTHERS.get(each.name, "not tried") != default


@pytest.mark.parametrize("name", OTHERS)
def test_a_recorded_setting_comes_back_as_it_was(backend: InMemoryCheckpointBackend, name: str) -> None:
    config = CheckpointConfig(backend=backend, **{name: OTHERS[name]})

    back, lost = CheckpointConfig.from_data(json.loads(json.dumps(config.to_data())), backend=backend)

    assert repr(back) == repr(config)
    assert lost == []


@pytest.mark.parametrize(
    "rule",
    [
        EveryIterations(5),
        EverySeconds(2.5),
        AfterNode("a", "b"),
        WithinOverhead(0.2),
        EveryIterations(1) | (EverySeconds(1) & AfterNode("x")),
    ],
)
def test_every_trigger_is_recorded_by_its_name_and_options(rule: Trigger) -> None:
    assert repr(trigger_from_data(json.loads(json.dumps(rule_to_data(rule))))) == repr(rule)


@pytest.mark.parametrize(
    "rule", [KeepLast(3), KeepFor(hours=1.5), KeepAll(), KeepLast(1) | KeepFor(days=2) & KeepAll()]
)
def test_every_rule_of_retention_is_recorded_by_its_name_and_options(rule: Retention) -> None:
    assert repr(retention_from_data(json.loads(json.dumps(rule_to_data(rule))))) == repr(rule)


def test_what_is_recorded_is_plain_and_reads_as_what_it_says() -> None:
    config = CheckpointConfig(trigger=EveryIterations(5) | AfterNode("b", "a"), retention=KeepFor(minutes=1))

    data = config.to_data()
    assert data["trigger"] == {"any": [{"every_iterations": {"count": 5}}, {"after_node": {"names": ["a", "b"]}}]}
    assert data["retention"] == {"keep_for": {"seconds": 60.0}}


async def test_a_restored_graph_keeps_everything_when_the_first_one_did(backend: InMemoryCheckpointBackend) -> None:
    checkpoint = await saved(
        backend, steps=31, retention=KeepAll(), trigger=EveryIterations(2) | AfterNode("Countdown")
    )

    graph = Graph.from_checkpoint(checkpoint)
    await graph.run()

    assert len((await backend.list("recorded")).infos) == 61
    assert graph.create_checkpoint().config["node_threads"] == 5
    assert graph.create_checkpoint().config["max_concurrency"] == 3


@pytest.mark.parametrize("rule", [KeepOdd(), KeepLast(1) | KeepOdd(), KeepLastButFew(1)])
async def test_retention_that_can_not_be_recorded_is_named_and_everything_is_kept(
    backend: InMemoryCheckpointBackend, rule: Retention
) -> None:
    checkpoint = await saved(backend, retention=rule)

    with pytest.warns(
        SparkWarning, match=r"retention: a rule of your own is not recorded: .*Keep\w+, so KeepAll\(\) is used"
    ):
        graph = Graph.from_checkpoint(checkpoint)

    assert graph.checkpoint_config is not None
    assert repr(graph.checkpoint_config.combined_retention()) == "KeepAll()"


async def test_a_trigger_and_handlers_that_can_not_be_recorded_are_named(backend: InMemoryCheckpointBackend) -> None:
    checkpoint = await saved(backend, trigger=Odd(), handler=[Tells(), Tells()])

    with pytest.warns(SparkWarning) as caught:
        graph = Graph.from_checkpoint(checkpoint)

    message = str(caught[0].message)
    assert caught[0].filename == __file__
    assert "Checkpoint 'ckpt_recorded_000001' of graph 'recorded'" in message
    assert "tests.core.resuming.test_recorded_config:Tells is not called" in message
    assert "trigger: a rule of your own is not recorded: tests.core.resuming.test_recorded_config:Odd" in message
    assert "pass checkpoint_config= to Graph.from_checkpoint()" in message
    assert graph.checkpoint_config is not None
    assert repr(graph.checkpoint_config.combined_trigger()) == "EveryIterations(1) | WithinOverhead(0.05)"


class Marks(CheckpointSerializer):
    pass


async def test_a_serializer_that_the_backend_lacks_is_named(tmp_path: Path) -> None:
    async with FileCheckpointBackend(str(tmp_path), serializer=Marks()) as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        await Graph(countdown(), id="recorded", checkpoint_config=config).run({"limit": 3})
        checkpoint = await CheckpointManager(backend).load_latest("recorded")
        assert checkpoint is not None
        gc.collect()
        Graph.from_checkpoint(checkpoint)  # nothing is lost
    gc.collect()
    async with FileCheckpointBackend(str(tmp_path)) as backend:
        checkpoint = await CheckpointManager(backend).load_latest("recorded")
        assert checkpoint is not None
        with pytest.warns(
            SparkWarning,
            match="passed the serializer tests.core.resuming.test_recorded_config:Marks, which the backend",
        ):
            Graph.from_checkpoint(checkpoint)


async def test_nothing_is_said_where_nothing_is_lost(backend: InMemoryCheckpointBackend) -> None:
    """Warnings are errors here: with a configuration that is given, and in the process of the first graph, the rules live on."""
    mine = CheckpointConfig(
        backend=backend, trigger_on_iteration=1, retention=KeepOdd(), trigger=Odd(), handler=Tells()
    )
    graph = Graph(countdown(), id="recorded", checkpoint_config=mine)
    await graph.run({"limit": 3})
    checkpoint = await CheckpointManager(backend).load_latest("recorded")
    assert checkpoint is not None

    restored = Graph.from_checkpoint(checkpoint)
    assert restored.checkpoint_config is not None
    assert restored.checkpoint_config.retention is mine.retention
    Graph.from_checkpoint(checkpoint, checkpoint_config=CheckpointConfig(backend=backend))


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("retention", {"keep_some": {}}),
        ("retention", {"keep_last": {"count": -1}}),
        ("retention", {"keep_last": {"number": 1}}),
        ("retention", {"keep_last": 5}),
        ("retention", {"keep_for": {"seconds": 1e300}}),
        ("retention", {"keep_for": {"seconds": "long"}}),
        ("retention", {"any": []}),
        ("retention", {"all": [{"keep_all": {}}, "?"]}),
        ("retention", ["keep_all"]),
        ("trigger", {"every_iterations": {"count": 0}}),
        ("trigger", {"after_node": {}}),
        ("trigger", {"every_seconds": {"seconds": float("nan")}}),
        ("trigger", {"keep_all": {}}),
        ("trigger", 7),
    ],
)
async def test_what_no_rule_is_made_of_gives_way_to_the_rule_that_keeps_more(
    backend: InMemoryCheckpointBackend, field: str, data: Any
) -> None:
    checkpoint = await saved(backend)
    checkpoint.config["checkpoint"][field] = data

    with pytest.warns(SparkWarning, match=f"{field}: "):
        graph = Graph.from_checkpoint(checkpoint)

    assert graph.checkpoint_config is not None
    assert (
        repr(getattr(graph.checkpoint_config, field))
        == {"retention": "KeepAll()", "trigger": "WithinOverhead(0.05)"}[field]
    )


async def test_a_setting_that_nobody_can_have_given_is_an_error_of_restoring(
    backend: InMemoryCheckpointBackend,
) -> None:
    checkpoint = await saved(backend)
    checkpoint.config["checkpoint"]["max_checkpoints"] = "many"

    with pytest.raises(GraphRestoreError, match="records a checkpoint configuration that can't be used"):
        Graph.from_checkpoint(checkpoint)


async def test_what_an_older_release_recorded_still_restores(backend: InMemoryCheckpointBackend) -> None:
    checkpoint = await saved(backend)
    old = (
        "enabled",
        "trigger_on_iteration",
        "trigger_on_seconds",
        "trigger_on_node",
        "max_checkpoints",
        "auto_cleanup",
    )
    checkpoint.config = {"checkpoint": {name: checkpoint.config["checkpoint"][name] for name in old}}

    graph = Graph.from_checkpoint(checkpoint)
    await graph.run()

    assert repr(graph.checkpoint_config) == repr(CheckpointConfig(backend=backend, trigger_on_iteration=1))


class TestWithoutATrigger:
    """A store that outlives the process is written to as often as that costs little; one in memory only at the end."""

    def test_the_rule_depends_on_the_store(self, backend: InMemoryCheckpointBackend, tmp_path: Any) -> None:
        files = FileCheckpointBackend(str(tmp_path))

        assert repr(CheckpointConfig().trigger_for(files)) == "WithinOverhead(0.05)"
        assert repr(CheckpointConfig(max_overhead=0.2).trigger_for(files)) == "WithinOverhead(0.2)"
        assert CheckpointConfig(max_overhead=0).trigger_for(files) is None
        assert CheckpointConfig(durability="exit").trigger_for(files) is None
        assert CheckpointConfig().trigger_for(backend) is None
        assert repr(CheckpointConfig(trigger_on_iteration=3).trigger_for(files)) == "EveryIterations(3)"

    def test_triggers_in_memory_are_noted_once_for_each_graph(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, logger="spark.checkpoint"):
            Graph(Countdown(), id="lost", checkpoint_config=CheckpointConfig(trigger_on_iteration=1))
            Graph(Countdown(), id="not asked for", checkpoint_config=CheckpointConfig())

        (message,) = caplog.messages
        assert message.startswith("Graph 'lost' makes checkpoints in memory, so they end with this process.")
