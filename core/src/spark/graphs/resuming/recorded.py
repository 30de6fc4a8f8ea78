"""What a checkpoint may say of a graph and its run, checked where a graph takes it over.

Whoever may write in a store may write anything. A record can be intact and still hold what no run ever wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from spark.errors import GraphRestoreError
from spark.graphs.checkpoint.configuration.config import are_seconds

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint

_LARGEST: Final = 2**63 - 1


def checked(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
    """The checkpoint itself, when a graph can take it over.

    :raises GraphRestoreError: it says something that no run writes; says where.
    """
    try:
        _check_states(checkpoint)
        _check_config(checkpoint.config)
        if checkpoint.topology is not None:
            _check_topology(checkpoint.topology)
        if checkpoint.frontier is not None:
            _check_frontier(checkpoint.frontier)
            _check_progress(checkpoint.execution_metadata)
    except _Impossible as found:
        raise GraphRestoreError(
            f"{named(checkpoint)} has a {found.part} that no run writes: {found}. Use another checkpoint, or correct this one. "
            "Without its topology and frontier, and with start= for Graph.from_checkpoint(), it is a state to begin with."
        ) from None
    return checkpoint


def named(checkpoint: GraphCheckpoint) -> str:
    """What messages call it."""
    return f"Checkpoint {checkpoint.checkpoint_id!r} of graph {checkpoint.graph_id!r}"


class _Impossible(Exception):
    """Something in a checkpoint is none of what can be there."""

    def __init__(self, part: str, what: str) -> None:
        super().__init__(what)
        self.part = part


def _check_states(checkpoint: GraphCheckpoint) -> None:
    _check_names(checkpoint.graph_state, "graph_state", "it")
    _check_names(checkpoint.node_states, "node_states", "it")
    for key, values in checkpoint.node_states.items():
        _check_names(values, "node_states", f"that of {_shown(key)}")


def _check_config(config: Any) -> None:
    _check_names(config, "config", "it")
    limit = config.get("max_concurrency")
    _check(limit is None or _is_number(limit, 1), "config", f"max_concurrency is {_shown(limit)}")
    threads = config.get("node_threads", 1)
    _check(_is_number(threads, 1), "config", f"node_threads is {_shown(threads)}")
    rule, grace = config.get("on_failure", "finish"), config.get("failure_grace")
    _check(rule in ("finish", "cancel"), "config", f"on_failure is {_shown(rule)}")
    _check(grace is None or are_seconds(grace), "config", f"failure_grace is {_shown(grace)}")
    _check(isinstance(config.get("inputs", {}), Mapping), "config", "the inputs are not a mapping")


def _check_progress(metadata: Any) -> None:
    part = "execution_metadata"
    _check_names(metadata, part, "it")
    iteration, last_node, run_id = metadata.get("iteration", 0), metadata.get("last_node"), metadata.get("run_id")
    _check(_is_number(iteration, 0), part, f"iteration is {_shown(iteration)}")
    _check(_is_text_or_none(last_node), part, f"last_node is {_shown(last_node)}")
    _check(_is_text_or_none(run_id), part, f"run_id is {_shown(run_id)}")


def _check_frontier(frontier: Any) -> None:
    part = "frontier"
    _check_names(frontier, part, "it")
    next_token, tokens, contents = (frontier.get(name) for name in ("next_token", "tokens", "contents"))
    _check(_is_number(next_token, 1), part, f"next_token is {_shown(next_token)}")
    _check(isinstance(tokens, list), part, f"tokens is {_shown(tokens)}")
    _check(isinstance(contents, list), part, f"contents is {_shown(contents)}")
    for token in tokens:
        _check_token(token, next_token, len(contents))
    _check(len({token["id"] for token in tokens}) == len(tokens), part, "two tokens have the same id")
    result = frontier.get("result")
    if result is not None:
        _check_names(result, part, "the result")
        _check("content" in result and _is_text_or_none(result.get("node", 0)), part, "the result names no node")


def _check_token(token: Any, next_token: int, contents: int) -> None:
    part = "frontier"
    _check_names(token, part, "a token")
    _check(_is_number(token.get("id"), 1, next_token - 1), part, f"a token's id is {_shown(token.get('id'))}")
    _check(type(token.get("node")) is str, part, f"a token's node is {_shown(token.get('node'))}")
    _check(_is_number(token.get("lineage"), 0), part, f"a token's lineage is {_shown(token.get('lineage'))}")
    _check(_is_text_or_none(token.get("source", 0)), part, f"a token's source is {_shown(token.get('source'))}")
    _check(type(token.get("joined")) is bool, part, f"a token's joined is {_shown(token.get('joined'))}")
    failures = token.get("failures", 0)
    _check(_is_number(failures, 0), part, f"a token's failures are {_shown(failures)}")
    order = token.get("order")
    is_order = isinstance(order, list) and len(order) == 2 and all(_is_number(each, 0) for each in order)
    _check(order is None or is_order, part, f"a token's order is {_shown(order)}")
    place = token.get("content")
    _check(_is_number(place, 0, contents - 1), part, f"a token's content is {_shown(place)}, of {contents}")


def _check_topology(topology: Any) -> None:
    part = "topology"
    _check_names(topology, part, "it")
    nodes, edges = topology.get("nodes"), topology.get("edges")
    _check(isinstance(nodes, list), part, f"nodes is {_shown(nodes)}")
    _check(isinstance(edges, list), part, f"edges is {_shown(edges)}")
    for node in nodes:
        _check_node(node)
    keys = {node["key"] for node in nodes}
    _check(len(keys) == len(nodes), part, "two nodes have the same key")
    start = topology.get("start")
    _check(type(start) is str and start in keys, part, f"start is {_shown(start)}, which is not a node")
    for edge in edges:
        _check_edge(edge, keys)


def _check_node(node: Any) -> None:
    part = "topology"
    _check_names(node, part, "a node")
    key, name = node.get("key"), node.get("name", 0)
    _check(type(key) is str, part, f"a node's key is {_shown(key)}")
    _check(
        name is None or (type(name) is str and name == key), part, f"the name of node {_shown(key)} is {_shown(name)}"
    )
    _check(("function" in node) is not ("class" in node), part, f"node {_shown(key)} has no class, or a function too")
    what = node.get("function", node.get("class"))
    _check(type(what) is str, part, f"the class or function of node {_shown(key)} is {_shown(what)}")


def _check_edge(edge: Any, keys: set[str]) -> None:
    part = "topology"
    _check_names(edge, part, "an edge")
    for end in ("source", "target"):
        key = edge.get(end)
        _check(type(key) is str and key in keys, part, f"an edge's {end} is {_shown(key)}, which is not a node")
    priority, condition, equals = edge.get("priority"), edge.get("condition", ""), edge.get("equals", {})
    _check(_is_number(priority, -_LARGEST), part, f"an edge's priority is {_shown(priority)}")
    _check(type(condition) is str, part, f"an edge's condition is {_shown(condition)}")
    _check_names(equals, part, "what an edge compares")


def _check(holds: bool, part: str, what: str) -> None:
    if not holds:
        raise _Impossible(part, what)


def _check_names(value: Any, part: str, what: str) -> None:
    """Whether it maps names to values."""
    _check(isinstance(value, Mapping), part, f"{what} is {_shown(value)}, not a mapping")
    strange = next((key for key in value if type(key) is not str), None)
    _check(strange is None, part, f"{what} has the key {_shown(strange)}, which is not text")


def _is_number(value: Any, smallest: int, largest: int = _LARGEST) -> bool:
    return type(value) is int and smallest <= value <= largest


def _is_text_or_none(value: Any) -> bool:
    return value is None or type(value) is str


def _shown(value: Any) -> str:
    """A value in a message: a hostile one may be long, or know no end."""
    if type(value) is int and abs(value) > _LARGEST:
        return "a number of many digits"
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) is str:
        return repr(value if len(value) <= 40 else f"{value[:40]}…")
    return f"of type {type(value).__name__}"
