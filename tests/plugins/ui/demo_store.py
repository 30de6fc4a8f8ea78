"""A store that a small company might have: refund agents, index jobs, reports and chats, with a run in every status.

    python -m tests.plugins.ui.demo_store sqlite:///demo.db

Everything is made through the public API, by a clock that only these programs move, so that each time the same is there. It is
``NOW`` in the end; as of then, ``index-wiki`` is under way, and ``index-photos`` has been silent for hours.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

from pydantic import BaseModel

from spark.errors import BudgetExceededError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext, Retry
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, KeepAll, open_backend
from spark.graphs.tasks import Budget, Task
from spark_testing import FakeClock

BEGIN: Final = datetime(2026, 3, 9, 6, 12, tzinfo=UTC)
NOW: Final = datetime(2026, 3, 12, 14, 30, tzinfo=UTC)


class DemoClock(FakeClock):
    """A clock on which nobody waits for a retry."""

    async def sleep(self, seconds: float) -> None:
        """Let a short time pass at once; a longer one passes when the programs say so."""
        if 0 < seconds <= 60:
            await asyncio.sleep(0)
            self.advance(seconds)
        else:
            await super().sleep(seconds)


@dataclass(frozen=True)
class DemoStore:
    """What holds it, and what its clock says."""

    backend: CheckpointBackend
    clock: DemoClock


@dataclass
class Order:
    """What a customer bought: a class of the program, which whoever looks at the store does not have."""

    number: int
    item: str
    price: Decimal
    tags: list[str] = field(default_factory=list)


class Decision(BaseModel):
    """What a person may answer."""

    approved: bool
    note: str = ""


ITEMS: Final = ("kettle", "lamp", "bicycle pump", "garden chair", "record player", "tent", "desk fan", "rucksack")


def make_demo_store(url: str) -> DemoStore:
    """Fill a new store."""
    store = DemoStore(open_backend(url), DemoClock(now=BEGIN))
    asyncio.run(_fill(store))
    return store


async def _fill(store: DemoStore) -> None:
    company = Company(store.backend, store.clock)
    try:
        await company.monday()
        await company.tuesday()
        await company.thursday()
    finally:
        await store.backend.close()  # which forgets nothing: memory stays


class Company:
    """Its programs, and the days on which they ran."""

    def __init__(self, backend: CheckpointBackend, clock: DemoClock) -> None:
        self.backend = backend
        self.clock = clock
        self.random = Random(7)
        self.manager = CheckpointManager(backend, clock=clock)

    async def monday(self) -> None:
        """Everything works."""
        for number in range(1001, 1009):
            self.pass_time(minutes=23)
            await self.refund(number, approve=True, settle=True)
        self.pass_time(hours=1)
        await self.index("index-docs", files=24)
        await self.graph("report-2026-03-09", report_graph).run({"day": "2026-03-09"})
        await self.manual("import-2025")

    async def tuesday(self) -> None:
        """Some things do not."""
        self.advance_to(datetime(2026, 3, 10, 9, tzinfo=UTC))
        await self.refund(1009, approve=False)
        await self.refund(1010, approve=True, declined=True)
        self.pass_time(minutes=40)
        await self.refund(1011, approve=True)
        with suppress(ValueError):
            await self.graph("report-2026-03-10", report_graph).run({"day": "2026-03-10", "broken": True})
        await self.what_if()
        with suppress(BudgetExceededError):
            await self.graph("chat-maria", chat_graph).run(Task(inputs={"turns": 40}, budget=Budget(max_iterations=17)))

    async def thursday(self) -> None:
        """Today: what is under way, waits, or stopped."""
        self.advance_to(NOW - timedelta(hours=5))
        await self.index("index-photos", files=60, killed_after=22)
        self.pass_time(minutes=50)
        await self.graph("chat-jonas", chat_graph).run({"turns": 60})
        await self.cancelled("report-2026-03-11")
        await self.drained("index-mail")
        await self.graph("report-2026-03-13", report_graph).run({"day": "2026-03-13", "wait": True}, wait=False)
        for number in (1012, 1013, 1014):
            self.pass_time(minutes=17)
            await self.refund(number)
        self.advance_to(NOW - timedelta(seconds=60))
        await self.index("index-wiki", files=40, killed_after=17)
        self.advance_to(NOW)

    async def refund(
        self, number: int, *, approve: bool | None = None, declined: bool = False, settle: bool = False
    ) -> None:
        """A refund agent, which asks a person where nobody decides, and waits for the bank where it says nothing."""
        id = f"refund-{number}"
        await self.graph(id, lambda: refund_graph(self, declined=declined)).run({"order": number})
        if approve is None:
            return
        self.pass_time(minutes=8)
        (question,) = await self.manager.interrupts(id)
        answer = {"approved": approve, "note": "" if approve else "Used for a year."}
        with suppress(ConnectionError):
            await self.graph(id, lambda: refund_graph(self, declined=declined)).run(
                resume={question.id: answer}, wait=declined
            )
        if settle:
            self.pass_time(minutes=55)
            await self.manager.send(id, "settled", "Wednesday")
            await self.graph(id, lambda: refund_graph(self)).run(resume=True)

    async def index(self, id: str, *, files: int, killed_after: int | None = None) -> None:
        """A job that indexes files, a few at a time.

        :param killed_after: as though it had been killed after so many checkpoints: those that it made later are not there.
        """
        await self.graph(id, lambda: index_graph(self)).run({"folder": id.removeprefix("index-"), "files": files})
        made = await self.manager.list_checkpoints(id)
        for info in made[killed_after:] if killed_after is not None else ():
            await self.manager.delete_checkpoint(info.checkpoint_id)

    async def what_if(self) -> None:
        """Somebody asks what would have happened: once in the same history, and twice under another id."""
        made = await self.manager.list_checkpoints("refund-1002")
        for info, id in ((made[0], "refund-1002-again"), (made[-2], "refund-1002-letter")):
            checkpoint = await self.manager.load_checkpoint(info.checkpoint_id)
            await checkpoint.fork(id, clock=self.clock).save(self.backend)
            self.pass_time(minutes=2)
            await self.graph(id, lambda: refund_graph(self)).run(resume=True)
        second = (await self.manager.list_checkpoints("refund-1003"))[1]
        checkpoint = await self.manager.load_checkpoint(second.checkpoint_id)
        await self.graph("refund-1003", lambda: refund_graph(self)).run(resume=checkpoint)

    async def manual(self, id: str) -> None:
        """A graph that was never run: somebody saved its state by hand."""
        graph = self.graph(id, report_graph)
        await graph.set_state("rows", 48_213)
        await graph.create_checkpoint("imported", {"by": "maria"}).save(self.backend)

    async def cancelled(self, id: str) -> None:
        """A run whose program was stopped while it worked."""
        prints = asyncio.Event()
        graph = self.graph(id, lambda: report_graph(prints))
        run = asyncio.create_task(graph.run({"day": id.removeprefix("report-")}))
        await prints.wait()
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run

    async def drained(self, id: str) -> None:
        """A job that was asked to stop for a deployment."""
        graph = self.graph(id, lambda: index_graph(self, at=9, do=lambda: graph.drain("deployment")))
        await graph.run({"folder": "mail", "files": 30})

    def graph(self, id: str, build: Callable[[], Node]) -> Graph:
        """One of the programs, as a new process would make it."""
        config = CheckpointConfig(backend=self.backend, trigger_on_iteration=1, retention=KeepAll())
        return Graph(build(), id=id, checkpoint_config=config, clock=self.clock, random=self.random)

    def pass_time(self, **much: float) -> None:
        """Let it be later."""
        self.clock.advance(timedelta(**much).total_seconds())

    def advance_to(self, moment: datetime) -> None:
        """Let it be that time."""
        self.clock.advance((moment - self.clock.utc_now()).total_seconds())


# --- The refund agent


class Receive(Node):
    """Begin the conversation with what the customer says."""

    def __init__(self, company: Company) -> None:
        super().__init__()
        self.company = company

    async def process(self, context: NodeContext) -> None:
        number = context.inputs["order"]
        item = ITEMS[number % len(ITEMS)]
        self.company.pass_time(seconds=0.4)
        await context.graph_state.set("order", Order(number, item, Decimal(f"{number % 70 + 19}.90"), tags=["web"]))
        await context.graph_state.append("messages", {"role": "customer", "content": f"The {item} I bought is broken."})


class Think(Node):
    """Ask the model what to do next."""

    def __init__(self, company: Company) -> None:
        super().__init__()
        self.company = company

    async def process(self, context: NodeContext) -> dict[str, Any]:
        messages = await context.graph_state.get("messages")
        self.company.pass_time(seconds=2 + len(messages))
        wanted = _next(messages)
        await context.graph_state.append("messages", {"role": "assistant", "content": wanted})
        await context.graph_state.set("tokens", await context.graph_state.get("tokens", 0) + 420 + 35 * len(messages))
        return wanted


def _next(messages: list[dict[str, Any]]) -> dict[str, Any]:
    role, content = messages[-1]["role"], messages[-1]["content"]
    if role == "customer":
        return {"next": "look up", "tools": ["find_order", "find_shipping"]}
    if role == "tools":
        return {"next": "refund", "amount": 45.90, "reason": "It broke within the warranty of two years."}
    if role == "bank":
        return {"next": "reply", "reply": f"Your money arrives: {content}."}
    return {"next": "reply", "reply": f"We can't refund this. {content['note']}"}


class LookUp(Node):
    """Call the tools that the model wants, at the same time."""

    retry = Retry(max_attempts=5, initial_interval=2.0, retry_on=ConnectionError)

    def __init__(self, company: Company) -> None:
        super().__init__()
        self.company = company

    async def process(self, context: NodeContext) -> None:
        order = await context.graph_state.get("order")
        found = await asyncio.gather(
            context.run("find_order", self._find_order, order.number),
            context.run("find_shipping", self._find_shipping, context.attempt),
        )
        await context.graph_state.append("messages", {"role": "tools", "content": found})

    def _find_order(self, number: int) -> dict[str, Any]:
        return {"order": number, "item": ITEMS[number % len(ITEMS)], "bought": "2025-08-14"}

    async def _find_shipping(self, attempt: int) -> dict[str, Any]:
        self.company.pass_time(seconds=1.2)
        if attempt == 1:
            raise ConnectionError("the carrier is unreachable")
        return {"carrier": "by bike", "price": 5}


class Approve(Node):
    """Ask a person, who may take days."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        order = await context.graph_state.get("order")
        question = {"refund": str(order.price), "order": order.number, "item": order.item}
        decision = await context.interrupt(question, key="refund", schema=Decision)
        await context.graph_state.append("messages", {"role": "person", "content": decision.model_dump()})
        return {"approved": decision.approved}


