"""A conversation: a graph whose state grows by a message a step, with a table of which one row changes."""

from __future__ import annotations

from typing import Any

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig

ROWS = 50


class Talk(Node):
    """Adds a message, and replaces one row. Where there is a window, it forgets half of the messages when they reach it."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        state, inputs = context.graph_state, context.inputs
        turn = await state.get("turn", 0)
        if await state.length("messages") >= inputs.get("window", inputs["length"]):
            await state.set("messages", await state.slice("messages", inputs["window"] // 2, None))
        await state.append("messages", message_of(turn))
        await state.set_item("table", f"row {turn % ROWS}", row_of(turn))
        await state.set("turn", turn + 1)
        return {**inputs, "done": turn + 1 >= inputs["length"]}


def conversation(config: CheckpointConfig, *, graph_id: str = "conversation") -> Graph:
    """The graph; its inputs say how many messages are added: ``{"length": 100}``, and how many are kept: ``"window"``."""
    talk = Talk()
    talk.on(done=False) >> talk
    talk.on(done=True) >> ExitNode()
    return Graph(start=talk, id=graph_id, state={"messages": [], "table": {}}, checkpoint_config=config)


def message_of(turn: int) -> dict[str, Any]:
    """About 1 KB."""
    return {"turn": turn, "text": f"message {turn} ".ljust(1_000, ".")}


def row_of(turn: int) -> str:
    return f"row of {turn} ".ljust(300, "-")


def state_after(turns: int, *, window: int = 0) -> dict[str, Any]:
    """What the state must be after so many steps."""
    first = (turns - window + window // 2 - 1) // (window // 2) * (window // 2) if window and turns > window else 0
    messages = [message_of(turn) for turn in range(first, turns)]
    table = {f"row {turn % ROWS}": row_of(turn) for turn in range(turns)}
    return {"messages": messages, "table": table, "turn": turns}
