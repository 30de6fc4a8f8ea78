"""Checkpoint → graph: where the nodes come from, and what of a run is still to do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spark.errors import GraphDefinitionError, GraphRestoreError, SparkWarning
from spark.graphs.frontier import Frontier
from spark.graphs.loaded import find_loaded
from spark.graphs.message import Message
from spark.graphs.nodes import ExitNode, FunctionNode, Node
from spark.graphs.topology import Topology

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.context import NodeContext


@dataclass(frozen=True, slots=True)
class PendingRun:
    """A run that was interrupted, ready to go on."""

    checkpoint: GraphCheckpoint
    run_id: str | None
    iteration: int
    last_node: str | None
    is_latest: bool
    """The checkpoint was the latest of its graph when it was loaded."""

    @classmethod
    def of(cls, checkpoint: GraphCheckpoint, *, is_latest: bool = False) -> PendingRun | None:
        """What a checkpoint says is still to do, or None when it records no work at all."""
        if checkpoint.frontier is None:
            return None
        metadata = checkpoint.execution_metadata
        run_id, iteration, last_node = metadata.get("run_id"), metadata.get("iteration", 0), metadata.get("last_node")
        return cls(checkpoint, run_id, iteration, last_node, is_latest)

    def is_complete(self) -> bool:
        """Whether nothing was left to do."""
        return not _pending_nodes(self.checkpoint)

    def result(self) -> Message | None:
        """What the last finishing node had returned, if one had finished."""
        frontier = self.checkpoint.frontier or {}
        result = frontier.get("result")
        return Message(content=result["content"], status="completed", node=result["node"]) if result else None


class NothingRecorded(ExitNode):
    """Stands for the nodes of a checkpoint that records none: its run completes at once, and says why."""

    async def process(self, context: NodeContext) -> Any:
        warnings.warn(
            f"Graph {context.graph_id!r} was restored from a checkpoint that records neither nodes nor pending work, so its run "
            "completed without running anything. To run nodes on the restored state, pass start= to Graph.from_checkpoint().",
            SparkWarning,
            stacklevel=2,
        )
        return await super().process(context)


class MissingNode(Node):
    """Keeps the place of a recorded node that can't be had here."""

    def __init__(self, kind: str, reason: str) -> None:
        self._kind = kind
        self.reason = reason

    def kind(self) -> str:
        return self._kind

    async def process(self) -> Any:
        raise GraphRestoreError(self.reason)


class MissingCondition:
    """Keeps the place of an edge's condition, which is a function and was not stored."""

    def __init__(self, label: str) -> None:
        self.__name__ = label

    def __call__(self, content: Any) -> bool:
        raise GraphRestoreError(f"The condition {self.__name__} was not stored with the checkpoint.")


def find_start(checkpoint: GraphCheckpoint, *, start: Node | None, alive: Node | None) -> Node:
    """The start node of the graph that continues from a checkpoint.

    :param start: what the user passed.
    :param alive: the start of a graph with the same id in this process.
    :raises GraphRestoreError: nobody can supply a node or a condition that the checkpoint still needs.
    """
    if checkpoint.topology is None and checkpoint.frontier is None:
        return start or alive or NothingRecorded()
    if start is not None:
        check_supply(checkpoint, Topology(start))
        return start
    if alive is not None and _what_lacks(checkpoint, Topology(alive)) is None:
        return alive
    rebuilt = _rebuild(checkpoint)
    check_supply(checkpoint, Topology(rebuilt))
    return rebuilt


def check_supply(checkpoint: GraphCheckpoint, topology: Topology) -> None:
    """Make sure that everything the checkpoint may still run is there.

    :raises GraphRestoreError: it is not; says what is missing, and what to pass.
    """
    lacking = _what_lacks(checkpoint, topology)
    if lacking is not None:
        raise GraphRestoreError(f"{_named(checkpoint)} can't be continued: {lacking}")


