"""Troubleshooting."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from spark.errors import SerializationError
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, iterations_of, looping


class Unknown:
    """A type that checkpoints don't know."""


@pytest.mark.block("Checkpoint Creation Fails")
async def test_the_state_shows_what_could_not_be_saved(
    block: PageBlock, capsys: pytest.CaptureFixture[str], memory: InMemoryCheckpointBackend
) -> None:
    graph = Graph(start=looping(Count()), state={"fine": [1], "odd": Unknown()})
    with pytest.raises(SerializationError, match=r"graph_state\['odd'\]"):
        graph.with_checkpoints(CheckpointConfig(backend=memory))

    await block.run(graph=graph, json=json)

    assert capsys.readouterr().out == f"Cannot serialize odd: {Unknown}\n"
    assert (await memory.list()).infos == []


@pytest.mark.block("Recovery Fails")
@pytest.mark.parametrize(("version", "said"), [("1.0.0", ""), ("0.9.0", "Incompatible checkpoint version: 0.9.0\n")])
async def test_the_version_of_a_loaded_checkpoint_can_be_checked(
    block: PageBlock, manager: CheckpointManager, capsys: pytest.CaptureFixture[str], version: str, said: str
) -> None:
    await GraphCheckpoint("mine", "g", datetime.now(), version=version).save(manager.backend)

    await block.run(manager=manager, checkpoint_id="mine")

    assert capsys.readouterr().out == said


@pytest.mark.block("Checkpoint Storage Full")
async def test_retention_is_reduced_and_old_checkpoints_are_cleaned_up(
    block: PageBlock, memory: InMemoryCheckpointBackend
) -> None:
    now = datetime.now()
    await GraphCheckpoint("old", "another", now - timedelta(hours=25)).save(memory)
    await GraphCheckpoint("new", "another", now - timedelta(hours=23)).save(memory)

    config = (await block.run(backend=memory))["config"]
    config.trigger_on_iteration = 1
    graph = Graph(start=looping(Count(6)), checkpoint_config=config)
    await graph.run()

    assert [info.checkpoint_id for info in (await memory.list("another")).infos] == ["new"]
    assert await iterations_of(graph) == [5, 6, 7]
