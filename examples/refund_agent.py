"""A refund agent: the model looks an order up and wants to refund it; a person approves; the bank is paid, and confirms.

    python examples/refund_agent.py sqlite:///refunds.db            # asks a person, and ends
    spark answer refund-17 --url sqlite:///refunds.db               # shows the question, with its id
    spark answer refund-17 'ID={"approved": true}' --url sqlite:///refunds.db
    python examples/refund_agent.py sqlite:///refunds.db            # pays, and waits for the bank; Ctrl-C stops it
    spark send refund-17 settled '"Monday"' --url sqlite:///refunds.db
    python examples/refund_agent.py sqlite:///refunds.db            # tells the customer

Days may pass between any two of these lines. Kill it whenever you like: the same command resumes it, and nothing is paid
twice. With ``--unattended``, it approves and confirms by itself, and gets to the end in one go.

The model and the shop are stand-ins, at the end of this file, so nothing leaves this machine.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spark.graphs import ExitNode, Graph, Message, Node, NodeContext, Retry
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager


class Receive(Node):
    """Begin the conversation with what the customer says."""

    async def process(self, context: NodeContext) -> None:
        await context.graph_state.append("messages", {"role": "customer", "content": context.inputs["message"]})


class Think(Node):
    """Ask the model what to do next: look something up, refund, or reply."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        wanted = ask_model(await context.graph_state.get("messages"))
        await context.graph_state.append("messages", {"role": "assistant", "content": wanted})
        return wanted


class LookUp(Node):
    """Call the tools that the model wants, at the same time. If one fails, only that one is called again."""

    retry = Retry(max_attempts=10, initial_interval=0.2, retry_on=ConnectionError)

    def __init__(self, shop: "Shop") -> None:
        self.shop = shop

    async def process(self, context: NodeContext) -> None:
        order, tools = context.inputs["order"], context.inputs["tools"]
        found = await asyncio.gather(*(context.run(name, self.shop.tools[name], order) for name in tools))
        await context.graph_state.append("messages", {"role": "tools", "content": found})


class Decision(BaseModel):
    approved: bool
    note: str = ""


class Approve(Node):
    """Ask a person, who may take days."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        question = {"refund": context.inputs["amount"], "order": context.inputs["order"]}
        decision = await context.interrupt(question, key="refund", schema=Decision)
        await context.graph_state.append("messages", {"role": "person", "content": decision.model_dump()})
        return {**context.inputs, "approved": decision.approved}


class Pay(Node):
    """Pay, and wait until the bank confirms it. Then the step is repeated, but not the payment."""

    def __init__(self, shop: "Shop") -> None:
        self.shop = shop

    async def process(self, context: NodeContext) -> None:
        key = context.idempotency_key_for("pay")
        await context.run("pay", self.shop.pay, context.inputs["order"], context.inputs["amount"], key=key)
        arrival = await context.wait_for("settled", timeout=timedelta(days=5), default="within a week")
        await context.graph_state.append("messages", {"role": "bank", "content": arrival})


def build(store: Any, shop: "Shop", **options: Any) -> Graph:
    receive, think, approve = Receive(), Think(), Approve()
    receive >> think
    think.on(next="look up") >> LookUp(shop) >> think
    think.on(next="refund") >> approve
    think.on(next="reply") >> ExitNode()
    approve.on(approved=True) >> Pay(shop) >> think
    approve.on(approved=False) >> think
    config = CheckpointConfig(backend=store, trigger_on_iteration=1)
    return Graph(receive, id="refund-17", checkpoint_config=config, **options)


async def run(graph: Graph) -> Message:
    """Begin the run or resume it, and stop at the next boundary when this process is told to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, graph.drain, number.name)
    return await graph.run({"message": "The kettle of order 17 is broken."}, resume=True)


# That is all you would write. What follows stands in for the model, the shop, and the people.


def ask_model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What a model wants that has read the conversation: always the same."""
    role, content = messages[-1]["role"], messages[-1]["content"]
    if role == "customer":
        return {"next": "look up", "tools": ["find_order", "find_shipping"], "order": 17}
    if role == "tools":
        return {"next": "refund", "order": 17, "amount": content[0]["price"] + content[1]["price"]}
    if role == "bank":
        return {"next": "reply", "reply": f"Your money arrives: {content}."}
    return {"next": "reply", "reply": f"We can't refund this. {content['note']}".strip()}


class Shop:
    """What the agent can do, with a list of payments in a file. The carrier is unreachable once in each process."""

    def __init__(self, payments: Path) -> None:
        self.payments = payments
        self.tools: dict[str, Callable[[int], Any]] = {
            "find_order": self.find_order,
            "find_shipping": self.find_shipping,
        }
        self.is_carrier_reachable = False

    def find_order(self, order: int) -> dict[str, Any]:
        return {"item": "kettle", "price": 40}

    async def find_shipping(self, order: int) -> dict[str, Any]:
        if not self.is_carrier_reachable:
            self.is_carrier_reachable = True
            raise ConnectionError("the carrier is unreachable")
        return {"carrier": "by bike", "price": 5}

    def pay(self, order: int, amount: int, *, key: str) -> None:
        """Pay once for each key, as payment services do."""
        paid = self.payments.read_text().splitlines() if self.payments.exists() else []
        if not any(line.startswith(f"{key} ") for line in paid):
            with self.payments.open("a") as payments:
                payments.write(f"{key} {order} {amount}\n")


async def run_unattended(graph: Graph) -> Message:
    """Approve and confirm at once what others would in days."""
    assert graph.checkpoint_backend is not None
    await CheckpointManager(graph.checkpoint_backend).send(graph.id, "settled", "Monday", key="confirmation-1")
    message = await run(graph)
    while message.status == "interrupted":
        message = await graph.run(resume={question.id: {"approved": True} for question in message.interrupts})
    return message


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="URL of the checkpoint store")
    parser.add_argument("--payments", type=Path, default=Path("payments.txt"), help="where payments are listed")
    parser.add_argument("--unattended", action="store_true", help="approve, and confirm the payment, without asking")
    options = parser.parse_args()
    print(f"  the refund agent, stored in {options.store}", flush=True)
    graph = build(options.store, Shop(options.payments))
    message = await (run_unattended(graph) if options.unattended else run(graph))
    for question in message.interrupts:
        print(f"  to be approved: {question.payload}")
        print(f"  spark answer {graph.id} '{question.id}={{\"approved\": true}}' --url {options.store}")
    if message.status == "drained":
        print(f"  stopped by {message.reason}; the same command resumes it")
    if message.status == "completed":
        print(json.dumps(message.content))


if __name__ == "__main__":
    asyncio.run(main())
