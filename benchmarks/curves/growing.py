"""One step's cost, in microseconds, where the state grows: lists, mappings, maps; and what loading it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks import floors, state
from benchmarks.contest.rows import Laps
from benchmarks.curves.growth import READS, Figures, Measure
from benchmarks.curves.stores import EVERY, Place
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager

STEPS = 100
FEW_STEPS = 30
"""Over a network."""
NEAR = ("memory", "SQLite", "files")
MOST_FAR = 1_000
"""The longest history, and the widest map, that is written over a network."""
KEEPING = tuple(store for store in EVERY if store != "memory")
"""Those that read what they load."""
ITEM = "x" * 80


class Appending(Node):
    """Adds a message to the list, so many times."""

    def __init__(self, steps: int, *, first: int = 0) -> None:
        self.steps = steps
        self.first = first
        self.laps = Laps()

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.laps.mark()
        done = len(self.laps.marks)
        await self.change(context, self.first + done)
        return {"done": done >= self.steps}

    async def change(self, context: NodeContext, number: int) -> None:
        await context.graph_state.append("messages", state.message(number))


class Setting(Appending):
    """Sets one item of the mapping after another."""

    async def change(self, context: NodeContext, number: int) -> None:
        await context.graph_state.set_item("items", _key(number % self.first), [number, ITEM])


class Spread(Node):
    def __init__(self, items: int) -> None:
        self.items = items

    async def process(self) -> dict[str, Any]:
        return {"items": list(range(self.items))}


class Work(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"done": 1}


class Join(JoinNode):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"done": len(context.inputs)}


def by_list_length(store: str) -> Measure:
    """Over a list that has so many messages already."""
    return lambda length, place: _grown(
        store, place, Appending(_steps(store), first=length), {"messages": [state.message(n) for n in range(length)]}
    )


def by_mapping_size(store: str) -> Measure:
    """Over a mapping of so many items."""
    return lambda size, place: _grown(
        store, place, Setting(_steps(store), first=size), {"items": {_key(n): [0, ITEM] for n in range(size)}}
    )


def by_map_width(store: str) -> Measure:
    """Over so many items, eight at a time."""

    async def measure(width: int, place: Place) -> Figures:
        if not _can(store, width, place):
            return {}
        start = Spread(width)
        start.each("items", limit=8) >> Work() >> Join()
        async with place.store(store) as backend:
            graph = Graph(start=start, id="bench", checkpoint_config=_config(backend))
            began = time.perf_counter()
            result = await graph.run()
            seconds = time.perf_counter() - began
        assert result.content == {"done": width}
        return {store: seconds / width * 1e6}

    return measure


def by_loading(store: str) -> Measure:
    """What it takes to load the latest of so many checkpoints, each of which added a message."""

    async def measure(length: int, place: Place) -> Figures:
        if not _can(store, length, place):
            return {}
        times = max(3, min(READS, 20_000 // length))
        async with place.store(store) as backend:
            await _run(backend, Appending(length), {})
            manager = CheckpointManager(backend)
            began = time.perf_counter()
            for _ in range(times):
                checkpoint = await manager.load_latest("bench")
            seconds = time.perf_counter() - began
        assert checkpoint is not None
        assert len(checkpoint.graph_state["messages"]) == length
        return {store: seconds / times * 1e6}

    return measure


def by_reads(store: str) -> Measure:
    """How many records and blobs that reads."""

    async def measure(length: int, place: Place) -> Figures:
        if not _can(store, length, place):
            return {}
        async with place.store(store) as backend:
            await _run(backend, Appending(length), {})
            reads = _counted(backend)
            await CheckpointManager(backend).load_latest("bench")
        return {store: float(len(reads))}

    return measure


async def floor(size: int, place: Place) -> Figures:
    """A bare commit of 1 KB."""
    return {"floor: SQLite": floors.bare_sqlite(place.folder / "bare.db", os.urandom(state.MESSAGE), STEPS) * 1e6}


async def floor_of_loading(length: int, place: Place) -> Figures:
    """SELECT as many bytes, from one row."""
    file = place.folder / "bare.db"
    floors.bare_sqlite(file, b"", 1, first=state.message(0)["content"].encode() * length)
    return {"floor: SQLite": floors.bare_first(file, 10) * 1e6}


async def _grown(store: str, place: Place, node: Appending, values: dict[str, Any]) -> Figures:
    if not place.has(store):
        return {}
    async with place.store(store) as backend:
        await _run(backend, node, values)
    return {store: node.laps.seconds() * 1e6}


async def _run(backend: CheckpointBackend, node: Node, values: dict[str, Any]) -> None:
    node.on(done=False) >> node
    node.on(done=True) >> ExitNode()
    await Graph(start=node, id="bench", state=values, checkpoint_config=_config(backend)).run()


def _config(backend: CheckpointBackend) -> CheckpointConfig:
    return CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=False)


def _can(store: str, size: int, place: Place) -> bool:
    return place.has(store) and (store in NEAR or size <= MOST_FAR)


def _steps(store: str) -> int:
    return STEPS if store in NEAR else FEW_STEPS


def _counted(backend: CheckpointBackend) -> list[str]:
    """What the backend is asked to read from now on: a record, or a blob by its name."""
    reads: list[str] = []
    get_latest: Callable[..., Any] = backend.get_latest
    get_blobs: Callable[..., Any] = backend.get_blobs

    async def counted_latest(graph_id: str) -> Any:
        reads.append("record")
        return await get_latest(graph_id)

    async def counted_blobs(graph_id: str, names: Any) -> Any:
        reads.extend(names)
        return await get_blobs(graph_id, names)

    backend.get_latest = counted_latest  # type: ignore[method-assign]
    backend.get_blobs = counted_blobs  # type: ignore[method-assign]
    return reads


def _key(number: int) -> str:
    return f"item-{number:06}"
