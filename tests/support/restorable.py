"""Node classes and functions that a checkpoint can be rebuilt from, once this module is imported."""

from __future__ import annotations

from typing import Any

from spark.graphs import ExitNode, JoinNode, Node, NodeContext, node


class Begin(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.update("log", lambda log: [*log, context.node], [])
        return {"round": context.inputs.get("round", 0) + 1, "again": context.inputs.get("round", 0) < 2}


class Branch(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.update("log", lambda log: [*log, context.node], [])
        context.state["rounds"] = context.inputs["round"]
        return context.inputs


@node
async def note(context: NodeContext) -> Any:
    await context.graph_state.update("log", lambda log: [*log, context.node], [])
    return context.inputs


class Meet(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs[0]


def wired() -> Node:
    """Three rounds of a fan-out with a join, then the end. The priorities make its last edge the first to be asked."""
    begin, meet = Begin(), Meet(name="meet")
    begin >> [Branch(), Branch(name="named"), type(note)(note.process)] >> meet
    meet.on(again=True) >> begin
    meet.on(again=False, priority=5) >> ExitNode()
    return begin


class Made(Node):
    """Made with an argument, which no checkpoint stores."""

    def __init__(self, value: int) -> None:
        self.value = value

    async def process(self, context: NodeContext) -> Any:
        return {"value": self.value}
