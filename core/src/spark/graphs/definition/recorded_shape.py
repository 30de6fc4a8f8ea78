"""What checkpoints record of a graph: its nodes and edges as plain data, without the objects themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from spark.graphs.definition.edges import Edge, MissingErrorType
from spark.graphs.definition.nodes import FunctionNode, JoinNode, Node
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import NO_POLICY
from spark.graphs.values.loaded import class_name, function_name

_PLAIN: Final = frozenset({str, int, bool, float, type(None)})


class RecordedShape:
    """The shape of a graph. It is put into words when somebody asks; until then it is plain tuples, as there may be many edges.

    :param edges: each with the keys of its ends.
    """

    def __init__(self, start: str, plans: Iterable[NodePlan], edges: Iterable[tuple[str, Edge[Node], str]]) -> None:
        self._start = start
        self._nodes = [_node_data(plan) for plan in plans]
        self._edges = [_recorded(*edge) for edge in edges]

    @cached_property
    def data(self) -> dict[str, Any]:
        """All of it, the same dict each time. Never change it."""
        return {"start": self._start, "nodes": self._nodes, "edges": [_edge_data(*edge) for edge in self._edges]}


def _node_data(plan: NodePlan) -> dict[str, Any]:
    node = plan.node
    data: dict[str, Any] = {"key": plan.key, "name": node.name}
    if isinstance(node, FunctionNode):
        data["function"] = function_name(node.process)
    else:
        data["class"] = class_name(type(node))
    if isinstance(node, JoinNode):  # its class may be anything, and whoever draws a record does not load it
        data["join"] = True
    if node._has_arguments:
        data["has_arguments"] = True
    if plan.policy is not NO_POLICY:  # of its class, the class knows
        data |= {name: value for name, value in plan.policy.to_data().items() if name in vars(node)}
    return data


def _recorded(source: str, edge: Edge[Node], target: str) -> tuple[Any, ...]:
    each = edge.each.to_data() if edge.each is not None else None
    if edge.errors:
        errors = [kind.name if isinstance(kind, MissingErrorType) else class_name(kind) for kind in edge.errors]
        return source, target, edge.priority, each, None, None, errors
    if edge.condition is None and all(type(value) in _PLAIN for value in edge.equals.values()):
        return source, target, edge.priority, each, edge.equals or None, None, None
    return source, target, edge.priority, each, None, edge.condition_label(), None


def _edge_data(
    source: str,
    target: str,
    priority: int,
    each: Mapping[str, Any] | None,
    equals: Mapping[str, Any] | None,
    condition: str | None,
    errors: list[str] | None,
) -> dict[str, Any]:
    data: dict[str, Any] = {"source": source, "target": target, "priority": priority}
    if each is not None:
        data["each"] = each
    if errors is not None:
        data["errors"] = errors
    elif condition is None:
        data["equals"] = equals or {}
    else:
        data["condition"] = condition
    return data
