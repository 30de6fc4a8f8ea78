"""A graph that never ends, whose every checkpoint can be checked against what it must contain."""

from __future__ import annotations

import hashlib
from typing import Any

from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointHandler, Durability, GraphCheckpoint
from spark.graphs.checkpoint.encoding.levels import Thresholds
from spark.graphs.checkpoint.serialization import cost
from tests.crash import growing_state
from tests.crash.growing_state import ITEMS

GRAPH_ID = "survivor"
KEPT = 12
LENGTH_OF_PAGE = 200
"""In links of the chain: long enough to be kept apart from the records."""
NOTES = 250
"""Small values, so many that they are kept in chunks where the store is told to begin early."""
SHARE = 64
"""By so much less one more blob costs each store, and chunks are small and few on a level: so a short run writes, merges, cleans
and drops many."""
FEW = 20
"""What takes more than so many values to encode is encoded in a thread, where chunks are stored ahead of their record."""
MAPPED = 6
"""Each sixth round has a map."""


class Tick(Node):
    """One round begins: its number, a hash chain that only an exact history can reproduce, and values of all kinds: a large
    one at times, one of many small ones, one whose key comes and goes, and collections that grow."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        rounds = await context.graph_state.get("rounds", 0)
        chain = await context.graph_state.get("chain", "")
        if rounds % 3 == 0:
            await context.graph_state.set("page", page_of(rounds, chain))
        await context.graph_state.set(f"note {rounds % NOTES}", note_of(rounds))
        await context.graph_state.delete(f"guest {rounds - 1}")
        await context.graph_state.set(f"guest {rounds}", rounds)
        await growing_state.change(context, rounds)
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
        rounds = context.inputs[0]["round"]
        is_mapped = rounds % MAPPED == 0
        return {"mapped": is_mapped, "round": rounds, "items": growing_state.items_of(rounds) if is_mapped else []}


class Weigh(Node):
    """One item of a map."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.update("weighings", lambda count: count + 1, default=0)
        return growing_state.weighed(context.inputs)


class Sum(JoinNode):
    """All items of a map have arrived, in their order."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        rounds = await context.graph_state.get("rounds")
        expected = [growing_state.weighed(item) for item in growing_state.items_of(rounds)]
        is_right = list(context.inputs) == expected
        await context.graph_state.update("sums", lambda sums: sums + int(is_right), default=0)
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
    tick, meet, weigh, total = Tick(), Meet(), Weigh(), Sum()
    tick >> [Branch(name="left"), Branch(name="right")] >> meet
    meet.on(mapped=False) >> tick
    meet.on(mapped=True).each("items", limit=8) >> weigh >> total >> tick
    config = CheckpointConfig(
        backend=backend, trigger_on_iteration=1, max_checkpoints=kept, handler=handler, durability=durability
    )
    backend.blob_cost = max(type(backend).blob_cost // SHARE, 1024)
    Thresholds.of_store = _small  # type: ignore[method-assign, assignment]
    cost._LIGHT_VALUES = FEW  # type: ignore[misc]
    notes = {f"note {number}": "" for number in range(NOTES)}
    return Graph(start=tick, id=graph_id, state=notes | growing_state.at_first(), checkpoint_config=config)


def _small(blob_cost: float) -> Thresholds:
    return Thresholds(blob_cost, worth=200, nested=1024, compared=2048, ratio=4, largest=16 * 1024, held=4096)


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
    counted = ("rounds", "branches", "meetings", "weighings", "sums")
    rounds, branches, meetings, weighings, sums = counts = [state.get(name, 0) for name in counted]
    while len(chains) <= rounds:
        chains.append(next_link(chains[-1]))
    if sum(counts) != iteration:
        return f"{dict(zip(counted, counts, strict=True))} after {iteration} steps"
    if state.get("chain", "") != chains[rounds]:
        return f"the chain is not that of {rounds} rounds"
    turned = (rounds - 1) // 3 * 3
    if rounds and state.get("page") != page_of(turned, chains[turned]):
        return f"the page is not that of round {turned}"
    if {key: value for key, value in state.items() if key.startswith(("note ", "guest "))} != _small_values(rounds):
        return f"the small values are not those of {rounds} rounds"
    collections = {
        "log": growing_state.log_after,
        "agenda": growing_state.agenda_after,
    }
    for name, after in collections.items():
        if (different := difference(state[name], after(rounds))) is not None:
            return f"{name} is not that of {rounds} rounds: {different}"
    book, expected = state["book"], growing_state.book_after(rounds)
    if (different := difference([*book.items()], [*expected.items()])) is not None:
        return f"book is not that of {rounds} rounds: {different}"
    ticks = checkpoint.node_states.get("Tick", {})
    if ticks.get("ticks", 0) != rounds or difference(ticks.get("diary", {}), growing_state.diary_after(rounds)):
        return f"the node's own state is not that of {rounds} rounds"
    maps = meetings // MAPPED
    if not ITEMS * (maps - 1) <= weighings <= ITEMS * maps or weighings // ITEMS - sums not in (0, 1):
        return f"no consistent cut: {weighings} items were weighed in {maps} maps, and {sums} maps were summed up"
    if not meetings <= rounds <= meetings + 1 or not 2 * meetings <= branches <= 2 * rounds:
        return f"no consistent cut: {rounds} rounds, {branches} branches, {meetings} meetings"
    return None


def difference(found: Any, expected: Any) -> str | None:
    """Where two collections differ, in short; None where they are the same, in the same order."""
    listed, right = ([*each.items()] if isinstance(each, dict) else each for each in (found, expected))
    if listed == right:
        return None
    place = next((number for number, (one, other) in enumerate(zip(listed, right, strict=False)) if one != other), None)
    if place is None:
        return f"{len(listed)} items instead of {len(right)}"
    elsewhere = listed.index(right[place]) if right[place] in listed else "nowhere"
    found, wanted = (str(each[place])[:40] for each in (listed, right))
    return f"item {place} of {len(listed)} is {found!r}, not {wanted!r}, which is at {elsewhere}"
