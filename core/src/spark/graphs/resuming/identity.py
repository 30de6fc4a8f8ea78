"""Is the node under a key still the one that a checkpoint recorded there? Its class or function tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from spark.graphs.definition.nodes import Node
from spark.graphs.values.loaded import MAIN_MODULES, find_loaded

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.definition.topology import Topology


def recorded_nodes(checkpoint: GraphCheckpoint) -> dict[str, str]:
    """Node key to the class or function that is recorded for it, as ``"module:qualname"``."""
    nodes = checkpoint.topology["nodes"] if checkpoint.topology is not None else []
    return {node["key"]: node.get("function", node.get("class")) for node in nodes}


def exchanged_node(
    checkpoint: GraphCheckpoint, topology: Topology, *, pending: Iterable[str], renamed: Mapping[str, str]
) -> str | None:
    """Why the checkpoint can't be continued with these nodes: one that it may still run, or that has a state, is another now.

    :param pending: the keys of the nodes that it still has to run.
    :param renamed: recorded key to new key, as given by hand; these nodes are not compared.
    """
    recorded, present = recorded_nodes(checkpoint), topology.identities()
    has_state = {key for key, values in checkpoint.node_states.items() if values}
    needed = (topology.reachable_from(pending) | has_state) & recorded.keys() - renamed.keys() - {*renamed.values()}
    for key in present:  # in the order of discovery, so that the first of several is named
        if key in needed and not is_same_node(recorded[key], key, topology):
            return (
                f"node {key!r} was {recorded[key]} when the checkpoint was made, and is {present[key]} in this graph. "
                f"{_cure(key, recorded, present)}"
            )
    return None


def is_same_node(recorded: str, key: str, topology: Topology) -> bool:
    """Whether the recorded class or function is that of the node under this key."""
    identities = topology.identities()
    present, among = identities.get(key), identities.values()
    if present is None or recorded == present:
        return recorded == present
    module, _, qualname = recorded.partition(":")
    found = find_loaded(Node, module, qualname)
    if found is not None and isinstance(topology.plans[key].node, found):
        return True  # a subclass, or the same class under a name that was kept for old checkpoints
    # A script names what it defines __main__ when it is run, and otherwise when it is imported.
    other, _, name = present.partition(":")
    is_script = module in MAIN_MODULES or other in MAIN_MODULES
    return is_script and name == qualname and len({one for one in among if one.endswith(f":{qualname}")}) == 1


def _cure(key: str, recorded: Mapping[str, str], present: Mapping[str, str]) -> str:
    moves = {
        old: new for old, what in recorded.items() if (new := _new_key(what, recorded, present)) not in (None, old)
    }
    if key in moves:
        return (
            f"{recorded[key]} is now node {moves[key]!r}: pass rename={moves!r}, and give your nodes names, so that their order "
            "does not matter."
        )
    return f"If it replaces that node, pass rename={ {key: key}!r}; otherwise put that node back."


def _new_key(what: str, recorded: Mapping[str, str], present: Mapping[str, str]) -> str | None:
    """The key under which a recorded class or function stands now, if it is another one, and the only one."""
    keys = [key for key, identity in present.items() if identity == what and recorded.get(key) != what]
    return keys[0] if len(keys) == 1 else None
