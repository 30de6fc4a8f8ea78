"""What the page leaves open about making, listing and deleting checkpoints, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from spark.errors import BackendError, CheckpointNotFoundError, CheckpointVersionError, GraphDefinitionError
from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import (
    CURRENT_VERSION,
    CheckpointConfig,
    CheckpointInfo,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    migrations,
    register_migration,
)
from spark.graphs.checkpoint.storage import Record
from spark_testing.clock import FakeClock
from tests.support.stand_ins import Count, checkpoints_of, iterations_of, looping

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


class LoggingBackend(InMemoryCheckpointBackend):
    """Writes down what it did; fails to store one sequence."""

    def __init__(self, *, fails_at: int = 0) -> None:
        super().__init__()
        self.fails_at = fails_at
        self.log: list[tuple[str, int]] = []

    async def put(self, record: Record) -> None:
        if record.header.sequence == self.fails_at:
            raise OSError("disk full")
        await super().put(record)
        self.log.append(("put", record.header.sequence))

    async def delete(self, graph_id: str, sequence: int) -> bool:
        self.log.append(("delete", sequence))
        return await super().delete(graph_id, sequence)


def a_checkpoint(
    checkpoint_id: str = "c", graph_id: str = "g", timestamp: datetime = NOON, **parts: Any
) -> GraphCheckpoint:
    return GraphCheckpoint(checkpoint_id=checkpoint_id, graph_id=graph_id, timestamp=timestamp, **parts)


# Rows 13 and 14


async def test_lists_are_oldest_first_by_sequence(
    memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    """Row 13: never by id, nor by a clock that went backwards."""
    for number, name in enumerate(["z", "m", "a"]):
        await a_checkpoint(name, timestamp=NOON - timedelta(hours=number)).save(memory)

    checkpoints = await manager.list_checkpoints(graph_id="g")

    assert [info.checkpoint_id for info in checkpoints] == ["z", "m", "a"]
    assert [info.sequence for info in checkpoints] == [1, 2, 3]


async def test_the_items_of_a_list_are_light(memory: InMemoryCheckpointBackend, manager: CheckpointManager) -> None:
    """Row 13: id, graph id, timestamp, sequence and size; ``load_checkpoint`` gives the whole."""
    await a_checkpoint(graph_state={"a": 1}).save(memory)

    (info,) = await manager.list_checkpoints()

    assert isinstance(info, CheckpointInfo)
    assert (info.checkpoint_id, info.graph_id, info.timestamp, info.sequence) == ("c", "g", NOON, 1)
    assert info.size > 0
    assert not hasattr(info, "graph_state")
    assert (await manager.load_checkpoint(info.checkpoint_id)).graph_state == {"a": 1}


@pytest.mark.parametrize(
    "timestamp", [datetime(2024, 6, 1, 12), NOON, datetime(2024, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))]
)
async def test_naive_and_aware_timestamps_come_back_as_they_were(
    timestamp: datetime, memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    """Row 14: naive means local time; lists tell the instant in UTC."""
    await a_checkpoint(timestamp=timestamp).save(memory)

    loaded = await manager.load_checkpoint("c")
    (info,) = await manager.list_checkpoints()

    assert loaded.timestamp == timestamp
    assert loaded.timestamp.tzinfo == timestamp.tzinfo
    assert info.timestamp == timestamp.astimezone(UTC)


async def test_cleanup_before_is_strict_compares_instants_and_counts(
    memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    """Row 14: the cutoff itself stays; another time zone, and a naive local time, are the same instant."""
    for name, seconds in [("before", -1), ("at", 0), ("after", 1)]:
        await a_checkpoint(name, timestamp=NOON + timedelta(seconds=seconds)).save(memory)

    elsewhere = NOON.astimezone(timezone(timedelta(hours=-7)))
    counts = [await manager.cleanup_before(elsewhere), await manager.cleanup_before(naive_local(NOON))]

    assert counts == [1, 0]
    assert [info.checkpoint_id for info in await manager.list_checkpoints()] == ["at", "after"]


async def test_cleanup_before_is_narrowed_to_a_graph(
    memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    """Row 14: ``graph_id=``."""
    await a_checkpoint("a", "g").save(memory)
    await a_checkpoint("b", "other").save(memory)

    count = await manager.cleanup_before(NOON + timedelta(days=1), graph_id="other")

    assert count == 1
    assert [info.checkpoint_id for info in await manager.list_checkpoints()] == ["a"]


def naive_local(instant: datetime) -> datetime:
    return instant.astimezone().replace(tzinfo=None)


# Rows 15 and 16


class Named(Node):
    async def process(self) -> None: ...


@pytest.mark.parametrize("name", ["the key", "Named"])
async def test_a_trigger_takes_a_nodes_name_key_or_class_name(name: str) -> None:
    """Row 15: a given name is the node's key."""
    start = Count()
    start >> Named(name="the key") >> ExitNode()
    graph = Graph(start=start, checkpoint_config=CheckpointConfig(trigger_on_node=[name]))

    await graph.run()

    assert await iterations_of(graph) == [2, 3]


