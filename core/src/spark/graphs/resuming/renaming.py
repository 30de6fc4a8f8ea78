"""A checkpoint under new node keys, for nodes that were renamed, moved or reordered since it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spark.errors import GraphDefinitionError, GraphRestoreError
from spark.graphs.checkpoint.links import linked_as
from spark.graphs.checkpoint.policies.triggers import AfterNode
from spark.graphs.resuming.identity import is_same_node, recorded_nodes
from spark.graphs.resuming.validation import named

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.definition.topology import Topology


_DEEPEST_RULE: Final = 100
"""Levels of combined rules; nobody writes more, and a hostile checkpoint may."""


def check_rename(rename: Any) -> None:
    """Make sure that it maps names to names.

    :raises GraphDefinitionError: it does not.
    """
    if rename is None:
        return
    if not isinstance(rename, Mapping) or not all(isinstance(name, str) for pair in rename.items() for name in pair):
        raise GraphDefinitionError(
            f"rename={rename!r}: give a mapping of recorded node keys to present ones, for instance {{'Fetch': 'Download'}}."
        )


def new_keys(checkpoint: GraphCheckpoint, rename: Mapping[str, str], topology: Topology) -> dict[str, str]:
    """What ``rename=`` means for this checkpoint: recorded key to new key.

    :param rename: may have the recorded class or function of a node instead of its key.
    :raises GraphRestoreError: a name is unknown, or two nodes would have the same key.
    """
    recorded = recorded_nodes(checkpoint)
    known = list(dict.fromkeys([*recorded, *_keys_in_use(checkpoint)]))
    keys: dict[str, str] = {}
    for old, new in rename.items():
        found = [old] if old in known else [key for key, what in recorded.items() if what == old]
        if len(found) != 1:
            kind = "matches several of its nodes: " if found else "is not one of its nodes, which are "
            raise _refused(checkpoint, f"{old!r} {kind}{_listed(found or known)}")
        if new not in topology.plans:
            raise _refused(checkpoint, f"this graph has no node {new!r}; its nodes are {_listed(topology.plans)}")
        _check_moved(checkpoint, found[0], new, topology)
        keys[found[0]] = new
    _check_distinct(checkpoint, keys)
    return keys


def with_new_keys(checkpoint: GraphCheckpoint, keys: Mapping[str, str]) -> GraphCheckpoint:
    """The checkpoint with its pending work and node states under these keys. Its topology stays as it was recorded.

    All are renamed at once, so that two nodes can exchange their keys.
    """
    renamed = replace(
        checkpoint,
        node_states={keys.get(key, key): values for key, values in checkpoint.node_states.items()},
        execution_metadata=_renamed_facts(checkpoint.execution_metadata, keys),
        frontier=_renamed_frontier(checkpoint.frontier, keys),
        config=_renamed_config(checkpoint.config, keys),
    )
    return linked_as(checkpoint, renamed)


def _keys_in_use(checkpoint: GraphCheckpoint) -> list[str]:
    """The keys of the nodes that are still to run, or that have a state."""
    tokens = checkpoint.frontier["tokens"] if checkpoint.frontier is not None else {}
    return [*checkpoint.node_states, *(token["node"] for token in tokens.values()), *gathering_joins(checkpoint)]


def gathering_joins(checkpoint: GraphCheckpoint) -> list[str]:
    """The keys of the joins that items of its maps have reached, which wait for the other items."""
    if checkpoint.frontier is None:
        return []
    contents = checkpoint.frontier["contents"]
    return list(dict.fromkeys(join for id, value in contents.items() if "." in id for join in value))


def _check_moved(checkpoint: GraphCheckpoint, old: str, new: str, topology: Topology) -> None:
    """Refuse to rename a node that still has its recorded key: the checkpoint was made after the renaming."""
    recorded = recorded_nodes(checkpoint).get(old)
    if (
        old != new
        and recorded is not None
        and is_same_node(recorded, old, topology)
        and not is_same_node(recorded, new, topology)
    ):
        raise _refused(
            checkpoint,
            f"node {old!r} is still {recorded}, as when the checkpoint was made, and node {new!r} is not. Leave {old!r} out",
        )


def _check_distinct(checkpoint: GraphCheckpoint, keys: Mapping[str, str]) -> None:
    olds: dict[str, str] = {}
    for old in dict.fromkeys([*keys, *_keys_in_use(checkpoint)]):
        new = keys.get(old, old)
        other = olds.setdefault(new, old)
        if other != old:
            raise _refused(
                checkpoint,
                f"{other!r} and {old!r} would both be {new!r}. Rename both: all nodes are renamed at once",
            )


def _renamed_frontier(frontier: dict[str, Any] | None, keys: Mapping[str, str]) -> dict[str, Any] | None:
    if frontier is None:
        return None
    tokens = {id: _renamed(token, ("node", "source"), keys) for id, token in frontier["tokens"].items()}
    contents = {
        id: {keys.get(join, join): arrived for join, arrived in value.items()} if "." in id else value
        for id, value in frontier["contents"].items()
    }
    result = frontier.get("result")
    return {
        **frontier,
        "tokens": tokens,
        "contents": contents,
        **({"result": _renamed(result, ("node",), keys)} if result is not None else {}),
    }


def _renamed_facts(facts: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    renamed, error = _renamed(facts, ("last_node",), keys), facts.get("error")
    return {**renamed, "error": _renamed(error, ("node",), keys)} if isinstance(error, dict) else renamed


def _renamed_config(config: dict[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """The config, whose triggers may name nodes."""
    settings = config.get("checkpoint")
    if not isinstance(settings, dict):
        return config
    new = {**settings}
    if isinstance(settings.get("trigger_on_node"), list):
        new["trigger_on_node"] = _renamed_names(settings["trigger_on_node"], keys)
    if "trigger" in settings:
        new["trigger"] = _renamed_trigger(settings["trigger"], keys)
    return {**config, "checkpoint": new}


def _renamed_trigger(rule: Any, keys: Mapping[str, str], *, depth: int = 0) -> Any:
    """A trigger as it is recorded; what is not one stays as it is."""
    match rule:
        case {AfterNode.name: {"names": [*names]}}:
            return {AfterNode.name: {"names": _renamed_names(names, keys)}}
        case {"any": [*rules]} if depth < _DEEPEST_RULE:
            return {"any": [_renamed_trigger(one, keys, depth=depth + 1) for one in rules]}
        case {"all": [*rules]} if depth < _DEEPEST_RULE:
            return {"all": [_renamed_trigger(one, keys, depth=depth + 1) for one in rules]}
    return rule


def _renamed_names(names: list[Any], keys: Mapping[str, str]) -> list[Any]:
    return [keys.get(name, name) if type(name) is str else name for name in names]


def _renamed(data: Mapping[str, Any], names: tuple[str, ...], keys: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: keys.get(value, value) if name in names and type(value) is str else value for name, value in data.items()
    }


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _refused(checkpoint: GraphCheckpoint, why: str) -> GraphRestoreError:
    return GraphRestoreError(f"{named(checkpoint)} can't be restored with this rename=: {why}.")
