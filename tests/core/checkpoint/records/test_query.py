"""Questions about stored checkpoints: which are meant, in which order, and how many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from spark.errors import CheckpointDamagedError, GraphDefinitionError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Record
from tests.support.running import countdown, every_step

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def hourly(backend: InMemoryCheckpointBackend, graph_id: str = "g", count: int = 5) -> CheckpointManager:
    """Checkpoints named 0, 1, 2…, made at noon and every hour after it."""
    for number in range(count):
        moment = NOON + timedelta(hours=number)
        await GraphCheckpoint(f"{graph_id}{number}", graph_id, moment).save(backend)
    return CheckpointManager(backend)


async def ids(manager: CheckpointManager, *arguments: Any, **asked: Any) -> list[str]:
    return [info.checkpoint_id for info in await manager.list_checkpoints(*arguments, **asked)]


async def test_after_and_before_are_strict_and_compare_instants() -> None:
    manager = await hourly(InMemoryCheckpointBackend())
    one_o_clock = (NOON + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5)))
    four_o_clock_here = (NOON + timedelta(hours=4)).astimezone().replace(tzinfo=None)

    assert await ids(manager, "g", after=one_o_clock, before=four_o_clock_here) == ["g2", "g3"]


async def test_a_limit_keeps_the_oldest_or_with_newest_first_the_newest() -> None:
    manager = await hourly(InMemoryCheckpointBackend())

    assert await ids(manager, "g", limit=2) == ["g0", "g1"]
    assert await ids(manager, "g", limit=2, newest_first=True) == ["g4", "g3"]
    assert await ids(manager, "g", limit=0) == []


async def test_without_a_graph_id_all_graphs_are_asked_graph_by_graph() -> None:
    backend = InMemoryCheckpointBackend()
    await hourly(backend, "b", 2)
    manager = await hourly(backend, "a", 2)

    assert await ids(manager) == ["a0", "a1", "b0", "b1"]
    assert await ids(manager, newest_first=True) == ["b1", "b0", "a1", "a0"]


async def test_metadata_of_the_run_is_searched() -> None:
    backend = InMemoryCheckpointBackend()
    await Graph(countdown(), id="g", checkpoint_config=every_step(backend)).run({"limit": 4})
    manager = CheckpointManager(backend)

    assert await ids(manager, "g", metadata={"iteration": 3}) == ["ckpt_g_000003"]
    assert await ids(manager, "g", metadata={"reason": "trigger"}, limit=2) == ["ckpt_g_000001", "ckpt_g_000002"]
    assert await ids(manager, "g", metadata={"iteration": 3, "reason": "completed"}) == []


async def test_what_the_user_gave_is_searched_too() -> None:
    backend = InMemoryCheckpointBackend()
    graph = Graph(countdown(), id="g")
    await graph.create_checkpoint("mine", metadata={"stage": "before", "try": 1}).save(backend)

    assert await ids(CheckpointManager(backend), metadata={"stage": "before"}) == ["mine"]


@pytest.mark.parametrize("almost", [1.0, True, "1", None, 2])
async def test_values_are_compared_with_their_types(almost: Any) -> None:
    backend = InMemoryCheckpointBackend()
    await Graph(countdown(), id="g").create_checkpoint("mine", metadata={"try": 1}).save(backend)
    manager = CheckpointManager(backend)

    assert await ids(manager, metadata={"try": 1}) == ["mine"]
    assert await ids(manager, metadata={"try": almost}) == []
    assert await ids(manager, metadata={"absent": None}) == []


async def test_what_is_no_short_scalar_is_kept_but_not_searched() -> None:
    backend = InMemoryCheckpointBackend()
    given = {"text": "x" * 500, "list": [1], "nan": float("nan"), "huge": 2**70, "short": "y"}
    await Graph(countdown(), id="g").create_checkpoint("mine", metadata=given).save(backend)
    loaded = await CheckpointManager(backend).load_checkpoint("mine")

    assert loaded.execution_metadata["metadata"]["text"] == "x" * 500
    record = await backend.get("g", 1)
    assert record is not None
    assert record.header.metadata.keys() == {"iteration", "last_node", "reason", "short"}


async def test_metadata_is_covered_by_the_checksum() -> None:
    """Otherwise damage could make a search miss a checkpoint, and nobody would know."""
    backend = InMemoryCheckpointBackend()
    await Graph(countdown(), id="g").create_checkpoint("mine", metadata={"try": 1}).save(backend)
    record = await backend.get("g", 1)
    assert record is not None
    record.header.metadata = {**record.header.metadata, "try": 2}

    with pytest.raises(CheckpointDamagedError):
        backend.record_codec.decode(Record(record.header, record.payload))


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"limit": -1}, "limit=-1"),
        ({"limit": True}, "limit=True"),
        ({"after": "yesterday"}, "after='yesterday'"),
        ({"metadata": {1: 2}}, "keys are strings"),
        ({"metadata": {"a": [1]}}, "text, numbers, booleans or None"),
    ],
    ids=str,
)
async def test_a_question_that_can_not_be_asked_is_named(asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(GraphDefinitionError, match=complaint):
        await CheckpointManager(InMemoryCheckpointBackend()).list_checkpoints(**asked)