async def test_a_trigger_takes_the_key_of_one_of_several_nodes_of_a_class() -> None:
    """Row 15: keys are the class name, ``#2``, ``#3``… in discovery order."""
    start = Named()
    start >> Named() >> Named() >> Named(name="last")
    graph = Graph(start=start, checkpoint_config=CheckpointConfig(trigger_on_node=["Named#2"]))

    await graph.run()

    assert list(graph.nodes) == ["Named", "Named#2", "Named#3", "last"]
    assert await iterations_of(graph) == [2, 4]


def test_a_trigger_on_an_unknown_node_fails_when_the_graph_is_built() -> None:
    """Row 15: listing the known ones."""
    config = CheckpointConfig(trigger_on_node=["Cuont"])

    with pytest.raises(GraphDefinitionError, match=r"'Cuont'.*'Count'.*'ExitNode'"):
        Graph(start=looping(Count()), checkpoint_config=config)


async def test_a_long_node_is_caught_up_by_one_checkpoint() -> None:
    """Row 16: the next is due at the following multiple, and the clock starts with the run."""
    clock = FakeClock()

    class Waiting(Count):
        async def process(self, context: Any) -> dict[str, Any]:
            output = await super().process(context)
            clock.advance({1: 70}.get(output["count"], 10))
            return output

    graph = Graph(start=looping(Waiting(6)), checkpoint_config=CheckpointConfig(trigger_on_seconds=30), clock=clock)
    clock.advance(1000)
    await graph.run()

    # The boundaries are at 70, 80, 90, 100, 110 and 120 seconds; the exit takes no time.
    assert await iterations_of(graph) == [1, 3, 6, 7]


async def test_several_triggers_at_one_boundary_make_one_checkpoint() -> None:
    """Row 16."""
    clock = FakeClock()

    class Waiting(Count):
        async def process(self, context: Any) -> dict[str, Any]:
            clock.advance(60)
            return await super().process(context)

    config = CheckpointConfig(trigger_on_iteration=1, trigger_on_seconds=1, trigger_on_node=["Waiting"])
    graph = Graph(start=looping(Waiting(3)), checkpoint_config=config, clock=clock)
    await graph.run()

    assert await iterations_of(graph) == [1, 2, 3, 4]


# Row 17


async def test_max_checkpoints_is_per_graph(memory: InMemoryCheckpointBackend, manager: CheckpointManager) -> None:
    """Row 17."""
    config = CheckpointConfig(backend=memory, trigger_on_iteration=1, max_checkpoints=2)

    for graph_id in ("a", "b"):
        await Graph(start=looping(Count(5)), id=graph_id, checkpoint_config=config).run()

    assert [(info.graph_id, info.sequence) for info in await manager.list_checkpoints()] == [
        ("a", 5),
        ("a", 6),
        ("b", 5),
        ("b", 6),
    ]


