"""What belongs to a checkpoint in this process is no part of it, and is forgotten with it."""

from __future__ import annotations

import gc
import pickle
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint import links as links_module
from spark.graphs.checkpoint.links import link, links_of


def made() -> GraphCheckpoint:
    return GraphCheckpoint("c", "g", datetime(2024, 5, 1, tzinfo=UTC), graph_state={"a": [1]})


def test_a_checkpoint_that_belongs_to_a_store_is_plain_data() -> None:
    """Somebody may send it to another process, where the connection of this one is of no use."""
    store = InMemoryCheckpointBackend()
    checkpoint = link(made(), store=store)

    assert checkpoint == made()
    assert all(getattr(checkpoint, field.name) is not store for field in fields(checkpoint))
    assert pickle.loads(pickle.dumps(checkpoint)) == checkpoint


def test_copies_and_forks_belong_where_the_original_does() -> None:
    store = InMemoryCheckpointBackend()
    checkpoint = link(made(), store=store)

    for copy in (checkpoint.isolated(), checkpoint.fork("other")):
        assert links_of(copy).store is store
    assert links_of(made()).store is None


def test_another_link_leaves_the_first_one() -> None:
    checkpoint = link(link(made(), store="store"), observers="observers")

    assert (links_of(checkpoint).store, links_of(checkpoint).observers) == ("store", "observers")


def test_nothing_is_kept_of_checkpoints_that_are_gone() -> None:
    before = len(links_module._LINKS)
    checkpoints = [link(made(), store=object()) for _ in range(100)]
    assert len(links_module._LINKS) == before + 100

    del checkpoints
    gc.collect()

    assert len(links_module._LINKS) == before


async def test_a_graph_that_a_handler_restores_goes_on_in_the_store_of_the_run() -> None:
    class Step(Node):
        async def process(self) -> str:
            return "done"

    class Restoring(CheckpointHandler):
        restored: list[Any]

        async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            self.restored = [Graph.from_checkpoint(checkpoint, start=wired()).checkpoint_backend]

    def wired() -> Node:
        start = Step()
        start >> ExitNode()
        return start

    backend, handler = InMemoryCheckpointBackend(), Restoring()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, handler=handler)
    graph = Graph(start=wired(), id="g", checkpoint_config=config)
    await graph.run()
    del graph
    gc.collect()

    assert handler.restored == [backend]
    latest = await CheckpointManager(backend).load_latest("g")
    assert links_of(latest).store is backend