class Pay(Node):
    """Pay, and wait until the bank confirms it."""

    retry = Retry(max_attempts=3, initial_interval=5.0, retry_on=ConnectionError)

    def __init__(self, company: Company, *, declined: bool) -> None:
        super().__init__()
        self.company = company
        self.declined = declined

    async def process(self, context: NodeContext) -> None:
        await context.run("pay", self._pay)
        arrival = await context.wait_for("settled", timeout=timedelta(days=5), default="within a week")
        await context.graph_state.append("messages", {"role": "bank", "content": arrival})

    def _pay(self) -> str:
        self.company.pass_time(seconds=0.8)
        if self.declined:
            raise ConnectionError("payments.example.org:443: connection reset by peer")
        return "pay_5f2c"


def refund_graph(company: Company, *, declined: bool = False) -> Node:
    """Its nodes, wired."""
    receive, think, approve = Receive(company), Think(company), Approve()
    receive >> think
    think.on(next="look up") >> LookUp(company) >> think
    think.on(next="refund") >> approve
    think.on(next="reply") >> ExitNode()
    approve.on(approved=True) >> Pay(company, declined=declined) >> think
    approve.on(approved=False) >> think
    return receive


# --- The index


class Find(Node):
    """List the files of a folder."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        folder, files = context.inputs["folder"], context.inputs["files"]
        await context.graph_state.set("folder", folder)
        return {"files": [f"{folder}/page-{number:03}.md" for number in range(files)]}


class Read(Node):
    """Index one file."""

    def __init__(self, company: Company, *, at: int | None, do: Callable[[], Any] | None) -> None:
        super().__init__()
        self.company = company
        self.at = at
        self.do = do

    async def process(self, context: NodeContext) -> dict[str, Any]:
        self.company.pass_time(seconds=1.5)
        if self.do is not None and context.index == self.at:
            self.do()
        words = (len(str(context.inputs)) * 37 + (context.index or 0) * 101) % 900 + 100
        await context.graph_state.append("indexed", str(context.inputs))
        return {"file": context.inputs, "words": words}


class Merge(JoinNode):
    """Put the parts of the index together."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"files": len(context.inputs), "words": sum(each["words"] for each in context.inputs)}


