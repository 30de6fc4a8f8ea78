"""What belongs to a checkpoint in this process is no part of it, and is forgotten with it."""

from __future__ import annotations

import gc
import pickle
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    migrations,
    register_migration,
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


class First(Node):
    async def process(self) -> str:
        return "first"


def two_nodes(first: str) -> Node:
    start = First(name=first)
    start >> ExitNode(name="last")
    return start


async def stored_run() -> InMemoryCheckpointBackend:
    """A store with a checkpoint after the first node, whose graph is gone."""
    backend = InMemoryCheckpointBackend()
    await Graph(two_nodes("first"), id="g", checkpoint_config=after_each(backend)).run()
    gc.collect()
    return backend


def after_each(backend: InMemoryCheckpointBackend, handler: CheckpointHandler | None = None) -> CheckpointConfig:
    return CheckpointConfig(backend=backend, trigger_on_iteration=1, handler=handler)


class Noting(CheckpointHandler):
    def __init__(self) -> None:
        self.stores: list[Any] = []

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self.stores.append(links_of(checkpoint).store)

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        self.stores.append(links_of(checkpoint).store)


async def test_a_graph_that_is_resumed_passes_on_where_its_checkpoint_is_from() -> None:
    backend, noting = await stored_run(), Noting()
    manager = CheckpointManager(backend)
    earliest = min(await manager.list_checkpoints("g"), key=lambda info: info.sequence)
    checkpoint = await manager.load_checkpoint(earliest.checkpoint_id)

    graph = Graph(two_nodes("first"), id="g", checkpoint_config=after_each(backend, noting))
    await graph.run(resume=checkpoint)

    assert noting.stores == [backend] * 2, "where it was resumed, and where it ended"


@pytest.mark.parametrize("rename", [None, {"last": "end"}], ids=["as it was", "renamed"])
async def test_what_load_returns_belongs_to_the_store(rename: dict[str, str] | None) -> None:
    backend = await stored_run()

    start = First(name="first")
    start >> ExitNode(name="end" if rename else "last")
    graph = Graph(start, id="g", checkpoint_config=after_each(backend))

    assert links_of(await graph.load(rename=rename)).store is backend


def test_what_a_migration_made_belongs_where_the_original_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_MIGRATIONS", {})

    @register_migration("0")
    def from_zero(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
        return replace(checkpoint, version="1.0.0")

    old = link(replace(made(), version="0.9"), store="store")

    assert links_of(migrations.migrated(old)).store == "store"
