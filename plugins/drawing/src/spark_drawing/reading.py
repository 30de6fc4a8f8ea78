"""From the ``topology`` section of a checkpoint to what is drawn of it. No class of the application is needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import Any, Final

from spark_drawing.errors import DrawingError
from spark_drawing.parts import ShapeEdge, ShapeNode

_DEEPEST: Final = 9
"""Of maps in maps. A loop through one could be counted without end."""
_JOINS: Final = ("spark.graphs:JoinNode", "spark.graphs.nodes:JoinNode")


def read_topology(section: Mapping[str, Any] | None) -> tuple[tuple[ShapeNode, ...], tuple[ShapeEdge, ...]]:
    """Nodes and edges, in the order of the section. What it has besides, from a later version, is passed over.

    :raises DrawingError: there is none, or it is damaged.
    """
    if section is None:
        raise DrawingError("This checkpoint records no topology, so its graph can't be drawn. Give a later checkpoint.")
    section = _mapping(section, "the topology")
    nodes = _mappings(section, "nodes")
    recorded = {_text(node, "key"): node for node in nodes}
    if len(recorded) < len(nodes):
        raise _damaged("two nodes have the same key")
    start = _text(section, "start")
    if start not in recorded:
        raise _damaged(f"start is {_shown(start)}, which is not a node")
    edges = tuple(_edge(each, recorded.keys()) for each in _mappings(section, "edges"))
    joins = {key for key, node in recorded.items() if _is_join(node)}
    sources, mapped = {each.source for each in edges}, _within_maps(edges, joins)
    drawn = [
        ShapeNode(key, is_start=key == start, is_end=key not in sources, is_join=key in joins, is_map=key in mapped)
        for key in recorded
    ]
    return tuple(drawn), edges


def _within_maps(edges: Iterable[ShapeEdge], joins: Set[str]) -> set[str]:
    """The nodes that run once for each item of a map: each one on the way from its edge to the first join, which ends it."""
    leaving: dict[str, list[ShapeEdge]] = defaultdict(list)
    for edge in edges:
        leaving[edge.source].append(edge)
    ahead = [(edge.source, 0) for edge in edges if edge.is_map]
    seen = set(ahead)
    for key, depth in ahead:  # grows as it goes
        for edge in leaving[key]:
            within = min(depth + edge.is_map, _DEEPEST) - (edge.target in joins)
            if within > 0 and (edge.target, within) not in seen:
                seen.add((edge.target, within))
                ahead.append((edge.target, within))
    return {key for key, depth in seen if depth > 0}


def _is_join(node: Mapping[str, Any]) -> bool:
    # Older records tell a join by its class alone.
    return node.get("join") is True or node.get("class") in _JOINS


def _edge(data: Mapping[str, Any], keys: Any) -> ShapeEdge:
    source, target = _text(data, "source"), _text(data, "target")
    for end in (source, target):
        if end not in keys:
            raise _damaged(f"an edge leads from {_shown(source)} to {_shown(target)}, and one of them is not a node")
    each = data.get("each")
    return ShapeEdge(source, target, _label(data), is_error=bool(data.get("errors")), is_map=each is not None)


def _label(data: Mapping[str, Any]) -> str:
    each = data.get("each")
    parts = [_condition(data), f"each {_mapping(each, 'a map').get('key')}" if each is not None else ""]
    return ", ".join(part for part in parts if part)


def _condition(data: Mapping[str, Any]) -> str:
    """As ``graph.mermaid()`` words it."""
    if errors := data.get("errors"):
        if not isinstance(errors, list | tuple):
            raise _damaged(f"the errors of an edge are {_shown(errors)}, where a list belongs")
        names = [str(each).rpartition(":")[2].rpartition(".")[2] for each in errors]
        return "on error" if names == ["Exception"] else f"on {', '.join(names)}"
    if data.get("condition"):
        return str(data["condition"])
    return ", ".join(
        f"{key}={value!r}" for key, value in _mapping(data.get("equals") or {}, "what an edge compares").items()
    )


def _mappings(section: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = section.get(name)
    if not isinstance(found, list | tuple):
        raise _damaged(f"{name} is {_shown(found)}, where a list belongs")
    return [_mapping(each, f"one of its {name}") for each in found]


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _damaged(f"{what} is {_shown(value)}, where a mapping belongs")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise _damaged(f"{name} is {_shown(value)}, where a text belongs")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _damaged(what: str) -> DrawingError:
    return DrawingError(
        f"The recorded topology is damaged: {what}. `spark checkpoints verify` says what else is wrong."
    )
