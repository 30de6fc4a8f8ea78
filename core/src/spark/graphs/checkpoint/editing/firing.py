"""An edit that counts as a step: the work that was pending, as it is when a node has returned something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spark.errors import CheckpointDamagedError, GraphDefinitionError, RunError
from spark.graphs.checkpoint.editing.base import Base
from spark.graphs.checkpoint.editing.edits import Edits
from spark.graphs.definition.edges import MissingCondition, MissingErrorType
from spark.graphs.definition.nodes import JoinNode, Node
from spark.graphs.definition.topology import Topology, connect_as_recorded
from spark.graphs.state.frontier import Frontier
from spark.graphs.state.groups import Mapped
from spark.graphs.state.suspended import open_facts
from spark.graphs.state.token import Token

_OF_ERRORS: Final = ("error", "error_type", "error_message", "error_node")
_OF_WAITS: Final = ("due", "questions", "messages")
DROPPED: Final = (*_OF_ERRORS, *_OF_WAITS)
"""What a checkpoint says of its pending work among its metadata, as long as that is so."""


class Fired(NamedTuple):
    """What became of the pending work."""

    frontier: dict[str, Any]
    """Its tree."""
    facts: dict[str, Any]
    """What the metadata say of it."""
    status: str | None
    """How the run stands if it can't continue by itself; None if it can."""


async def fire(base: Base, edits: Edits, topology: Topology | None, *, sequence: int) -> Fired:
    """Finish the pending step of a node, or begin after that node anew. Nothing in the record is changed.

    :param topology: of the program's graph; None takes the nodes and edges that the checkpoint records.
    :param sequence: of the record that will be written.
    :raises RunError: there is no such node, or which step is meant, or where its output goes, can't be known here.
    """
    stored = await base.whole("frontier")
    if stored is None or base.rewriting.opened.format.takes_objects:
        raise _refused(base, edits, "it records no pending work as plain values, as checkpoints do that runs make")
    wired = topology or await _recorded(base)
    node = edits.as_node or ""
    if node not in wired.plans:
        raise _refused(base, edits, f"the graph has no such node. Its nodes are {', '.join(map(repr, wired.plans))}")
    targets = _targets(base, edits, wired)
    frontier = _loaded(base, stored, wired)
    token = _pending(base, edits, frontier) or frontier.take_new(node, number=sequence)
    output = base.rewriting.plain_tree(edits.output, "output")
    frontier.finish(token, output, targets)
    if frontier.at_join:
        frontier.release_joins()
    tree = _tree(frontier, stored)
    if not targets:
        tree["result"] = {"content": output, "node": node}
    return Fired(tree, await _facts(base, frontier, node=node), _status(frontier))


async def _recorded(base: Base) -> Topology:
    """The nodes and edges that a checkpoint records. The nodes can't be executed."""
    data = await base.whole("topology")
    if not data:
        raise RunError(
            f"Checkpoint {base.header.checkpoint_id!r} records no nodes, so as_node= has no edges to follow. Give the graph: "
            "graph=graph."
        )
    try:
        nodes = {each["key"]: _stand_in(each) for each in data["nodes"]}
        connect_as_recorded(nodes, data["edges"], error_type=MissingErrorType)
        return Topology(nodes[data["start"]])
    except (AttributeError, LookupError, TypeError, ValueError, GraphDefinitionError) as error:
        raise _damaged(base, "topology") from error


def _stand_in(data: Mapping[str, Any]) -> Node:
    """What keeps the place of a node that this program need not know."""
    return _StandInJoin(name=data["key"]) if data.get("join") else _StandIn(name=data["key"])


class _StandIn(Node):
    async def process(self) -> Any:
        raise NotImplementedError


class _StandInJoin(JoinNode):
    pass


def _targets(base: Base, edits: Edits, wired: Topology) -> list[str | Mapped]:
    """Where the output goes. Lists that are mapped over are of trees.

    :raises RunError: that depends on a function that is not known here.
    :raises ConditionError: a condition raised.
    :raises MapError: the output lacks the list that an edge maps over.
    """
    plan = wired.plans[edits.as_node or ""]
    unknown = [edge for edge, _ in plan.outputs if isinstance(edge.condition, MissingCondition)]
    if unknown:
        raise _refused(
            base,
            edits,
            f"where its output goes depends on {', '.join(sorted(edge.condition_label() for edge in unknown))}, functions of the "
            "program that are not stored. Give the graph: graph=graph",
        )
    return [_of_trees(base, each) for each in plan.targets(edits.output)]


