"""Checkpoint → graph: where its nodes come from, and whether they fit its pending work."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spark.errors import GraphDefinitionError, GraphRestoreError, SparkWarning
from spark.graphs.definition.edges import ErrorType, MissingCondition, MissingErrorType
from spark.graphs.definition.nodes import ExitNode, FunctionNode, Node
from spark.graphs.definition.policies import StepPolicy
from spark.graphs.definition.topology import Topology, connect_as_recorded
from spark.graphs.resuming.identity import exchanged_node
from spark.graphs.resuming.renaming import check_rename, gathering_joins, new_keys, with_new_keys
from spark.graphs.resuming.validation import named
from spark.graphs.values.loaded import find_loaded

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.definition.context import NodeContext


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
    """Stands for a recorded node that is not available here."""

    def __init__(self, kind: str, reason: str) -> None:
        self._kind = kind
        self.reason = reason

    def kind(self) -> str:
        return self._kind

    async def process(self) -> Any:
        raise GraphRestoreError(self.reason)


def find_topology(
    checkpoint: GraphCheckpoint, *, start: Node | None, alive: Topology | None, rename: Mapping[str, str] | None = None
) -> tuple[Topology, GraphCheckpoint]:
    """The topology of the graph that continues from a checkpoint, and the checkpoint under the keys that it has there.

    :param checkpoint: one that was checked.
    :param start: what the user passed.
    :param alive: the topology of a graph with the same id in this process.
    :param rename: recorded key, class or function to the key of the node that it is now.
    :raises GraphRestoreError: a node or a condition that the checkpoint still needs is not available.
    """
    check_rename(rename)
    if start is not None:
        topology = Topology(start)
        return topology, fitted(checkpoint, topology, rename)
    if checkpoint.topology is None and checkpoint.frontier is None:
        topology = alive or Topology(NothingRecorded())
        return topology, fitted(checkpoint, topology, rename)
    if alive is not None:
        with contextlib.suppress(GraphRestoreError):
            return alive, fitted(checkpoint, alive, rename)
    if rename:
        raise GraphRestoreError(
            f"{named(checkpoint)} can't be restored with rename= alone: pass start= with the first node of the graph that has "
            "the new keys."
        )
    topology = _rebuild(checkpoint)
    _check_supply(checkpoint, topology)
    return topology, checkpoint


def fitted(
    checkpoint: GraphCheckpoint,
    topology: Topology,
    rename: Mapping[str, str] | None = None,
    *,
    for_result: bool = False,
) -> GraphCheckpoint:
    """The checkpoint under the keys of this topology, if all nodes that it may still run are there and are the same.

    :param for_result: of a complete run only the result is needed, so its nodes may have changed.
    :raises GraphRestoreError: a node is missing or was exchanged; says what to pass.
    """
    keys = new_keys(checkpoint, rename or {}, topology)
    checkpoint = with_new_keys(checkpoint, keys) if keys else checkpoint
    _check_supply(checkpoint, topology)
    pending = _pending_nodes(checkpoint, topology)
    is_needed = bool(pending) or not for_result
    exchanged = exchanged_node(checkpoint, topology, pending=pending, renamed=keys) if is_needed else None
    if exchanged is not None:
        raise GraphRestoreError(f"{named(checkpoint)} can't be continued: {exchanged}")
    return checkpoint


def _check_supply(checkpoint: GraphCheckpoint, topology: Topology) -> None:
    missing = _what_is_missing(checkpoint, topology)
    if missing is not None:
        raise GraphRestoreError(f"{named(checkpoint)} can't be continued: {missing}")


def _what_is_missing(checkpoint: GraphCheckpoint, topology: Topology) -> str | None:
    pending = _pending_nodes(checkpoint, topology)
    for key in pending:
        if key not in topology.plans:
            return (
                f"it still has to run node {key!r}, which this graph does not have; its nodes are "
                f"{', '.join(map(repr, topology.plans))}. If one of them is that node under a new key, pass "
                f"rename={{{key!r}: …}}. Else pass a start= that leads to it, or set graph.start to start again with the "
                "restored state."
            )
    for key in topology.reachable_from(pending):
        plan = topology.plans[key]
        if isinstance(plan.node, MissingNode):
            return plan.node.reason
        for edge, target in plan.edges:
            unknown = [kind.name for kind in edge.errors if isinstance(kind, MissingErrorType)]
            if unknown:
                return (
                    f"whether {key!r} leads to {target!r} after an error depends on {', '.join(unknown)}, which is not loaded in "
                    "this program. Import the module that defines it first, or pass start= with the graph's first node."
                )
            if isinstance(edge.condition, MissingCondition):
                return (
                    f"whether {key!r} leads to {target!r} depends on the condition {edge.label()}, a function, which is not "
                    "stored in checkpoints. Pass start= with the graph's first node, wired as it was."
                )
    return _what_map_is_missing(checkpoint, topology)


def _what_map_is_missing(checkpoint: GraphCheckpoint, topology: Topology) -> str | None:
    for token in checkpoint.frontier["tokens"].values() if checkpoint.frontier is not None else ():
        source, target, key = token.get("source"), token["node"], token.get("over")
        if key and not topology.has_map(source, target, key):
            return (
                f"it has not ended its map over {key!r}, from {source!r} to {target!r}, and this graph has no such map. Wire "
                f"{source}.each({key!r}) >> {target} as it was, or set graph.start to start again with the restored state."
            )
    return None


def _pending_nodes(checkpoint: GraphCheckpoint, topology: Topology) -> list[str]:
    if checkpoint.frontier is None:
        return [topology.start]
    tokens = checkpoint.frontier["tokens"].values()
    return [*(token["node"] for token in tokens), *gathering_joins(checkpoint)]


def _rebuild(checkpoint: GraphCheckpoint) -> Topology:
    if checkpoint.topology is None:
        raise GraphRestoreError(
            f"{named(checkpoint)} records pending work but no nodes. Pass start= to Graph.from_checkpoint()."
        )
    try:
        nodes = {data["key"]: _rebuild_node(data) for data in checkpoint.topology["nodes"]}
        connect_as_recorded(nodes, checkpoint.topology["edges"], error_type=_error_type)
        return Topology(nodes[checkpoint.topology["start"]])
    except GraphDefinitionError as error:
        raise GraphRestoreError(f"{named(checkpoint)} has a topology that can't be rebuilt: {error}") from error


def _rebuild_node(data: Mapping[str, Any]) -> Node:
    node = _function_node(data) if "function" in data else _class_node(data)
    if data["name"] is not None:
        object.__setattr__(node, "name", data["name"])  # also of a frozen dataclass
    _restore_policy(node, data)
    return node


def _restore_policy(node: Node, data: Mapping[str, Any]) -> None:
    """Give a node the options that it was made with, for steps that fail or take too long."""
    lost: list[str] = []
    for option, value in StepPolicy.recorded_in(data, lost=lost).items():
        object.__setattr__(node, option, value)
    if lost:
        warnings.warn(
            f"Node {data['key']!r} does not retry as it did when the checkpoint was made: {'; '.join(lost)}. To restore that, "
            "pass start= with the graph's first node.",
            SparkWarning,
            stacklevel=2,
        )


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
            data, qualname, f"whose class {data['class']} can no longer be created without arguments ({error})"
        )


def _missing(data: Mapping[str, Any], qualname: str, why: str) -> Node:
    return MissingNode(
        qualname.rpartition(".")[2],
        f"it may still have to run node {data['key']!r}, {why}. Import the module that defines it first, or pass start= with the "
        "graph's first node.",
    )


def _error_type(name: str) -> ErrorType:
    module, _, qualname = name.partition(":")
    return find_loaded(Exception, module, qualname) or MissingErrorType(name)
