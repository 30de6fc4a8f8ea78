"""Small random graphs whose outcome doesn't depend on what finishes first, for the property tests of the engine."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from spark.graphs import JoinNode, Node, NodeContext

RULES: Mapping[str, Callable[[Any], bool]] = {
    "always": lambda content: content["fuel"] > 0,
    "even": lambda content: content["fuel"] > 0 and content["trail"] % 2 == 0,
    "odd": lambda content: content["fuel"] > 0 and content["trail"] % 2 == 1,
    "plenty": lambda content: content["fuel"] > 3,
}


@dataclass(frozen=True)
class Shape:
    """The wiring of a graph; node 0 is its start."""

    joins: tuple[bool, ...]
    arrows: tuple[tuple[int, int, str, int], ...]
    """Source, target, rule, priority."""
    fuel: int
    """How many executions there may be: each uses one up, the branches share the rest, a join adds up what arrives."""
    max_concurrency: int | None


class Pauses:
    """Varies the interleaving of parallel branches, the same way for one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    async def pause(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)


class Peril(Exception):
    """What a node in danger may raise."""


class Perils(Pauses):
    """Pauses out of which one in ten never comes back."""

    async def pause(self) -> None:
        await super().pause()
        if self._random.random() < 0.1:
            raise Peril


class Worker(Node):
    """Counts its execution in the state, and writes down what it was given."""

    def __init__(self, name: str, pauses: Pauses) -> None:
        super().__init__(name=name)
        self._pauses = pauses

    async def process(self, context: NodeContext) -> Any:
        fuel, trail = self.arrived(context.inputs)
        await self._pauses.pause()
        entry = [context.node, fuel, trail]
        await context.graph_state.update(f"count of {context.node}", lambda count: count + 1, 0)
        await context.graph_state.update("trace", lambda trace: sorted([*trace, entry]), [])
        await context.graph_state.update("keys", lambda keys: [*keys, context.idempotency_key], [])
        await self._pauses.pause()
        return {"fuel": (fuel - 1) // max(1, len(self.edges)), "trail": zlib.crc32(repr(entry).encode())}

    def arrived(self, inputs: Any) -> tuple[int, int]:
        return inputs["fuel"], inputs["trail"]


class Gatherer(Worker, JoinNode):
    """A worker that waits for all branches that can still arrive."""

    def arrived(self, inputs: Any) -> tuple[int, int]:
        trails = [one["trail"] for one in inputs]  # what arrives is in an order that does not depend on it either
        return sum(one["fuel"] for one in inputs), zlib.crc32(repr(trails).encode())


def wire(shape: Shape, pauses: Pauses) -> Node:
    """New nodes in this shape; the start of them."""
    nodes = [(Gatherer if joins else Worker)(f"n{place}", pauses) for place, joins in enumerate(shape.joins)]
    for source, target, rule, priority in shape.arrows:
        nodes[source].on(RULES[rule], priority=priority) >> nodes[target]
    return nodes[0]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Every node can be reached; beyond that there are loops, fan-outs, joins that reach each other, and dead ends."""
    size = draw(st.integers(2, 6))
    rules = st.sampled_from(sorted(RULES))
    tree = [(draw(st.integers(0, place - 1)), place, "always", 0) for place in range(1, size)]
    more = draw(
        st.lists(
            st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), rules, st.integers(0, 2)), max_size=2 * size
        )
    )
    return Shape(
        joins=tuple(draw(st.lists(st.booleans(), min_size=size, max_size=size))),
        arrows=(*tree, *more),
        fuel=draw(st.integers(3, 24)),
        max_concurrency=draw(st.sampled_from([None, None, 1, 2])),
    )
