"""A graph that goes through states, one at each step, to try rules on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spark.graphs import Node, NodeContext


class BreaksOffError(Exception):
    """Ends a walk before its end."""


class Step(Node):
    """Does nothing."""

    async def process(self, context: NodeContext) -> Any:
        return {}


class Walk(Node):
    """Commits one state after the other, each in a step of its own.

    :param breaks_at: raises instead of the step with this number, counted from 0.
    """

    def __init__(self, states: Sequence[Mapping[str, Any]], *, name: str, breaks_at: int | None) -> None:
        super().__init__(name=name)
        self._states, self._breaks_at = states, breaks_at

    async def process(self, context: NodeContext) -> Any:
        place = await context.graph_state.get("steps walked", 0)
        if place == self._breaks_at:
            raise BreaksOffError
        for key, value in self._states[place].items():
            await context.graph_state.set(key, value)
        await context.graph_state.set("steps walked", place + 1)
        return {"more": place + 1 < len(self._states)}


def walk(
    states: Sequence[Mapping[str, Any]], *, breaks_at: int | None = None, names: Sequence[str] = ("walk",)
) -> Node:
    """The first node of the graph.

    :param breaks_at: as for ``Walk``.
    :param names: of the node that walks, and of others that come after it.
    """
    first: Node = Walk(states, name=names[0], breaks_at=breaks_at)
    first.on(more=True) >> first
    if names[1:]:
        node: Node = Step(name=names[1])
        first.on(more=False) >> node
        for name in names[2:]:
            node = node >> Step(name=name)
    return first
