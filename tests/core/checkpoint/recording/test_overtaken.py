"""A writer that somebody else overtook is told so, however little of the other's history is left to see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spark.errors import CheckpointConflictError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointManager,
    DatabaseCheckpointBackend,
    FileCheckpointBackend,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.storage import Record
from tests.support.running import Does
from tests.support.variants import first_of

Act = Callable[[], Awaitable[Any]]


@pytest.fixture(params=first_of(["memory", "file", "sqlite"], always=2))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CheckpointBackend]:
    backend: CheckpointBackend
    match request.param:
        case "memory":
            backend = InMemoryCheckpointBackend()
        case "file":
            backend = FileCheckpointBackend(directory=str(tmp_path))
        case _:
            backend = DatabaseCheckpointBackend(f"sqlite:///{tmp_path}/runs.db")
    async with backend:
        yield backend


def steps(count: int, *, act: Act | None = None, at: int = 1) -> Node:
    """A loop of so many steps, which does something in one of them."""

    async def work(context: NodeContext) -> Any:
        if act is not None and context.iteration + 1 == at:
            await act()
        return {"more": context.iteration + 1 < count, "run": context.run_id}

    loop = Does(work, name="loop")
    loop.on(more=True) >> loop
    return loop


def graph_on(store: CheckpointBackend, start: Node) -> Graph:
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False)
    return Graph(start, id="g", checkpoint_config=config)


def rival(store: CheckpointBackend, *, deletes: bool = False) -> Act:
    """Another process that runs the same graph id to its end, and may clean up behind itself."""

    async def run() -> None:
        await graph_on(store, steps(9)).run(resume=True)
        if deletes:
            await CheckpointManager(store).delete_all_checkpoints("g")

    return run


async def sequences(store: CheckpointBackend) -> list[int]:
    return [info.sequence for info in (await store.list("g")).infos]


@pytest.mark.parametrize("resume", [True, "state", False])
async def test_one_that_found_nothing_stops_when_another_has_begun_meanwhile(
    store: CheckpointBackend, resume: Any
) -> None:
    """It had looked, and was paused before its first checkpoint."""
    graph = graph_on(store, steps(9, act=rival(store)))

    with pytest.raises(CheckpointConflictError, match=r"stopped before checkpoint 1 of graph 'g'.*continued the same"):
        await graph.run(resume=resume)

    assert await sequences(store) == [*range(1, 10)]


async def test_one_that_is_paused_right_after_it_found_nothing_stops_too() -> None:
    """The narrowest window: nothing is loaded, and the history is not opened yet."""

    class Paused(InMemoryCheckpointBackend):
        is_paused = True

        async def get_latest(self, graph_id: str) -> Record | None:
            found = await super().get_latest(graph_id)
            if self.is_paused:
                self.is_paused = False
                await rival(self)()
            return found

    store = Paused()

    with pytest.raises(CheckpointConflictError):
        await graph_on(store, steps(9)).run(resume=True)
    assert await sequences(store) == [*range(1, 10)]


async def test_one_that_finds_what_was_written_while_it_looked_goes_on_from_there() -> None:
    async def be_killed() -> None:
        raise KeyboardInterrupt

    class Overtaken(InMemoryCheckpointBackend):
        is_armed = True

        async def next_sequence(self, graph_id: str) -> int:
            found = await super().next_sequence(graph_id)
            if self.is_armed:
                self.is_armed = False
                with suppress(KeyboardInterrupt):
                    await graph_on(self, steps(9, act=be_killed, at=4)).run()
            return found

    store = Overtaken()

    message = await graph_on(store, steps(9)).run(resume=True)

    assert message.resumed
    assert {(await store.get("g", sequence)) is not None for sequence in range(1, 10)} == {True}


async def test_one_that_loaded_nothing_before_a_pause_stops(store: CheckpointBackend) -> None:
    graph = graph_on(store, steps(9))
    assert await graph.load() is None
    await rival(store)()

    with pytest.raises(CheckpointConflictError):
        await graph.run()


async def test_one_whose_checkpoints_are_gone_with_those_of_its_successor_stops(store: CheckpointBackend) -> None:
    """An empty history after ours was written is a conflict, not an invitation."""

    async def take_over() -> None:
        # What the other process was given to continue: a checkpoint that records the rest of the work.
        other = graph_on(store, steps(9))
        await other.run(resume=True)
        await CheckpointManager(store).delete_all_checkpoints("g")

    graph = graph_on(store, steps(9, act=take_over, at=5))

    with pytest.raises(CheckpointConflictError, match=r"stopped before checkpoint 5 .*wrote up to sequence 9, but all"):
        await graph.run()

    assert await sequences(store) == []


async def test_one_that_resumed_and_is_overtaken_before_it_saves_stops(store: CheckpointBackend) -> None:
    stop = RuntimeError("killed")

    async def be_killed() -> None:
        raise stop

    with pytest.raises(RuntimeError):
        await graph_on(store, steps(9, act=be_killed, at=4)).run()
    graph = graph_on(store, steps(9, act=rival(store, deletes=True), at=4))

    with pytest.raises(CheckpointConflictError):
        await graph.run(resume=True)


async def test_deleting_everything_by_hand_takes_nothing_from_a_run(store: CheckpointBackend) -> None:
    async def delete() -> None:
        await CheckpointManager(store).delete_all_checkpoints("g")

    graph = graph_on(store, steps(9, act=delete, at=5))
    await graph.run()

    assert await sequences(store) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("at", [1, 5])
async def test_checkpoints_made_by_hand_come_and_go_as_they_like(store: CheckpointBackend, at: int) -> None:
    """A safety copy before something risky, replaced once and deleted when it went well."""

    async def save_and_delete() -> None:
        for _ in range(2):
            await graph.create_checkpoint("before").save(store)
        await CheckpointManager(store).delete_checkpoint("before")

    graph = graph_on(store, steps(9, act=save_and_delete, at=at))
    await graph.run()

    assert await sequences(store) == [sequence for sequence in range(1, 12) if sequence not in (at, at + 1)]


async def test_one_made_by_hand_does_not_hide_that_everything_was_deleted_by_hand(store: CheckpointBackend) -> None:
    """All sequences since ours are accounted for, so nobody else can have written."""

    async def delete_and_save() -> None:
        await CheckpointManager(store).delete_all_checkpoints("g")
        await graph.create_checkpoint("kept").save(store)

    graph = graph_on(store, steps(9, act=delete_and_save, at=5))
    await graph.run()

    assert await sequences(store) == [5, 6, 7, 8, 9, 10]
