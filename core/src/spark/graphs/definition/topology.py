"""The shape of a graph: which nodes can be reached from the start, under which keys, and what leads where."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, cast

from spark.errors import GraphDefinitionError
from spark.graphs.definition.edges import Edge, ErrorType, MissingCondition
from spark.graphs.definition.maps import Each
from spark.graphs.definition.nodes import JoinNode, Node
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import NO_POLICY, UNSET, StepPolicy, TimeLimits
from spark.graphs.definition.recorded_shape import RecordedShape
from spark.graphs.state.frontier import Frontier
from spark.graphs.state.groups import MapRule


class Topology:
    """Nodes and edges as they were when the graph was built. Edges that are added later are not in it.

    :raises GraphDefinitionError: two nodes were given one name, or a node can't be executed as written.
    """

    def __init__(self, start: Node) -> None:
        nodes = _discover(start)
        keys = _assign_keys(nodes)
        self.first: Node = start
        self.start: str = keys[id(start)]
        self.plans: dict[str, NodePlan] = {keys[id(node)]: NodePlan(keys[id(node)], node) for node in nodes}
        """Node key to how it is executed, in discovery order."""
        self._declared: dict[str, tuple[tuple[Edge[Node], str], ...]] = {}
        """Node key to its edges in the order of declaration, because that is what keys are given by when the graph is rebuilt."""
        for node in nodes:
            key = keys[id(node)]
            edges = tuple([(edge, keys[id(edge.target)]) for edge in node._edges])
            self._declared[key] = edges
            in_order = sorted(edges, key=lambda each: -each[0].priority) if len(edges) > 1 else edges
            self.plans[key].wire(tuple(in_order))
        self._order = {key: place for place, key in enumerate(self.plans)}
        self._joins = [key for key, plan in self.plans.items() if isinstance(plan.node, JoinNode)]
        self._reaches = _joins_reached(self.plans, self._joins)
        self._maps = _maps(self.plans, self._joins)
        self._with_policies = [plan for plan in self.plans.values() if plan.policy is not NO_POLICY]
        self._identities: dict[str, str] | None = None

    def new_frontier(self) -> Frontier:
        """An empty frontier that knows which nodes lead to which joins."""
        return Frontier(joins=self._joins, reaches=self._reaches, order=self._order, maps=self._maps)

    def has_placed_nodes(self, default: StepPolicy) -> bool:
        """Whether the graph, or one of its nodes, says where it runs.

        :param default: what the graph says of nodes that say nothing.
        """
        return default.executor is not UNSET or any(plan.policy.executor is not UNSET for plan in self._with_policies)

    def watched_nodes(self, default: StepPolicy) -> dict[str, TimeLimits]:
        """The keys of the nodes that are watched while they run, to their limits.

        :param default: what the graph says of nodes that say nothing.
        """
        if default is NO_POLICY and not self._with_policies:
            return {}
        plans = self._with_policies if default is NO_POLICY else [*self.plans.values()]
        policies = {plan.key: plan.policy.over(default) for plan in plans}
        return {key: policy.time_limits for key, policy in policies.items() if policy.is_watched}

    def has_map(self, source: str | None, worker: str, key: str) -> bool:
        """Whether an edge between these nodes maps over this key."""
        return (source, worker, key) in self._maps

    def check_maps(self) -> None:
        """Make sure that what maps collect arrives somewhere.

        :raises GraphDefinitionError: no join can be reached that would get the errors.
        """
        for rules in self._maps.values():
            for rule in rules:
                if rule.collects and not rule.joins:
                    source, worker, key = rule.edge
                    raise GraphDefinitionError(
                        f"{source}.each({key!r}, on_error='collect') >> {worker}: no join can be reached from {worker!r}, so "
                        "nothing would ever see the errors. Let a JoinNode follow, or leave out on_error=."
                    )

    def reachable_from(self, keys: Iterable[str]) -> set[str]:
        """These nodes and all that their edges lead to."""
        seen = set(keys)
        ahead = deque(seen)
        while ahead:
            for _, target in self.plans[ahead.popleft()].edges:
                if target not in seen:
                    seen.add(target)
                    ahead.append(target)
        return seen

    def identities(self) -> dict[str, str]:
        """Node key to the class or function that checkpoints record for it, in discovery order."""
        if self._identities is None:
            nodes = self.shape.data["nodes"]
            self._identities = {data["key"]: data.get("function", data.get("class")) for data in nodes}
        return self._identities

    @cached_property
    def shape(self) -> RecordedShape:
        """What checkpoints record of it."""
        edges = [(key, *edge) for key, edges in self._declared.items() for edge in edges]
        return RecordedShape(self.start, self.plans.values(), edges)

    def mermaid(self) -> str:
        """The shape as a Mermaid flowchart."""
        number = {key: f"n{place}" for key, place in self._order.items()}
        lines = ["flowchart TD"]
        joins = frozenset(self._joins)
        for key, plan in self.plans.items():
            opening, closing = ("{{", "}}") if key in joins else ("([", "])") if not plan.outputs else ("[", "]")
            lines.append(f'    {number[key]}{opening}"{_escaped(key)}"{closing}')
        for key, plan in self.plans.items():
            for edge, target in plan.edges:
                label = f'|"{_escaped(edge.label())}"|' if edge.label() else ""
                arrow = "-.->" if edge.errors else "-->"
                lines.append(f"    {number[key]} {arrow}{label} {number[target]}")
        return "\n".join(lines) + "\n"


def connect_as_recorded(
    nodes: Mapping[str, Node], edges: Iterable[Mapping[str, Any]], *, error_type: Callable[[str], ErrorType]
) -> None:
    """Wire nodes with the edges that a checkpoint records. Conditions are not stored, only that there is one.

    :param nodes: by their keys.
    :param error_type: returns the type that is recorded under a name.
    """
    for data in edges:
        nodes[data["source"]]._connect(
            nodes[data["target"]],
            condition=MissingCondition(data["condition"]) if "condition" in data else None,
            equals=data.get("equals"),
            priority=data["priority"],
            each=Each(**data["each"]) if "each" in data else None,
            errors=tuple(error_type(name) for name in data.get("errors", ())),
        )


def _discover(start: Node) -> list[Node]:
    """All nodes along the edges. Identity counts: node classes may compare by value, and have no hash."""
    found = {id(start): start}
    ahead = deque([start])
    while ahead:
        for edge in ahead.popleft()._edges:
            if id(edge.target) not in found:
                found[id(edge.target)] = edge.target
                ahead.append(edge.target)
    return list(found.values())


def _assign_keys(nodes: list[Node]) -> dict[int, str]:
    """The identity of each node to its key."""
    keys: dict[int, str] = {}
    taken: dict[str, Node] = {}
    for node in nodes:
        if node.name is not None:
            _check_name(node, taken)
            keys[id(node)] = node.name
            taken[node.name] = node
    numbers: dict[str, int] = {}
    for node in nodes:
        if node.name is None:
            keys[id(node)] = _free_key(node.kind(), taken, numbers)
            taken[keys[id(node)]] = node
    return keys


def _check_name(node: Node, taken: dict[str, Node]) -> None:
    if not isinstance(node.name, str) or not node.name or not node.name.isprintable():
        raise GraphDefinitionError(f"A {node.kind()} has the name {node.name!r}; a name is printable text.")
    if node.name in taken:
        raise GraphDefinitionError(
            f"Two nodes are named {node.name!r}: a {taken[node.name].kind()} and a {node.kind()}. A name is what a checkpoint "
            "knows a node by; give each its own, or leave the name out."
        )


def _free_key(kind: str, taken: dict[str, Node], numbers: dict[str, int]) -> str:
    """The first key of this kind that is free.

    :param numbers: kind to the number from which to look on; those below it are taken.
    """
    number = numbers.get(kind, 1)
    key = _numbered(kind, number)
    while key in taken:
        number += 1
        key = _numbered(kind, number)
    numbers[kind] = number + 1
    return key


def _numbered(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}#{number}"


def _joins_reached(plans: dict[str, NodePlan], joins: list[str]) -> dict[str, tuple[str, ...]]:
    sources: dict[str, set[str]] = {key: set() for key in plans}
    for plan in plans.values():
        for _, target in plan.edges:
            sources[target].add(plan.key)
    reached: dict[str, list[str]] = {}
    for join in joins:
        seen: set[str] = set()
        ahead = deque(sources[join])
        while ahead:
            key = ahead.popleft()
            if key not in seen:
                seen.add(key)
                ahead.extend(sources[key])
        for key in seen:
            reached.setdefault(key, []).append(join)
    return {key: tuple(joins) for key, joins in reached.items()}


def _maps(plans: dict[str, NodePlan], joins: list[str]) -> dict[tuple[str, str, str], list[MapRule]]:
    """The edges that are maps, by source, target and key, in the order in which they fire. Each plan is told its own."""
    found: dict[tuple[str, str, str], list[MapRule]] = {}
    edges = [(plan, edge, target) for plan in plans.values() for edge, target in plan.edges if edge.each is not None]
    first = _first_joins(plans, frozenset(joins)) if edges else {}
    for plan, edge, target in edges:
        each = cast(Each, edge.each)
        ends = (plan.key, target, each.key)
        same = found.setdefault(ends, [])
        plan.maps[edge] = MapRule(
            ends,
            number=len(same),
            limit=each.limit,
            collects=each.on_error == "collect",
            joins=[join for join in joins if join in first[target]],
        )
        same.append(plan.maps[edge])
    return found


def _first_joins(plans: dict[str, NodePlan], joins: frozenset[str]) -> dict[str, set[str]]:
    """Node key to the joins that an item may reach first which arrives there. A map within it leads on from its own joins."""
    beyond: dict[str, set[str]] = {key: set() for key in plans}
    """What an item may reach first whose token is executed there."""
    grew = True
    while grew:
        grew = False
        for key in reversed(plans):  # most edges lead on, so that few rounds are enough
            size = len(beyond[key])
            for edge, target in plans[key].edges:
                arrived = {target} if target in joins else beyond[target]
                if edge.each is None:
                    beyond[key] |= arrived
                else:
                    beyond[key].update(*(beyond[join] for join in arrived))
            grew = grew or len(beyond[key]) > size
    return {key: {key} if key in joins else beyond[key] for key in plans}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