async def test_old_checkpoints_go_only_after_the_new_one_is_durable() -> None:
    """Row 17."""
    backend = LoggingBackend()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=1)

    await Graph(start=looping(Count(2)), id="g", checkpoint_config=config).run()

    assert backend.log == [("put", 1), ("put", 2), ("delete", 1), ("put", 3), ("delete", 2)]


async def test_a_checkpoint_that_could_not_be_saved_costs_no_older_one() -> None:
    """Row 17: the error names the checkpoint."""
    backend = LoggingBackend(fails_at=2)
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, max_checkpoints=1)

    with pytest.raises(BackendError, match=r"ckpt_g_000002.*disk full"):
        await Graph(start=looping(Count(5)), id="g", checkpoint_config=config).run()

    assert [info.sequence for info in (await backend.list()).infos] == [1]


async def test_checkpoints_made_by_hand_are_exempt(manager: CheckpointManager) -> None:
    """Row 17: they neither go nor count."""
    config = CheckpointConfig(backend=manager.backend, trigger_on_iteration=1, max_checkpoints=2)
    graph = Graph(start=looping(Count(5)), id="g", checkpoint_config=config)
    await graph.create_checkpoint("by_hand").save(manager.backend)

    await graph.run()

    assert [info.checkpoint_id for info in await manager.list_checkpoints("g")] == [
        "by_hand",
        "ckpt_g_000006",
        "ckpt_g_000007",
    ]


# Rows 19 and 20


async def test_saving_an_id_again_replaces_it(memory: InMemoryCheckpointBackend, manager: CheckpointManager) -> None:
    """Row 19."""
    await a_checkpoint(graph_state={"a": 1}).save(memory)
    await a_checkpoint(graph_state={"a": 2}).save(memory)

    assert (await manager.load_checkpoint("c")).graph_state == {"a": 2}
    assert len(await manager.list_checkpoints()) == 1


async def test_a_missing_checkpoint_is_an_error_when_loaded_and_false_when_deleted(manager: CheckpointManager) -> None:
    """Row 19: the error is also a ``KeyError``."""
    with pytest.raises(CheckpointNotFoundError, match="'nowhere'") as raised:
        await manager.load_checkpoint("nowhere")

    assert isinstance(raised.value, KeyError)
    assert await manager.delete_checkpoint("nowhere") is False


@pytest.mark.parametrize("version", ["0.1.0", "2.0.0", "banana"])
async def test_loading_never_fails_on_a_version_but_restoring_does(
    version: str, memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    """Row 20."""
    await a_checkpoint(version=version).save(memory)

    loaded = await manager.load_checkpoint("c")

    assert loaded.version == version
    with pytest.raises(CheckpointVersionError, match=version):
        Graph.from_checkpoint(loaded)


async def test_another_minor_version_is_restored() -> None:
    """Row 20: only an unknown major version is refused."""
    major = CURRENT_VERSION.partition(".")[0]

    graph = Graph.from_checkpoint(a_checkpoint(version=f"{major}.99.0", graph_state={"a": 1}), start=ExitNode())

    assert await graph.get_state("a") == 1


def test_registered_migrations_are_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 20: one after the other."""
    monkeypatch.setattr(migrations, "_MIGRATIONS", {})

    @register_migration("banana")
    def to_zero(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
        return a_checkpoint(version="0.1.0", graph_state={"via": ["banana"]})

    @register_migration(0)
    def to_one(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
        return a_checkpoint(version="1.0.0", graph_state={"via": [*checkpoint.graph_state["via"], "0"]})

    graph = Graph.from_checkpoint(a_checkpoint(version="banana"), start=ExitNode())

    assert graph.get_state_snapshot() == {"via": ["banana", "0"]}


async def test_a_run_writes_the_current_version() -> None:
    """Row 20."""
    graph = Graph(start=ExitNode(), checkpoint_config=CheckpointConfig())

    await graph.run()

    assert [checkpoint.version for checkpoint in await checkpoints_of(graph)] == [CURRENT_VERSION] == ["1.0.0"]