def _of_trees(base: Base, target: str | Mapped) -> str | Mapped:
    if isinstance(target, str):
        return target
    tree, items = base.rewriting.plain_tree, target.items
    if isinstance(items, Mapping):
        return Mapped(target.rule, {key: tree(item, f"output[{key!r}]") for key, item in items.items()})
    return Mapped(target.rule, [tree(item, f"output[{number}]") for number, item in enumerate(items)])


def _loaded(base: Base, stored: Mapping[str, Any], wired: Topology) -> Frontier:
    """The pending work. What tokens carry are trees."""
    frontier = wired.new_frontier()
    try:
        maps = {token["content"] for token in stored["tokens"].values() if token.get("over")}
        contents = {id: _items(content) if id in maps else content for id, content in stored["contents"].items()}
        frontier.load({**stored, "contents": contents})
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _damaged(base, "frontier") from error
    unknown = sorted({token.node for token in frontier.pending()} - wired.plans.keys())
    if unknown:
        raise RunError(
            f"Checkpoint {base.header.checkpoint_id!r} still has to run {', '.join(map(repr, unknown))}, which the graph "
            "that was given does not have. Give the graph as it was, or none."
        )
    return frontier


def _items(tree: Any) -> Any:
    """The items of a map, from the tree of a list, a tuple or a mapping."""
    if type(tree) is dict and tree.keys() == {"$tuple"}:
        return tree["$tuple"]
    if type(tree) is dict and tree.keys() == {"$dict"}:
        return {key if isinstance(key, str | int | float) else repr(key): item for key, item in tree["$dict"]}
    return tree


def _pending(base: Base, edits: Edits, frontier: Frontier) -> Token | None:
    """The step of the node that is pending, out of its turn; None where there is none.

    :raises RunError: there are several, or it is not one that could return something now.
    """
    found = [token for token in frontier.pending() if token.node == edits.as_node]
    if not found:
        return None
    if len(found) > 1:
        why = f"{len(found)} steps of it are pending, and it is not clear which one is meant. Resume the run, or answer them"
        raise _refused(base, edits, why)
    token = found[0]
    if token.over:
        raise _refused(base, edits, "a map runs it for each item of a list, and is not finished. Resume the run")
    try:
        frontier.take(token)
    except ValueError:
        why = "it still waits for other branches" if token.node in frontier.at_join else "it waits for a retry"
        raise _refused(base, edits, f"its step can't be finished now: {why}. Resume the run") from None
    return token


def _tree(frontier: Frontier, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of the pending work. What tokens carry never changes, and stays as it was stored."""
    data = frontier.capture()
    before = stored["contents"]
    tree: dict[str, Any] = {
        **stored,
        "next_token": data["next_token"],
        "tokens": {id: dict(token) for id, token in data["tokens"].items()},
        "contents": {id: before.get(id, content) for id, content in data["contents"].items()},
    }
    tree.pop("journal", None)
    if data.get("journal"):
        tree["journal"] = {name: dict(entry) for name, entry in data["journal"].items()}
    return tree


async def _facts(base: Base, frontier: Frontier, *, node: str) -> dict[str, Any]:
    """What the metadata say of the pending work."""
    metadata = await base.section("execution_metadata")
    iteration = base.header.metadata.get("iteration")
    facts: dict[str, Any] = {"iteration": iteration + 1 if type(iteration) is int else 1, "last_node": node}
    if frontier.suspended_tokens:
        messages = base.header.metadata.get("messages")
        frontier.suspended.looked_to = messages if type(messages) is int else None
        facts |= open_facts(frontier.suspended)
    error = await metadata.value("error") if "error" in metadata else None
    if type(error) is dict and any(
        token.node == error.get("node") and token.failures == error.get("attempt") for token in frontier.pending()
    ):
        before = base.header.metadata
        facts |= {"error": error} | {name: before[name] for name in _OF_ERRORS if name in before}
    return facts


def _status(frontier: Frontier) -> str | None:
    if not frontier:
        return "completed"
    if frontier.waiting:
        return None
    return "interrupted" if frontier.suspended.counts["interrupt"] else "waiting"


def _refused(base: Base, edits: Edits, why: str) -> RunError:
    return RunError(
        f"Checkpoint {base.header.checkpoint_id!r} of graph {base.header.graph_id!r} can't be edited as node {edits.as_node!r}: "
        f"{why}. Nothing was changed."
    )


def _damaged(base: Base, section: str) -> CheckpointDamagedError:
    return CheckpointDamagedError(
        f"Checkpoint {base.header.checkpoint_id!r} of graph {base.header.graph_id!r} has an invalid {section}. Edit it without "
        "as_node=, or fork an earlier one."
    )
