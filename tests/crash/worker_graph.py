"""A graph that never ends, whose every checkpoint can be checked against what it must contain."""

from __future__ import annotations

import hashlib
from typing import Any

from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointHandler, Durability, GraphCheckpoint

GRAPH_ID = "survivor"
KEPT = 40
LENGTH_OF_PAGE = 200
"""In links of the chain: long enough to be kept apart from the records."""
NOTES = 250
"""Small values, so many that they are kept in parts where the store is told to begin early."""


class Tick(Node):
    """One round begins: its number, a hash chain that only an exact history can reproduce, and values of all kinds: a large
    one at times, one of many small ones, and one whose key comes and goes."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        rounds = await context.graph_state.get("rounds", 0)
        chain = await context.graph_state.get("chain", "")
        if rounds % 3 == 0:
            await context.graph_state.set("page", page_of(rounds, chain))
        await context.graph_state.set(f"note {rounds % NOTES}", note_of(rounds))
        await context.graph_state.delete(f"guest {rounds - 1}")
        await context.graph_state.set(f"guest {rounds}", rounds)
        await context.graph_state.set("rounds", rounds + 1)
        await context.graph_state.set("chain", next_link(chain))
        context.state["ticks"] = context.state.get("ticks", 0) + 1
        return {"round": rounds + 1}


class Branch(Node):
    """One of two parallel steps of a round."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.update("branches", lambda count: count + 1, default=0)
        return {"of": context.node, **context.inputs}


class Meet(JoinNode):
    """Both branches have arrived."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        arrived = [branch["of"] for branch in context.inputs]
        await context.graph_state.update("meetings", lambda met: met + int(arrived == ["left", "right"]), default=0)
        return {}


def build(
    backend: CheckpointBackend,
    handler: CheckpointHandler | None = None,
    *,
    graph_id: str = GRAPH_ID,
    kept: int = KEPT,
    durability: Durability = "sync",
) -> Graph:
    """The graph, with a checkpoint after every step."""
    tick, meet = Tick(), Meet()
    tick >> [Branch(name="left"), Branch(name="right")] >> meet >> tick
    config = CheckpointConfig(
        backend=backend, trigger_on_iteration=1, max_checkpoints=kept, handler=handler, durability=durability
    )
    backend.blob_cost = 16 * 1024
    notes = {f"note {number}": "" for number in range(NOTES)}
    return Graph(start=tick, id=graph_id, state=notes, checkpoint_config=config)


def next_link(chain: str) -> str:
    return hashlib.sha256(chain.encode()).hexdigest()


def page_of(rounds: int, chain: str) -> dict[str, Any]:
    """A large value that stays for three rounds."""
    return {"of": rounds, "text": f"{chain}." * LENGTH_OF_PAGE}


def note_of(rounds: int) -> str:
    """One of many small values."""
    return f"{rounds} ".ljust(100, ".")


def _small_values(rounds: int) -> dict[str, Any]:
    """All of them after so many rounds."""
    notes: dict[str, Any] = {f"note {number}": "" for number in range(NOTES)}
    notes |= {f"note {each % NOTES}": note_of(each) for each in range(max(rounds - NOTES, 0), rounds)}
    return notes | ({f"guest {rounds - 1}": rounds - 1} if rounds else {})


def complaint_about(checkpoint: GraphCheckpoint, chains: list[str]) -> str | None:
    """What is wrong with a checkpoint, or None: every step that it counts has happened exactly once.

    :param chains: the chain after 0, 1, 2… rounds; extended as needed.
    """
    state, iteration = checkpoint.graph_state, checkpoint.execution_metadata["iteration"]
    rounds, branches, meetings = (state.get(name, 0) for name in ("rounds", "branches", "meetings"))
    while len(chains) <= rounds:
        chains.append(next_link(chains[-1]))
    if rounds + branches + meetings != iteration:
        return f"{rounds} rounds, {branches} branches and {meetings} meetings after {iteration} steps"
    if state.get("chain", "") != chains[rounds]:
        return f"the chain is not that of {rounds} rounds"
    turned = (rounds - 1) // 3 * 3
    if rounds and state.get("page") != page_of(turned, chains[turned]):
        return f"the page is not that of round {turned}"
    if {key: value for key, value in state.items() if key.startswith(("note ", "guest "))} != _small_values(rounds):
        return f"the small values are not those of {rounds} rounds"
    if checkpoint.node_states.get("Tick", {}).get("ticks", 0) != rounds:
        return f"the node's own state is not that of {rounds} rounds"
    if not meetings <= rounds <= meetings + 1 or not 2 * meetings <= branches <= 2 * rounds:
        return f"no consistent cut: {rounds} rounds, {branches} branches, {meetings} meetings"
    return None
