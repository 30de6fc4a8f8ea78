"""A user's program, checked strictly: a graph, its state, how it is checkpointed, and rules of the user's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, assert_type

from spark.graphs import (
    Budget,
    ExitNode,
    FunctionNode,
    Graph,
    GraphState,
    JoinNode,
    Message,
    Node,
    NodeContext,
    NodeState,
    Task,
    TaskType,
    node,
)
from spark.graphs.checkpoint import (
    AfterNode,
    Boundary,
    CheckpointBackend,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointInfo,
    CheckpointManager,
    CheckpointSerializer,
    EveryIterations,
    EverySeconds,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepFor,
    KeepLast,
    Retention,
    Trigger,
    backend_class,
    open_backend,
    trigger_class,
)
from spark.graphs.checkpoint.storage import Format, format_class
from spark.hooks import PluginInfo, plugins


class Fetch(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        assert_type(context.graph_state, GraphState)
        assert_type(context.state, NodeState)
        assert_type(context.idempotency_key, str)
        await context.graph_state.update("fetched", count_up, default=0)
        await context.graph_state.append("urls", context.inputs["url"])
        await context.graph_state.set_item("by_url", context.inputs["url"], {"seen": True})
        assert_type(await context.graph_state.slice("urls", -3), list[Any])
        assert_type(await context.graph_state.length("urls"), int)
        context.state.extend("own", ["text"])
        assert_type(context.state.slice("own"), list[Any])
        return {"page": context.inputs["url"]}


class Parse(Node):
    """Plain nodes are nodes, too."""

    def process(self, context: NodeContext) -> dict[str, Any]:
        return {"words": context.inputs["page"].split()}


class Tick(Node):
    """And so are those that look at nothing."""

    async def process(self) -> dict[str, Any]:
        return {"tick": True}


class Tock(Node):
    def process(self) -> None:
        return None


class Report(JoinNode):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"branches": len(context.inputs)}


@node
async def shout(context: NodeContext) -> dict[str, Any]:
    return {"page": context.inputs["page"].upper()}


@node(name="whisper")
def murmur() -> dict[str, Any]:
    return {}


def count_up(count: int) -> int:
    return count + 1


class Announce(CheckpointHandler):
    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        print(checkpoint.checkpoint_id, checkpoint.graph_state["fetched"])

    async def on_checkpoint_deleted(self, checkpoint_id: str) -> None:
        print(checkpoint_id)


class WhenParsed(Trigger):
    def is_due(self, boundary: Boundary) -> bool:
        return "Parse" in boundary.names and boundary.iteration > 3


class KeepMondays(Retention):
    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return age == 0 or checkpoint.timestamp.weekday() == 0


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Serializer(CheckpointSerializer):
    def serialize(self, obj: Any) -> Any:
        return {"cents": obj.cents} if isinstance(obj, Money) else super().serialize(obj)


def build(backend: CheckpointBackend | str) -> Graph:
    fetch, report = Fetch(), Report()
    fetch >> [Parse(), shout, murmur] >> report >> Tick(name="tick") >> Tock()
    [fetch, shout] >> report
    fetch.on(page=None) >> ExitNode()
    fetch.on(lambda content: content["page"] == "", priority=2) >> ExitNode(name="empty")
    config = CheckpointConfig(
        backend=backend,
        trigger_on_iteration=5,
        trigger=WhenParsed() | EveryIterations(5) & EverySeconds(60),
        retention=KeepMondays() | KeepLast(3) & KeepFor(days=7),
        handler=[Announce()],
    )
    return Graph(start=fetch, id="typed", checkpoint_config=config)


async def run(backend: CheckpointBackend) -> None:
    graph = build(backend)
    task = Task(inputs={"url": "x"}, type=TaskType.LONG_RUNNING, budget=Budget(max_seconds=3))
    assert_type(await graph.run(task, resume=True), Message)
    assert_type(await graph.run(task, resume="state", rename={"old": "new"}), Message)
    assert_type(await graph.load(), GraphCheckpoint | None)
    assert_type(graph.checkpoint_backend, CheckpointBackend | None)

    manager = CheckpointManager(backend)
    assert_type(await manager.list_checkpoints("typed", limit=3), list[CheckpointInfo])
    latest = assert_type(await manager.load_latest("typed"), GraphCheckpoint | None)
    if latest is not None:
        assert_type(await latest.save(InMemoryCheckpointBackend()), CheckpointInfo)
    assert latest is not None
    assert_type(Graph.from_checkpoint(latest), Graph)
    assert_type(latest.graph_state, dict[str, Any])


async def by_name_or_url() -> None:
    assert_type(open_backend("file:///var/checkpoints"), CheckpointBackend)
    assert_type(backend_class("memory"), type[CheckpointBackend])
    assert_type(backend_class("memory").from_url("memory:"), CheckpointBackend)
    assert_type(format_class("json"), type[Format])
    assert_type(trigger_class("mine"), type[Trigger])
    assert_type(plugins(), list[PluginInfo])
    async with InMemoryCheckpointBackend(serializer=Serializer()) as backend:
        assert_type(backend, InMemoryCheckpointBackend)


assert_type(shout, FunctionNode)
assert_type(murmur, FunctionNode)
assert_type(Parse() >> Tick(), Tick)
assert_type(Parse() >> [Tick(), Tock()] >> Report(), Report)
assert_type([Tick(), Tock()] >> Report(), Report)
assert_type(Parse().on(done=True) >> Tick(), Tick)
assert_type(Parse().connect(Tick(), priority=3), Tick)
assert_type(EveryIterations(5) | AfterNode("Report"), Trigger)
assert_type(KeepLast(5) | KeepFor(days=7), Retention)
assert_type(CheckpointConfig.load(), CheckpointConfig)
condition: Callable[[Any], bool] = bool
Parse().on(condition) >> Tick()
asyncio.run(run(InMemoryCheckpointBackend()))
