"""Editing, forking, draining and measuring a graph: each once, from beginning to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spark.errors import CheckpointConflictError, RunError
from spark.graphs import Graph, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from tests.support.running import Does, Failure, every_step


async def _notes(context: NodeContext) -> Any:
    await context.graph_state.set("notes", ["first"])
    await context.graph_state.set("draft", "bad")
    return {}


async def _sends(context: NodeContext) -> Any:
    if await context.graph_state.get("draft") == "bad":
        raise Failure("not like this")
    return {"sent": await context.graph_state.get("draft"), "notes": await context.graph_state.get("notes")}


def letters(store: CheckpointBackend, graph_id: str = "letters") -> Graph:
    """A graph whose second node fails until somebody corrects the draft."""
    write, send = Does(_notes, name="write"), Does(_sends, name="send")
    write >> send
    return Graph(write, id=graph_id, checkpoint_config=every_step(store))


async def failed(store: CheckpointBackend) -> Graph:
    graph = letters(store)
    with pytest.raises(Failure):
        await graph.run()
    return graph


async def test_an_edited_run_is_resumed_in_the_state_that_it_was_given() -> None:
    store = InMemoryCheckpointBackend()
    graph, manager = await failed(store), CheckpointManager(store)

    info = await manager.edit(
        "letters", set={"draft": "good"}, append={"notes": ["second"]}, reason="it was bad", by="ann"
    )

    assert [(run.status, run.checkpoint_id) for run in await manager.runs()] == [("edited", info.checkpoint_id)]
    message = await graph.run(resume=True)
    assert message.content == {"sent": "good", "notes": ["first", "second"]}
    edited = await manager.load_checkpoint(info.checkpoint_id)
    assert edited.execution_metadata["reason"] == "edited"
    assert edited.execution_metadata["edit_reason"] == "it was bad"
    assert edited.execution_metadata["edited_by"] == "ann"
    assert edited.parent == info.sequence - 1


async def test_an_edit_that_is_meant_for_another_checkpoint_is_refused() -> None:
    store = InMemoryCheckpointBackend()
    await failed(store)
    manager = CheckpointManager(store)

    with pytest.raises(CheckpointConflictError, match="has moved on"):
        await manager.edit("letters", set={"draft": "good"}, expected=1)
    with pytest.raises(RunError, match="no key 'nots'"):
        await manager.edit("letters", delete=["nots"])

    assert len(await manager.list_checkpoints("letters")) == 2


async def test_a_fork_with_an_edit_runs_under_an_id_of_its_own() -> None:
    store = InMemoryCheckpointBackend()
    graph, manager = await failed(store), CheckpointManager(store)
    first = (await manager.list_checkpoints("letters"))[-1]

    await manager.fork(first.checkpoint_id, "copy", set={"draft": "good"})
    await manager.forget("letters")

    message = await letters(store, "copy").run(resume=True)
    assert message.content == {"sent": "good", "notes": ["first"]}
    assert graph.graph_id == "letters"


async def test_nobody_is_asked_to_drain_where_nobody_runs() -> None:
    store = InMemoryCheckpointBackend()
    await failed(store)

    assert not await CheckpointManager(store).drain("letters", "maintenance")


async def test_a_run_that_waits_is_asked_to_drain() -> None:
    store, reached = InMemoryCheckpointBackend(), asyncio.Event()

    class Reached(CheckpointHandler):
        def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
            reached.set()

    async def hears(context: NodeContext) -> Any:
        return await context.wait_for("go")

    config = CheckpointConfig(backend=store, handler=Reached())
    graph = Graph(Does(hears, name="hears"), id="waits", checkpoint_config=config)
    run = asyncio.create_task(graph.run())
    await asyncio.wait_for(reached.wait(), 60)
    assert await CheckpointManager(store).drain("waits", "maintenance")

    message = await run

    assert (message.status, message.reason) == ("drained", "maintenance")
    assert [run.status for run in await CheckpointManager(store).runs()] == ["drained"]


async def test_usage_counts_what_a_graph_takes_up() -> None:
    store = InMemoryCheckpointBackend()
    await failed(store)
    manager = CheckpointManager(store)

    found = await manager.usage(["letters", "unknown"])

    infos = await manager.list_checkpoints("letters")
    assert found.keys() == {"letters"}
    assert found["letters"].checkpoints == len(infos)
    assert found["letters"].bytes == sum(info.size for info in infos)
    assert found == await manager.usage()
