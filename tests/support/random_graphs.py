"""Small random graphs whose outcome doesn't depend on what finishes first, for the property tests of the engine."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, ItemError, JoinNode, Node, NodeContext

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
    maps: Mapping[int, Map] = field(default_factory=dict)
    """Place of an arrow to what it maps over, if it does."""


@dataclass(frozen=True)
class Map:
    key: str
    limit: int | None

    @property
    def on_error(self) -> Any:
        return "collect" if self.key == "risky" else "stop"


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
        entry = [context.node, fuel, trail, *context.path]
        await context.graph_state.update(f"count of {context.node}", lambda count: count + 1, 0)
        await context.graph_state.update("trace", lambda trace: sorted([*trace, entry], key=str), [])
        await context.graph_state.update("keys", lambda keys: [*keys, context.idempotency_key], [])
        await self._pauses.pause()
        return packet((fuel - 1) // max(1, len(self.edges)), zlib.crc32(repr(entry).encode()))

    def arrived(self, inputs: Any) -> tuple[int, int]:
        if inputs.get("is_bad"):
            raise ValueError("a bad item")
        return inputs["fuel"], inputs["trail"]


def packet(fuel: int, trail: int) -> dict[str, Any]:
    """An output, with lists that maps may run over: none to three items, which share the fuel."""
    count = trail % 4
    items = [{"fuel": fuel // count, "trail": zlib.crc32(b"%d %d" % (trail, place))} for place in range(count)]
    risky = {f"k{place}": {**item, "is_bad": item["trail"] % 3 == 0} for place, item in enumerate(items)}
    return {"fuel": fuel, "trail": trail, "items": items, "risky": risky}


class Gatherer(Worker, JoinNode):
    """A worker that waits for all branches that can still arrive."""

    def arrived(self, inputs: Any) -> tuple[int, int]:
        arrived = [one for one in inputs if not isinstance(one, ItemError)]
        trails = [one.key if isinstance(one, ItemError) else one["trail"] for one in inputs]
        # What arrives is in an order that does not depend on the interleaving either.
        return sum(one["fuel"] for one in arrived), zlib.crc32(repr(trails).encode())


def wire(shape: Shape, pauses: Pauses) -> Node:
    """New nodes in this shape; the start of them."""
    nodes = [(Gatherer if joins else Worker)(f"n{place}", pauses) for place, joins in enumerate(shape.joins)]
    for place, (source, target, rule, priority) in enumerate(shape.arrows):
        edge = nodes[source].on(RULES[rule], priority=priority)
        if place in shape.maps:
            each = shape.maps[place]
            edge = edge.each(each.key, limit=each.limit, on_error=each.on_error)
        edge >> nodes[target]
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


@st.composite
def map_shapes(draw: st.DrawFn, *, keys: Sequence[str] = ("items", "risky")) -> Shape:
    """The same with maps: nested, in loops, into one join, with joins as workers, and, over ``risky``, with errors."""
    shape = draw(shapes())
    places = draw(st.lists(st.integers(0, len(shape.arrows) - 1), min_size=1, max_size=6))
    limits = st.sampled_from([None, None, 1, 2])
    mapped = replace(
        shape,
        fuel=draw(st.integers(8, 50)),
        maps={place: Map(draw(st.sampled_from(keys)), draw(limits)) for place in places},
    )
    try:
        Graph(wire(mapped, Pauses(0)))
    except GraphDefinitionError:  # nothing would get the errors
        return replace(mapped, maps={place: replace(each, key="items") for place, each in mapped.maps.items()})
    return mapped
