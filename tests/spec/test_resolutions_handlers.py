"""What the page leaves open about handlers, row by row."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.stand_ins import Count, Flaky, checkpoints_of, looping

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


class Collector(CheckpointHandler):
    """Keeps what it hears; without a call of its base class's ``__init__``."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self.heard.append(("created", checkpoint.checkpoint_id))

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        self.heard.append(("restored", checkpoint.checkpoint_id))

    async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        self.heard.append(("deleted", checkpoint_id))


class Raising(CheckpointHandler):
    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        raise LookupError("the handler's own")


# Row 8


async def test_several_handlers_hear_in_order(memory: InMemoryCheckpointBackend) -> None:
    """Row 8: ``handler`` takes one, or several."""
    heard: list[str] = []

    class Named(CheckpointHandler):
        def __init__(self, name: str) -> None:
            self.name = name

        async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            heard.append(self.name)

    config = CheckpointConfig(backend=memory, handler=[Named("a"), CheckpointHandler(), Named("b")])
    await Graph(start=ExitNode(), id="g", checkpoint_config=config).run()

    assert heard == ["a", "b"]


async def test_a_handler_that_raises_is_logged_by_name_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Row 8: the others are told all the same."""
    collector = Collector()
    graph = Graph(start=ExitNode(), id="g", checkpoint_config=CheckpointConfig(handler=[Raising(), collector]))

    with caplog.at_level(logging.ERROR, logger="spark"):
        result = await graph.run()

    assert result.content["success"] is True
    assert "Raising" in caplog.text
    assert collector.heard == [("created", "ckpt_g_000001")]


async def test_a_handler_that_raises_ends_the_run_when_asked_to() -> None:
    """Row 8: ``handler_errors='raise'``."""
    config = CheckpointConfig(handler=Raising(), handler_errors="raise")

    with pytest.raises(LookupError, match="the handler's own"):
        await Graph(start=ExitNode(), id="g", checkpoint_config=config).run()


# Row 9


async def test_restored_is_told_once_when_the_first_run_begins() -> None:
    """Row 9: ``from_checkpoint`` is not async, so it can't be told there."""
    collector = Collector()
    graph = Graph(start=looping(Flaky()), id="row 9", checkpoint_config=CheckpointConfig())
    with pytest.raises(ConnectionError):
        await graph.run()
    (checkpoint,) = await checkpoints_of(graph)
    config = CheckpointConfig(handler=collector)

    restored = Graph.from_checkpoint(checkpoint, checkpoint_config=config)
    before = list(collector.heard)
    await restored.run()
    await restored.run()

    assert before == []
    assert [event for event, _ in collector.heard] == ["restored", "created", "created"]


# Row 10


async def test_the_manager_tells_its_handler_what_it_deletes(memory: InMemoryCheckpointBackend) -> None:
    """Row 10: one by one, all of a graph, and by age; but not what was not there."""
    collector = Collector()
    manager = CheckpointManager(memory, handler=collector)
    for name, graph_id in [("a", "g"), ("b", "g"), ("c", "g"), ("d", "other")]:
        await GraphCheckpoint(name, graph_id, NOON).save(memory)

    await manager.delete_checkpoint("a")
    await manager.delete_checkpoint("a")
    await manager.delete_all_checkpoints("g")
    await manager.cleanup_before(NOON + timedelta(seconds=1))

    assert collector.heard == [("deleted", "a"), ("deleted", "b"), ("deleted", "c"), ("deleted", "d")]


async def test_created_is_told_when_the_checkpoint_can_be_loaded(manager: CheckpointManager) -> None:
    """Row 10: after the save is durable, not before."""

    class Loading(CheckpointHandler):
        loaded: list[GraphCheckpoint]

        async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            self.loaded.append(await manager.load_checkpoint(checkpoint.checkpoint_id))

    handler = Loading()
    handler.loaded = []
    config = CheckpointConfig(backend=manager.backend, handler=handler, handler_errors="raise", trigger_on_iteration=1)
    await Graph(start=looping(Count(2)), id="g", checkpoint_config=config).run()

    assert [checkpoint.sequence for checkpoint in handler.loaded] == [1, 2, 3]
