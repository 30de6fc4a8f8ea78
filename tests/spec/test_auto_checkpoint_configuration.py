"""Auto-Checkpoint Configuration."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from spark.errors import SparkWarning
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig
from tests.spec import page
from tests.spec.conftest import PageBlock
from tests.support.stand_ins import Count, checkpoints_of, iterations_of, looping


@pytest.mark.block("CheckpointConfig")
def test_a_config_takes_what_the_page_lists(block: PageBlock) -> None:
    block.check_signature()


@pytest.mark.parametrize(("name", "kind", "default", "meaning"), page.table("CheckpointConfig"))
def test_a_parameter_has_the_default_of_the_table(name: str, kind: str, default: str, meaning: str) -> None:
    assert getattr(CheckpointConfig(), name) == ast.literal_eval(default)


async def test_a_disabled_config_makes_no_checkpoints() -> None:
    graph = Graph(start=Count(), checkpoint_config=CheckpointConfig(enabled=False, trigger_on_iteration=1))

    await graph.run()

    assert graph.checkpoint_backend is None


@pytest.mark.block("Example: Configure Auto-Checkpointing")
async def test_a_run_leaves_its_last_five_checkpoints_in_the_directory(block: PageBlock, tmp_path: Path) -> None:
    with pytest.warns(SparkWarning, match="random id"):
        names = await block.run(my_node=looping(Count(94)))
    graph: Graph = names["graph"]

    assert names["result"].content == {"count": 94, "done": True, "success": True}
    assert await iterations_of(graph) == [60, 70, 80, 90, 95]
    assert [checkpoint.execution_metadata["reason"] for checkpoint in await checkpoints_of(graph)] == [
        *["trigger"] * 4,
        "completed",
    ]
    assert len(list((tmp_path / "checkpoints").rglob("*.ckpt"))) == 5
