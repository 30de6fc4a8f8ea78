"""Is a checkpoint one that a run may have written? Asked before a graph takes it over.

Whoever may write to a store may write anything: a record can be intact and still hold what no run would write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spark.errors import GraphDefinitionError, GraphRestoreError
from spark.graphs.checkpoint.configuration.config import are_seconds
from spark.graphs.checkpoint.links import linked_as
from spark.graphs.checkpoint.model import SECTIONS, GraphCheckpoint
from spark.graphs.definition.maps import Each
from spark.graphs.definition.policies import OPTIONS, UNSET, StepPolicy
from spark.graphs.resuming.stored_journal import wrong_in_journal
from spark.graphs.state.received import is_received
from spark.graphs.state.token import LARGEST, Token, is_count, is_text, is_text_or_none


def validated(checkpoint: GraphCheckpoint) -> GraphCheckpoint:
    """The checkpoint when a graph can take it over, with a frontier as this release writes it.

    :raises GraphRestoreError: it holds what no run would write; says where.
    """
    if checkpoint.is_raw:
        raise GraphRestoreError(
            f"{named(checkpoint)} was loaded with raw=True, to be looked at: its objects are not those that were saved. Load "
            "it without raw=True."
        )
    try:
        for name, section in SECTIONS.items():
            values = getattr(checkpoint, name)
            if values is not None or not section.may_be_none:
                _Checks(name).mapping("it", values)
        _check_node_states(checkpoint.node_states)
        _check_config(checkpoint.config)
        if checkpoint.topology is not None:
            _check_topology(checkpoint.topology)
        if checkpoint.frontier is not None:
            checkpoint = linked_as(checkpoint, replace(checkpoint, frontier=_present_frontier(checkpoint.frontier)))
            _check_progress(checkpoint.execution_metadata)
    except _InvalidError as found:
        raise GraphRestoreError(
            f"{named(checkpoint)} has an invalid {found.section}: {found}. Use another checkpoint, or correct this one. To keep "
            "only its state, set its topology and frontier to None, and pass start= to Graph.from_checkpoint()."
        ) from None
    return checkpoint


def named(checkpoint: GraphCheckpoint) -> str:
    """What messages call it."""
    return f"Checkpoint {checkpoint.checkpoint_id!r} of graph {checkpoint.graph_id!r}"


class _InvalidError(Exception):
    """A section of a checkpoint holds what no run would write there."""

    def __init__(self, section: str, what: str) -> None:
        super().__init__(what)
        self.section = section


class _Checks:
    """Checks what one section holds."""

    def __init__(self, section: str) -> None:
        self._section = section

    def that(self, is_valid: bool, what: str) -> None:
        if not is_valid:
            raise _InvalidError(self._section, what)

    def value(self, name: str, value: Any, is_valid: bool) -> None:
        if not is_valid:
            raise _InvalidError(self._section, f"{name} is {_shown(value)}")

    def mapping(self, name: str, value: Any) -> None:
        """It maps strings to values."""
        self.that(isinstance(value, Mapping), f"{name} is {_shown(value)}, not a mapping")
        key = next((key for key in value if type(key) is not str), None)
        self.that(key is None, f"{name} has the key {_shown(key)}, which is not a string")


def _check_node_states(states: Mapping[str, Any]) -> None:
    check = _Checks("node_states")
    for key, values in states.items():
        check.mapping(f"the state of {_shown(key)}", values)


def _check_config(config: Any) -> None:
    check = _Checks("config")
    limit, threads = config.get("max_concurrency"), config.get("node_threads", 1)
    rule, grace = config.get("on_failure", "finish"), config.get("failure_grace")
    check.value("max_concurrency", limit, limit is None or _is_positive(limit))
    check.value("node_threads", threads, _is_positive(threads))
    check.value("on_failure", rule, rule in ("finish", "cancel"))
    check.value("failure_grace", grace, grace is None or are_seconds(grace))
    check.that(_is_policy(config), "retry, timeout or idle_timeout is not valid for a graph")
    check.that(isinstance(config.get("inputs", {}), Mapping), "inputs is not a mapping")


def _check_progress(metadata: Any) -> None:
    check = _Checks("execution_metadata")
    iteration, last_node, run_id = metadata.get("iteration", 0), metadata.get("last_node"), metadata.get("run_id")
    check.value("iteration", iteration, is_count(iteration))
    check.value("last_node", last_node, is_text_or_none(last_node))
    check.value("run_id", run_id, is_text_or_none(run_id))
    check.that(isinstance(metadata.get("triggers", []), list), "triggers is not a list")


def _present_frontier(frontier: Any) -> dict[str, Any]:
    """A valid frontier, as this release writes it."""
    check = _Checks("frontier")
    next_token: Any = frontier.get("next_token")
    check.value("next_token", next_token, _is_positive(next_token))
    if type(frontier.get("tokens")) is list and type(frontier.get("contents")) is list:
        frontier = _by_id(frontier)
    tokens, contents = frontier.get("tokens"), frontier.get("contents")
    check.mapping("tokens", tokens)
    check.mapping("contents", contents)
    for id, token in tokens.items():
        _check_token(id, token, next_token, contents)
    _check_maps(tokens, contents)
    inbox = frontier.get("inbox")
    if inbox is not None:
        check.mapping("the inbox", inbox)
        check.that(is_received(inbox), "the inbox does not say which messages were received")
    _check_journal(frontier.get("journal", {}), tokens)
    result = frontier.get("result")
    if result is not None:
        check.mapping("the result", result)
        check.that("content" in result and is_text_or_none(result.get("node", 0)), "the result names no node")
    return frontier  # type: ignore[no-any-return]


def _check_journal(journal: Any, tokens: Mapping[str, Any]) -> None:
    check = _Checks("frontier")
    check.mapping("journal", journal)
    wrong = wrong_in_journal(journal, tokens)
    check.that(wrong is None, wrong or "")


def _check_token(id: str, token: Any, next_token: int, contents: Mapping[str, Any]) -> None:
    check = _Checks("frontier")
    is_known = _is_id(id, next_token) or (_is_item(id) and bool(isinstance(token, Mapping) and token.get("scope")))
    check.that(is_known, f"a token has the id {_shown(id)}, and next_token is {next_token}")
    check.mapping(f"token {id}", token)
    wrong = Token.wrong_field(token)
    check.that(wrong is None, f"{wrong} of token {id} is {_shown(token.get(wrong))}")
    content = token["content"]
    is_there = _is_id(content, next_token) and content in contents
    check.that(is_there, f"content of token {id} is {_shown(content)}, which is not in contents")


def _check_maps(tokens: Mapping[str, Any], contents: Mapping[str, Any]) -> None:
    """Maps have items, tokens in a scope belong to one that has not ended, and so do results."""
    check = _Checks("frontier")
    maps = {id: contents[token["content"]] for id, token in tokens.items() if token.get("over")}
    left = {}
    for id, items in maps.items():
        is_list = isinstance(items, Sequence | Mapping) and not isinstance(items, str | bytes)
        check.that(is_list and len(items) > 0, f"token {id} is a map, and its inputs are {_shown(items)}")
        check.that(tokens[id]["content"] == id and not tokens[id].get("joined"), f"token {id} is a map of other inputs")
        left[id] = len(items)
    for id, results in contents.items():
        if "." in id:
            group = id.partition(".")[0]
            check.that(_is_item(id) and _has_item(maps, id), f"contents has {_shown(id)}, which is no item of a map")
            check.mapping(f"the result {id}", results)
            check.that(all(type(arrived) is list for arrived in results.values()), f"the result {id} is no list")
            left[group] -= 1
    ended = next((id for id, items in left.items() if items == 0), None)
    check.that(ended is None, f"all items of the map {ended} have ended, and the map has not")
    for id, token in tokens.items():
        if token.get("scope"):
            _check_item(check, id, token, tokens, maps, contents)
        if token.get("gathered"):
            is_list = type(contents[token["content"]]) is list and not token.get("joined")
            check.that(is_list, f"token {id} was gathered by a map, and its inputs are no list")


def _check_item(
    check: _Checks,
    id: str,
    token: Mapping[str, Any],
    tokens: Mapping[str, Any],
    maps: Mapping[str, Any],
    contents: Mapping[str, Any],
) -> None:
    """A token in a scope."""
    name = ".".join(map(str, token["scope"]))
    is_item = len(token["scope"]) == 2 and _has_item(maps, name) and name not in contents
    check.that(is_item, f"token {id} is of the item {_shown(name)}, which no map still has to run")
    group = tokens[name.partition(".")[0]]
    if "." in id:
        is_first = id == name and token["content"] == group["content"] and token["node"] == group["node"]
        check.that(is_first and not token.get("over"), f"token {id} is not the first one of item {name}")
    else:
        check.that(int(id) > int(name.partition(".")[0]), f"token {id} is older than its map")


def _has_item(maps: Mapping[str, Any], name: str) -> bool:
    group, _, index = name.partition(".")
    return group in maps and int(index) < len(maps[group])


def _is_item(value: str) -> bool:
    """Whether it is ``"<map>.<index>"``."""
    group, point, index = value.partition(".")
    return bool(point) and all(
        part.isdecimal() and len(part) < 20 and part == str(int(part)) for part in (group, index)
    )


def _is_id(value: str, next_token: int) -> bool:
    is_number = value.isdecimal() and len(value) <= len(str(next_token))
    return is_number and 1 <= int(value) < next_token and value == str(int(value))


def _by_id(frontier: Mapping[str, Any]) -> dict[str, Any]:
    """A frontier of an older release, whose tokens and contents are lists. Each content gets the id of its first token."""
    check = _Checks("frontier")
    contents: list[Any] = frontier["contents"]
    ids: dict[int, str] = {}
    tokens: dict[str, Any] = {}
    for token in frontier["tokens"]:
        check.mapping("a token", token)
        number, place, order = token.get("id"), token.get("content"), token.get("order")
        check.value("a token's id", number, _is_positive(number))
        check.value(f"content of token {number}", place, is_count(place) and place < len(contents))
        check.value(f"order of token {number}", order, order is None or (type(order) is list and len(order) == 2))
        id = str(number)
        tokens[id] = {name: value for name, value in token.items() if name not in ("id", "order")}
        tokens[id]["content"] = ids.setdefault(place, id)
        if order is not None:
            tokens[id] |= {"generation": order[0], "path": [order[1]]}
    check.that(len(tokens) == len(frontier["tokens"]), "two tokens have the same id")
    return {**frontier, "tokens": tokens, "contents": {id: contents[place] for place, id in ids.items()}}


def _check_topology(topology: Any) -> None:
    check = _Checks("topology")
    nodes, edges, start = topology.get("nodes"), topology.get("edges"), topology.get("start")
    check.value("nodes", nodes, isinstance(nodes, list))
    check.value("edges", edges, isinstance(edges, list))
    for node in nodes:
        _check_node(check, node)
    keys = {node["key"] for node in nodes}
    check.that(len(keys) == len(nodes), "two nodes have the same key")
    check.that(type(start) is str and start in keys, f"start is {_shown(start)}, which is not a node")
    for edge in edges:
        _check_edge(check, edge, keys)


def _check_node(check: _Checks, node: Any) -> None:
    check.mapping("a node", node)
    key, name = node.get("key"), node.get("name", 0)
    check.value("the key of a node", key, is_text(key))
    check.value(f"the name of node {_shown(key)}", name, name is None or (is_text(name) and name == key))
    check.that(("function" in node) is not ("class" in node), f"node {_shown(key)} has no class, or a function too")
    check.that(_is_policy(node), f"retry, timeout or idle_timeout of node {_shown(key)} is not valid for a node")
    what = node.get("function", node.get("class"))
    check.value(f"the class or function of node {_shown(key)}", what, is_text(what))


def _check_edge(check: _Checks, edge: Any, keys: set[str]) -> None:
    check.mapping("an edge", edge)
    for end in ("source", "target"):
        key = edge.get(end)
        check.that(is_text(key) and key in keys, f"the {end} of an edge is {_shown(key)}, which is not a node")
    priority, condition = edge.get("priority"), edge.get("condition", "")
    check.value("the priority of an edge", priority, type(priority) is int and abs(priority) <= LARGEST)
    check.value("the condition of an edge", condition, is_text(condition))
    check.mapping("what an edge compares", edge.get("equals", {}))
    errors = edge.get("errors", [])
    check.value("the errors of an edge", errors, isinstance(errors, list) and all(map(is_text, errors)))
    each = edge.get("each", {"key": "items", "limit": None, "on_error": "stop"})
    check.mapping("the map of an edge", each)
    check.that(
        _is_map(each), f"the map of an edge is over {_shown(each.get('key'))} with a limit or a rule that no map has"
    )


def _is_policy(data: Mapping[str, Any]) -> bool:
    """Whether the options are valid that a node or a graph has for steps that fail or take too long."""
    try:
        given = StepPolicy.recorded_in(data, lost=[])
        StepPolicy.checked(*(given.get(name, UNSET) for name in OPTIONS), where="it")
    except (GraphDefinitionError, LookupError, TypeError):
        return False
    return True


def _is_map(each: Mapping[str, Any]) -> bool:
    try:
        Each(**each)
    except (GraphDefinitionError, TypeError):
        return False
    return True


def _is_positive(value: Any) -> bool:
    return is_count(value) and value > 0


def _shown(value: Any) -> str:
    """A value in a message, cut short: a hostile one may be long, or have no end."""
    if type(value) is int and abs(value) > LARGEST:
        return "a number with many digits"
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) is str:
        return repr(value if len(value) <= 40 else f"{value[:40]}…")
    return f"of type {type(value).__name__}"
