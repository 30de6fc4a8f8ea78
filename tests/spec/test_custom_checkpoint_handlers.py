"""Custom Checkpoint Handlers."""

from __future__ import annotations

from typing import Any

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Flaky, looping


class Calls(list[Any]):
    """An async function that remembers what it was called with."""

    async def __call__(self, argument: Any) -> None:
        self.append(argument)


@pytest.mark.block("CheckpointHandler Interface")
async def test_a_handler_hears_of_each_checkpoint_created_restored_and_deleted(
    block: PageBlock, memory: InMemoryCheckpointBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    uploads, recoveries = Calls(), Calls()
    names = await block.run(backend=memory, upload_to_s3=uploads, log_recovery=recoveries)
    names["config"].max_checkpoints = 1

    await fail_and_recover(names["config"])

    failed, completed = "ckpt_g_000001", "ckpt_g_000002"
    assert capsys.readouterr().out.splitlines() == [
        f"Checkpoint created: {failed}",
        f"Restored from checkpoint: {failed}",
        f"Checkpoint created: {completed}",
        f"Checkpoint deleted: {failed}",
    ]
    assert [checkpoint.checkpoint_id for checkpoint in uploads] == [failed, completed]
    assert [checkpoint.graph_state for checkpoint in recoveries] == [{"count": 1}]


@pytest.mark.block("Example: Notification Handler")
async def test_a_handler_notifies_a_service_of_its_own(block: PageBlock, memory: InMemoryCheckpointBackend) -> None:
    service = NotificationService()
    handler: CheckpointHandler = (await block.run())["NotificationHandler"](service)

    await fail_and_recover(CheckpointConfig(backend=memory, handler=handler))

    assert service.sent == [
        {"message": "Checkpoint ckpt_g_000001 created", "channel": "#operations"},
        {"message": "Graph recovered from ckpt_g_000001", "channel": "#alerts", "severity": "warning"},
        {"message": "Checkpoint ckpt_g_000002 created", "channel": "#operations"},
    ]


async def test_a_handler_gets_whole_checkpoints_and_the_id_of_a_deleted_one(memory: InMemoryCheckpointBackend) -> None:
    class Collector(CheckpointHandler):
        def __init__(self) -> None:
            self.heard: list[Any] = []

        async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            self.heard.append(checkpoint)

        async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
            self.heard.append(checkpoint_id)

    collector = Collector()
    checkpoint = Graph(start=Flaky(), id="g", state={"count": 1}).create_checkpoint("mine")

    await Graph(start=looping(Flaky(fails_at=0)), id="g", checkpoint_config=config_of(memory, collector)).run()
    await checkpoint.save(memory)
    await CheckpointManager(memory, collector).delete_checkpoint("mine")

    created, deleted = collector.heard
    assert isinstance(created, GraphCheckpoint)
    assert created.graph_state == {"count": 3}
    assert deleted == "mine"


def config_of(backend: InMemoryCheckpointBackend, handler: CheckpointHandler) -> CheckpointConfig:
    return CheckpointConfig(backend=backend, handler=handler)


async def fail_and_recover(config: CheckpointConfig) -> None:
    """Two checkpoints: one as the second step failed, and one when the recovered run had completed."""
    graph = Graph(start=looping(Flaky()), id="g", checkpoint_config=config)
    with pytest.raises(ConnectionError):
        await graph.run()
    await graph.run(resume=True)


class NotificationService:
    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []

    async def send(self, **notification: str) -> None:
        self.sent.append(notification)