def index_graph(company: Company, *, at: int | None = None, do: Callable[[], Any] | None = None) -> Node:
    """Its nodes, wired.

    :param do: what happens besides at the file of this number.
    """
    find, read, merge = Find(), Read(company, at=at, do=do), Merge()
    find.each("files", limit=4) >> read >> merge
    merge >> ExitNode()
    return find


# --- The report


class Collect(Node):
    """Get the figures of a day, once its day is over."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        if context.inputs.get("wait"):
            await context.sleep_until(datetime(2026, 3, 13, 2, tzinfo=UTC))
        await context.graph_state.set("figures", {"orders": 318, "refunds": 9, "revenue": Decimal("18240.35")})
        return dict(context.inputs)


class Check(Node):
    """Compare them with those of the bank."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        if context.inputs.get("broken"):
            raise ValueError("the bank's figures are of 2026-03-08, not of 2026-03-10")
        return dict(context.inputs)


class Print(Node):
    """Write the report."""

    def __init__(self, begun: asyncio.Event | None) -> None:
        super().__init__()
        self.begun = begun

    async def process(self, context: NodeContext) -> dict[str, Any]:
        if self.begun is not None:
            self.begun.set()
            await asyncio.Event().wait()
        await context.graph_state.set("report", f"Report of {context.inputs['day']}\n\nOrders   318\nRefunds    9\n")
        return {"pages": 3}


def report_graph(prints: asyncio.Event | None = None) -> Node:
    """Its nodes, wired.

    :param prints: set when the last one begins, which then never ends.
    """
    collect, check, printing = Collect(), Check(), Print(prints)
    collect >> check >> printing
    return collect


# --- The chat


class Reply(Node):
    """Answer, again and again: a state that grows."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        turn = len(await context.graph_state.get("messages", []))
        text = f"Turn {turn}. " + "The quick brown fox jumps over the lazy dog. " * (turn % 5 + 1)
        await context.graph_state.append("messages", {"role": ("user", "assistant")[turn % 2], "content": text})
        return {"turns": context.inputs["turns"], "done": turn + 1 >= context.inputs["turns"]}


def chat_graph() -> Node:
    """Its node, wired to itself."""
    reply = Reply()
    reply.on(done=False) >> reply
    reply.on(done=True) >> ExitNode()
    return reply


if __name__ == "__main__":
    make_demo_store(sys.argv[1])