def _what_lacks(checkpoint: GraphCheckpoint, topology: Topology) -> str | None:
    pending = _pending_nodes(checkpoint) if checkpoint.frontier is not None else [topology.start]
    for key in pending:
        if key not in topology.plans:
            return (
                f"it still has to run node {key!r}, which this graph does not have; its nodes are "
                f"{', '.join(map(repr, topology.plans))}. Pass a start= that leads to it, or set graph.start to begin anew with "
                "the restored state."
            )
    for key in topology.reachable_from(pending):
        plan = topology.plans[key]
        if isinstance(plan.node, MissingNode):
            return plan.node.reason
        for edge, target in plan.edges:
            if isinstance(edge.condition, MissingCondition):
                return (
                    f"whether {key!r} leads to {target!r} depends on the condition {edge.label()}, a function, which is not "
                    "stored in checkpoints. Pass start= with the graph's first node, wired as it was."
                )
    return None


def _pending_nodes(checkpoint: GraphCheckpoint) -> list[str]:
    try:
        frontier = checkpoint.frontier or {}
        Frontier().load(frontier)
        return [token["node"] for token in frontier["tokens"]]
    except (KeyError, TypeError, IndexError) as error:
        raise _malformed(checkpoint, "frontier") from error


def _rebuild(checkpoint: GraphCheckpoint) -> Node:
    if checkpoint.topology is None:
        raise GraphRestoreError(
            f"{_named(checkpoint)} records pending work but no nodes. Pass start= to Graph.from_checkpoint()."
        )
    try:
        nodes = {data["key"]: _rebuild_node(data) for data in checkpoint.topology["nodes"]}
        for data in checkpoint.topology["edges"]:
            _rebuild_edge(nodes, data)
        return nodes[checkpoint.topology["start"]]
    except (KeyError, TypeError, AttributeError, GraphDefinitionError) as error:
        raise _malformed(checkpoint, "topology") from error


def _rebuild_node(data: Mapping[str, Any]) -> Node:
    node = _function_node(data) if "function" in data else _class_node(data)
    if data["name"] is not None:
        node.name = data["name"]
    return node


def _function_node(data: Mapping[str, Any]) -> Node:
    module, _, qualname = data["function"].partition(":")
    function = FunctionNode.loaded(module, qualname)
    if function is not None:
        return FunctionNode(function)
    return _missing(
        data, qualname, f"whose function {data['function']} is not the name of one function in this program"
    )


def _class_node(data: Mapping[str, Any]) -> Node:
    module, _, qualname = data["class"].partition(":")
    kind = qualname.rpartition(".")[2]
    if data.get("has_arguments"):
        return _missing(data, qualname, f"a {kind} that was made with arguments, which are not stored")
    found = find_loaded(Node, module, qualname)
    if found is None:
        return _missing(data, qualname, f"whose class {data['class']} is not loaded in this program")
    try:
        return found()
    except Exception as error:
        return _missing(
            data, qualname, f"whose class {data['class']} can't be made without arguments any more ({error})"
        )


def _missing(data: Mapping[str, Any], qualname: str, why: str) -> Node:
    return MissingNode(
        qualname.rpartition(".")[2],
        f"it still may have to run node {data['key']!r}, {why}. Import the module that defines it first, or pass start= with the "
        "graph's first node.",
    )


def _rebuild_edge(nodes: Mapping[str, Node], data: Mapping[str, Any]) -> None:
    condition = MissingCondition(data["condition"]) if "condition" in data else None
    nodes[data["source"]].connect(
        nodes[data["target"]], condition=condition, equals=data.get("equals"), priority=data["priority"]
    )


def _malformed(checkpoint: GraphCheckpoint, part: str) -> GraphRestoreError:
    return GraphRestoreError(
        f"{_named(checkpoint)} has a {part} that no run writes. Pass start= to Graph.from_checkpoint(), or take another "
        "checkpoint."
    )


def _named(checkpoint: GraphCheckpoint) -> str:
    return f"Checkpoint {checkpoint.checkpoint_id!r} of graph {checkpoint.graph_id!r}"
