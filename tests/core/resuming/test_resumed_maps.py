"""Maps that are killed and resumed: only what was not committed runs again, and the result is the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from spark.errors import GraphRestoreError
from spark.graphs import Graph, ItemError, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from tests.support.running import Does, every_step, history

ITEMS = [[1, 2, 3], [], [4], [5, 6]]


class Gather(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return {"got": context.inputs}


class Executions:
    """Counts the executions of each item, over all resumes."""

    def __init__(self) -> None:
        self.of: Counter[tuple[str, Any]] = Counter()
        self.keys: dict[tuple[str, Any], set[str]] = {}
        self.fails: set[tuple[Any, ...]] = set()

    def node(self, name: str, output: Callable[[NodeContext], Any]) -> Node:
        def work(context: NodeContext) -> Any:
            self.of[name, context.path] += 1
            self.keys.setdefault((name, context.path), set()).add(context.idempotency_key)
            if context.path in self.fails:
                raise ValueError(f"{context.path} fails")
            return output(context)

        return Does(work, name=name)


def nested(executions: Executions, *, limit: int | None = None, on_error: Any = "stop", leaf: str = "leaf") -> Node:
    """Two maps, one in the other, whose leaves pass two nodes."""
    start = Does(lambda context: {"items": ITEMS}, name="start")
    middle = executions.node("middle", lambda c: {"inner": c.inputs})
    start.each("items", limit=limit, on_error=on_error) >> middle
    first, second = executions.node(leaf, lambda c: c.inputs * 10), executions.node("second", lambda c: c.inputs + 1)
    middle.each("inner") >> first >> second >> Gather(name="inner") >> Gather(name="outer")
    return start


RESULT = [{"got": [11, 21, 31]}, {"got": []}, {"got": [41]}, {"got": [51, 61]}]


async def boundaries(start: Node, **options: Any) -> list[GraphCheckpoint]:
    backend = InMemoryCheckpointBackend()
    graph = Graph(start, id="maps", checkpoint_config=every_step(backend, auto_cleanup=False), **options)
    await graph.run()
    infos = await CheckpointManager(backend).list_checkpoints("maps")
    return [await CheckpointManager(backend).load_checkpoint(info.checkpoint_id) for info in infos]


def done_in(checkpoint: GraphCheckpoint) -> set[str]:
    assert checkpoint.frontier is not None
    return {id for id in checkpoint.frontier["contents"] if "." in id}


@pytest.mark.parametrize("limit", [None, 1, 2])
async def test_a_map_resumed_at_any_boundary_ends_as_though_nothing_had_happened(limit: int | None) -> None:
    before = Executions()
    found = await boundaries(nested(before, limit=limit))
    assert len(found) > 15
    for checkpoint in found:
        after = Executions()
        graph = Graph.from_checkpoint(
            checkpoint, start=nested(after, limit=limit), checkpoint_config=CheckpointConfig()
        )
        message = await graph.run()

        assert message.content["got"] == RESULT
        left = found[-1].execution_metadata["iteration"] - checkpoint.execution_metadata["iteration"]
        assert after.of.total() <= left, "only what was not committed runs"
        for name, keys in after.keys.items():
            assert keys == before.keys[name], "a repeated item has the idempotency key that it had"


async def test_items_that_have_ended_are_entries_of_the_contents_and_others_are_not_stored() -> None:
    """The group is one token with the list; what is pending is what has neither a result nor a token of its own."""
    start = Does(lambda context: {"items": [7, 8, 9]}, name="start")
    start.each("items", limit=1) >> Does(lambda context: context.inputs, name="work") >> Gather(name="join")
    _, *checkpoints = await boundaries(start)
    frontiers: list[Any] = [checkpoint.frontier for checkpoint in checkpoints]

    assert [set(frontier["tokens"]) for frontier in frontiers[:2]] == [{"2"}, {"2"}]
    assert frontiers[0]["tokens"]["2"]["over"] == "items"
    assert frontiers[1]["contents"] == {"2": [7, 8, 9], "2.0": {"join": [7]}, "2.1": {"join": [8]}}
    assert [token["joined"] for token in frontiers[2]["tokens"].values()] == [True]


async def test_an_item_that_fails_stops_the_run_and_only_what_is_left_runs_again() -> None:
    backend, executions = InMemoryCheckpointBackend(), Executions()
    executions.fails = {(0, 1), (3, 0)}
    config = CheckpointConfig(backend=backend)
    with pytest.raises(ValueError, match="fails"):
        await Graph(nested(executions), id="maps", checkpoint_config=config).run()
    first = executions.of.copy()
    (checkpoint,) = await history(Graph(nested(executions), id="maps", checkpoint_config=config))
    assert checkpoint.frontier is not None
    failed = {id: token for id, token in checkpoint.frontier["tokens"].items() if "." in id}
    assert failed
    assert all(token["failures"] == 1 for token in failed.values())
    executions.fails.clear()
    message = await Graph(nested(executions), id="maps", checkpoint_config=config).run(resume=True)

    assert message.content["got"] == RESULT
    for name, count in executions.of.items():
        assert count <= 2
        assert count == 1 or first[name] == 1
    assert all(len(keys) == 1 for keys in executions.keys.values())
    assert executions.of["middle", (0,)] == 1


async def test_an_item_counts_its_attempts_over_resumes() -> None:
    backend = InMemoryCheckpointBackend()

    def fail(context: NodeContext) -> Any:
        raise ValueError("again")

    start = Does(lambda context: {"items": [1]}, name="start")
    start.each("items") >> Does(fail, name="work") >> Gather(name="join")
    graph = Graph(start, id="maps", checkpoint_config=CheckpointConfig(backend=backend))
    for _ in range(3):
        with pytest.raises(ValueError, match="again"):
            await graph.run(resume=True)
    (*_, last) = await history(graph)

    assert last.execution_metadata["error"]["attempt"] == 3


async def test_siblings_finish_and_are_committed_when_an_item_fails() -> None:
    gate, executions = asyncio.Event(), Executions()
    backend = InMemoryCheckpointBackend()

    async def work(context: NodeContext) -> Any:
        executions.of["work", context.index] += 1
        if context.index == 1 and executions.of["work", 1] == 1:
            asyncio.get_running_loop().call_soon(gate.set)
            raise ValueError("first time")
        await gate.wait()
        return context.inputs

    start = Does(lambda context: {"items": [5, 6, 7, 8]}, name="start")
    start.each("items", limit=3) >> Does(work, name="work") >> Gather(name="join")
    graph = Graph(start, id="maps", checkpoint_config=CheckpointConfig(backend=backend))
    with pytest.raises(ValueError, match="first time"):
        await graph.run()
    message = await graph.run(resume=True)

    assert message.content["got"] == [5, 6, 7, 8]
    assert executions.of == {("work", 0): 1, ("work", 1): 2, ("work", 2): 1, ("work", 3): 1}


async def test_with_on_failure_cancel_running_items_are_stopped_and_repeated() -> None:
    executions, backend = Executions(), InMemoryCheckpointBackend()

    async def work(context: NodeContext) -> Any:
        executions.of["work", context.index] += 1
        if executions.of["work", 1] == 1:
            if context.index == 1:
                raise ValueError("first time")
            await asyncio.Event().wait()
        return context.inputs

    start = Does(lambda context: {"items": [5, 6, 7]}, name="start")
    start.each("items") >> Does(work, name="work") >> Gather(name="join")
    graph = Graph(start, id="maps", checkpoint_config=CheckpointConfig(backend=backend), on_failure="cancel")
    with pytest.raises(ValueError, match="first time"):
        await graph.run()
    message = await graph.run(resume=True)

    assert message.content["got"] == [5, 6, 7]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_map_that_is_cancelled_resumes_in_every_durability(durability: Any) -> None:
    executions, backend = Executions(), InMemoryCheckpointBackend()
    begun = asyncio.Event()

    async def work(context: NodeContext) -> Any:
        executions.of["work", context.index] += 1
        if executions.of["work", 4] == 1 and context.index == 4:
            begun.set()
            await asyncio.Event().wait()
        return context.inputs

    start = Does(lambda context: {"items": [*range(8)]}, name="start")
    start.each("items", limit=2) >> Does(work, name="work") >> Gather(name="join")
    graph = Graph(start, id="maps", checkpoint_config=every_step(backend, durability=durability))
    running = asyncio.create_task(graph.run())
    await begun.wait()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    message = await graph.run(resume=True)

    assert message.content["got"] == [*range(8)]
    assert [executions.of["work", index] for index in range(4)] == [1, 1, 1, 1]
    assert executions.of["work", 4] == 2


async def test_collected_errors_are_saved_and_come_back() -> None:
    def start(executions: Executions) -> Node:
        return nested(executions, on_error="collect")

    executions = Executions()
    executions.fails = {(0, 1)}
    found = await boundaries(start(executions))
    for checkpoint in found[:-1]:
        again = Executions()
        again.fails = {(0, 1)}
        graph = Graph.from_checkpoint(checkpoint, start=start(again), checkpoint_config=CheckpointConfig())
        error, *others = (await graph.run()).content["got"]

        assert isinstance(error, ItemError)
        assert (error.index, error.node, error.message) == (0, "leaf", "(0, 1) fails")
        assert others == RESULT[1:]


async def test_a_fork_in_the_middle_of_a_map_goes_its_own_way() -> None:
    found = await boundaries(nested(Executions()))
    middle = found[len(found) // 2]
    fork = Graph.from_checkpoint(middle.fork("other"), start=nested(Executions()), checkpoint_config=CheckpointConfig())

    assert (await fork.run()).content["got"] == RESULT


class TestChangedGraphs:
    """What may be another between a kill and a resume."""

    @pytest.fixture
    async def midway(self) -> GraphCheckpoint:
        found = await boundaries(nested(Executions(), limit=2), max_concurrency=1)
        return next(each for each in found if len(done_in(each)) > 2)

    async def resumed(self, midway: GraphCheckpoint, start: Node, **options: Any) -> Any:
        graph = Graph.from_checkpoint(midway, start=start, checkpoint_config=CheckpointConfig(), **options)
        return (await graph.run()).content["got"]

    async def test_a_changed_limit_is_no_other_graph(self, midway: GraphCheckpoint) -> None:
        for limit in (None, 1, 50):
            assert await self.resumed(midway, nested(Executions(), limit=limit)) == RESULT

    async def test_a_changed_rule_for_errors_counts_from_now_on(self, midway: GraphCheckpoint) -> None:
        executions = Executions()
        executions.fails = {(3, 0)}
        *_, last = await self.resumed(midway, nested(executions, on_error="collect"))

        assert isinstance(last, ItemError)

    async def test_a_changed_key_is(self, midway: GraphCheckpoint) -> None:
        start = Does(lambda context: {"things": ITEMS}, name="start")
        other = nested(Executions())
        start.each("things") >> next(edge.target for edge in other.edges)

        with pytest.raises(
            GraphRestoreError, match=r"map over 'items', from 'start' to 'middle'.*start.each\('items'\)"
        ):
            await self.resumed(midway, start)

    async def test_nodes_of_a_map_may_be_renamed(self, midway: GraphCheckpoint) -> None:
        renamed = nested(Executions(), leaf="blade")

        assert await self.resumed(midway, renamed, rename={"leaf": "blade"}) == RESULT

    async def test_the_join_may_be_renamed(self) -> None:
        def start(join: str) -> Node:
            node = Does(lambda context: {"items": [1, 2]}, name="start")
            node.each("items", limit=1) >> Does(lambda context: context.inputs, name="work") >> Gather(name=join)
            return node

        found = await boundaries(start("old"))
        midway = next(each for each in found if done_in(each))

        assert await self.resumed(midway, start("new"), rename={"old": "new"}) == [1, 2]
        with pytest.raises(GraphRestoreError, match="still has to run node 'old'"):
            await self.resumed(midway, start("new"))


async def test_a_lowered_limit_holds_for_items_that_had_failed() -> None:
    """They wait to be repeated like those that never began."""
    backend, running, most = InMemoryCheckpointBackend(), set[Any](), [0]
    is_broken = True

    async def work(context: NodeContext) -> Any:
        running.add(context.index)
        most[0] = max(most[0], len(running))
        await asyncio.sleep(0)
        running.discard(context.index)
        if is_broken:
            raise ValueError("too many requests")
        return context.inputs

    def start(limit: int) -> Node:
        node = Does(lambda context: {"items": [*range(6)]}, name="start")
        node.each("items", limit=limit) >> Does(work, name="work") >> Gather(name="join")
        return node

    config = CheckpointConfig(backend=backend)
    with pytest.raises(ValueError, match="too many"):
        await Graph(start(5), id="maps", checkpoint_config=config).run()
    is_broken, most[0] = False, 0
    message = await Graph(start(2), id="maps", checkpoint_config=config).run(resume=True)

    assert (message.content["got"], most) == ([*range(6)], [2])


async def test_a_graph_with_maps_is_rebuilt_from_its_checkpoint() -> None:
    found = await boundaries(mapping())
    for checkpoint in found[:-1]:
        message = await Graph.from_checkpoint(checkpoint, checkpoint_config=CheckpointConfig()).run()

        assert message.content == {"got": [2, 4, 6]}


class Lists(Node):
    async def process(self, context: NodeContext) -> Any:
        return {"items": [1, 2, 3]}


class Doubles(Node):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs * 2


def mapping() -> Node:
    start = Lists()
    start.each("items", limit=2, on_error="collect") >> Doubles() >> Gather()
    return start


async def test_progress_says_how_many_items_are_done_running_and_waiting() -> None:
    seen: list[Any] = []

    async def work(context: NodeContext) -> Any:
        if context.index == 3:
            seen.append(graph.progress)
        return context.inputs

    start = Does(lambda context: {"items": [*range(6)]}, name="start")
    start.each("items", limit=2) >> Does(work, name="work") >> Gather(name="join")
    graph = Graph(start, max_concurrency=1)
    await graph.run()
    (progress,) = seen
    (map,) = progress.maps

    assert map == ("start", "work", "items", 3, 1, 2)
    assert (progress.running, progress.waiting) == (("work",), 2)
    assert graph.progress is not None
    assert graph.progress.maps == ()
