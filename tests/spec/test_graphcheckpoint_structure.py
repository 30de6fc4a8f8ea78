"""GraphCheckpoint Structure."""

from __future__ import annotations

import ast
from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest

from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from tests.spec import page
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, checkpoints_of, looping

COMPONENTS = [row[0] for row in page.table("Checkpoint Contents")]


@pytest.mark.block("Checkpoint Schema")
def test_a_checkpoint_takes_what_the_schema_lists(block: PageBlock) -> None:
    block.check_signature()


def test_the_components_are_the_fields_of_a_checkpoint() -> None:
    assert [field.name for field in fields(GraphCheckpoint)][: len(COMPONENTS)] == COMPONENTS


async def test_a_checkpoint_made_of_the_examples_in_the_table_is_saved_and_loaded(
    memory: InMemoryCheckpointBackend, manager: CheckpointManager
) -> None:
    examples = {name: example_of(text) for name, _, text in page.table("Checkpoint Contents")}
    checkpoint = GraphCheckpoint(**examples)

    await checkpoint.save(memory)
    loaded = await manager.load_checkpoint(examples["checkpoint_id"])

    assert {name: getattr(loaded, name) for name in COMPONENTS} == examples


async def test_the_checkpoint_of_a_run_holds_every_component() -> None:
    graph = Graph(start=looping(Count(3)), id="pipeline", checkpoint_config=CheckpointConfig())

    await graph.run()
    checkpoint = (await checkpoints_of(graph))[-1]

    assert checkpoint.checkpoint_id
    assert checkpoint.graph_id == "pipeline"
    assert isinstance(checkpoint.timestamp, datetime)
    assert checkpoint.graph_state == {"count": 3}
    assert checkpoint.node_states == {}
    assert checkpoint.execution_metadata["iteration"] == 4
    assert checkpoint.execution_metadata["last_node"] == "ExitNode"
    assert checkpoint.config["enable_state"] is True
    assert checkpoint.config["mode"] == "STANDARD"
    assert checkpoint.version == "1.0.0"


def example_of(text: str) -> Any:
    if text == "datetime.now()":
        return datetime.now()
    return ast.literal_eval(text.replace("...", "'…'").replace("{'…'}", "{'key': '…'}"))
