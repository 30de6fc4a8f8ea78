"""The nodes that the suite has executed elsewhere: workers import them from here.

What they do there, they write into a file that their input names, one line each.
"""

from __future__ import annotations

import asyncio
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from spark.graphs import JoinNode, Node, NodeContext, node

MEANWHILE = 0.1
"""Seconds that something takes during which something else happens."""


def note(file: str, what: str) -> None:
    """Write down what happens here."""
    with Path(file).open("a", encoding="utf-8") as noted:
        noted.write(f"{what}\n")


async def until_noted(context: NodeContext, what: str) -> None:
    """Wait until another node has written this down."""
    while what not in Path(context.inputs["file"]).read_text(encoding="utf-8"):  # noqa: ASYNC110 - it may be another process
        await asyncio.sleep(0.01)


def add(count: int, more: int = 1) -> int:
    """An update that is applied at the commit."""
    return count + more


@dataclass(frozen=True)
class Adder:
    """Something to which a function is bound."""

    more: int

    def added(self, count: int) -> int:
        """A method."""
        return count + self.more

    @classmethod
    def five(cls, count: int) -> int:
        """A method of the class."""
        return cls(5).added(count)

    @staticmethod
    def seven(count: int) -> int:
        """A function of the class."""
        return count + 7


class OtherAdder(Adder):
    """Another class with the same methods."""

    def added(self, count: int) -> int:
        """Another one."""
        return count + 10 * self.more


class Updates(Node):
    """Updates by functions of each kind that can be found by a name."""

    async def process(self, context: NodeContext) -> Any:
        state = context.graph_state
        added: list[Callable[[int], int]] = [
            partial(add, more=2),
            partial(operator.add, 3),
            Adder.five,
            OtherAdder.five,
            Adder.seven,
            Adder(9).added,
        ]
        for number, function in enumerate(added):
            await state.update(f"added {number}", function, 1)
        await state.update("negative", operator.neg, 1)
        await state.update("largest", max, [1, 3, 2])
        await state.update("upper", str.upper, "a")
        await state.update("joined", "-".join, ["a", "b"])
        await state.update("item", operator.itemgetter(1), [1, 3, 2])
        await state.update("split", operator.methodcaller("split", sep=","), "a,b")
        return await state.get("added 5")


class Work(Node):
    """Reads, sets, updates, appends and deletes; counts in its own state."""

    async def process(self, context: NodeContext) -> Any:
        state = context.graph_state
        await state.update("total", add, 0)
        await state.append("names", "of a step")
        await state.set_item("by name", context.node, {"attempt": context.attempt})
        await state.delete_item("by name", "nobody")
        await state.set(f"seen by {context.node}", await state.get("kept"))
        await state.delete(f"given to {context.node}")
        context.state["times"] = context.state.get("times", 0) + 1
        return {"from": context.node, "key": context.idempotency_key, "inputs": context.inputs}


class Made(Node):
    """A plain node that was made with arguments."""

    def __init__(self, number: int, *, name: str | None = None, tags: tuple[str, ...] = ()) -> None:
        super().__init__(name=name)
        self.number = number
        self.tags = tags

    def process(self, context: NodeContext) -> Any:
        context.state["was here"] = True
        return {"number": self.number, "tags": self.tags, "of": context.inputs}


class Split(Node):
    """The start of a map over what its input says."""

    async def process(self, context: NodeContext) -> Any:
        return {"items": context.inputs["items"]}


class Place(Node):
    """The place of an item in its map."""

    def process(self, context: NodeContext) -> Any:
        return [context.index, context.key, list(context.path)]


class Echo(Node):
    """Returns what it is given."""

    def process(self, context: NodeContext) -> Any:
        return context.inputs


class Pid(Node):
    """Says where it is executed."""

    def process(self) -> int:
        return os.getpid()


class StartsLoop(Node):
    """A plain node that uses an event loop, and then returns something to await."""

    def process(self) -> Any:
        return asyncio.sleep(0, asyncio.run(asyncio.sleep(0, "both")))


class Keys(Node):
    """The keys of the state, its own among them."""

    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.set("new", 1)
        return sorted(await context.graph_state.keys())


class Conflicts(Node):
    """The last one overwrites what the first one has committed after it had looked."""

    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.get("kept")
        note(context.inputs["file"], f"{context.node} looks")
        await until_noted(context, "last looks" if context.node == "first" else "first is committed")
        await context.graph_state.set("kept", context.node)


class HardToMakeError(Exception):
    """Is made with something else than its ``args``, and with what it says."""

    def __init__(self, first: int, second: int, *, why: Any = None) -> None:
        super().__init__(f"{first} and {second}")
        self.first = first
        self.why = why


class RefusedError(ExceptionGroup[Exception]):
    """A group of its own."""


class Fails(Node):
    """Fails in the way that its input names."""

    async def process(self, context: NodeContext) -> Any:
        how = context.inputs["how"]
        if how == "plain":
            raise LookupError("nothing there", 3)
        if how == "own":
            raise HardToMakeError(1, 2)
        if how == "lasting":
            raise HardToMakeError(1, 2, why=threading.Lock())
        if how == "group":
            raise group_of_errors()
        if how == "chain":
            chain_errors()
        if how == "group once" and context.attempt == 1:
            raise RefusedError("both", [ConnectionError("lost")])
        if how == "exit":
            raise SystemExit(3)
        if how == "unsendable":
            return {"thread": threading.Lock()}
        if how == "twice" and context.attempt < 3:
            raise ConnectionError(f"lost {context.attempt}")
        before = context.last_error
        return {"attempt": context.attempt, "before": before and before.message, "key": context.idempotency_key}


def group_of_errors() -> ExceptionGroup[Exception]:
    """Groups within a group, and notes."""
    missing = FileNotFoundError(2, "No such file", "/a")
    missing.add_note("looked here")
    group = RefusedError("outer", [missing, ExceptionGroup("inner", [HardToMakeError(1, 2, why=("x", {"y"}))])])
    group.add_note("of the group")
    return group


def chain_errors() -> None:
    """Raises an error that has a cause, which came while another one was handled."""
    try:
        try:
            raise KeyError("missing")
        except KeyError:
            int("b")
    except ValueError as error:
        raise LookupError("because of that") from error


class Lost(Node):
    """Loses its worker at the first attempt, in the way that its input names; once it has paid."""

    async def process(self, context: NodeContext) -> Any:
        paid = await context.run("pay", pay, context.inputs["file"])
        if context.attempt == 1:
            if context.inputs["how"] == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"paid": paid, "attempt": context.attempt}


class LostPlainly(Node):
    """The same for a plain node, each time."""

    def process(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def pay(file: str) -> int:
    """A durable call."""
    with Path(file).open("a", encoding="utf-8") as opened:
        opened.write("paid\n")
    return 5


class Sleeps(Node):
    """Takes a while."""

    async def process(self, context: NodeContext) -> Any:
        note(context.inputs["file"], "begins")
        await asyncio.sleep(MEANWHILE)
        return {**context.inputs, "slept": True}


class Held(Node):
    """Ends when somebody has written down that it may, with what it was given."""

    async def process(self, context: NodeContext) -> Any:
        note(context.inputs["file"], f"{context.node} begins")
        await until_noted(context, "go on")
        return context.inputs


class Beats(Node):
    """Gives signs of life, not so close together that a worker keeps some of them to itself."""

    async def process(self, context: NodeContext) -> Any:
        for _ in range(4):
            context.heartbeat()
            await asyncio.sleep(MEANWHILE)
        return "alive"


class Waits(Node):
    """Waits until it is cancelled, and writes that down."""

    async def process(self, context: NodeContext) -> Any:
        note(context.inputs["file"], "begins")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            note(context.inputs["file"], "is cancelled")
            raise


class EndsLate(Node):
    """At the first attempt, goes on after it was cancelled, and returns something all the same."""

    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.append("done", context.attempt)
        if context.attempt == 1:
            context.heartbeat()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "late"
        return "in time"


class Spins(Node):
    """A plain node that never ends, and writes down where it is executed."""

    def process(self, context: NodeContext) -> Any:
        note(context.inputs["file"], str(os.getpid()))
        while True:
            time.sleep(0.01)


class Talks(Node):
    """Makes a durable call, commits a part, asks somebody, waits for a message, and for a time."""

    async def process(self, context: NodeContext) -> Any:
        paid = await context.run("pay", pay, context.inputs["file"])
        await context.graph_state.set("paid", paid)
        await context.commit()
        seen = await context.graph_state.get("paid")
        answer = await context.interrupt({"paid": seen}, key="sure", schema=bool)
        message = await context.wait_for("note")
        await context.sleep(0.001)
        return {"paid": paid, "seen": seen, "answer": answer, "message": message}


WITHIN: ContextVar[str] = ContextVar("WITHIN", default="nothing")
"""What was entered around this code."""


@contextmanager
def within(texts: Mapping[str, str]) -> Iterator[None]:
    """What a handler has entered in the worker."""
    token = WITHIN.set(texts["name"])
    try:
        yield
    finally:
        WITHIN.reset(token)


class SeesWithin(Node):
    """Says what was entered around it, and around its durable calls, one of which fails."""

    async def process(self, context: NodeContext) -> Any:
        with suppress(LookupError):
            await context.run("fails", chain_errors)
        return [WITHIN.get(), await context.run("succeeds", WITHIN.get), WITHIN.get()]


class InParts(Node):
    """Commits in parts, and fails once after the first."""

    async def process(self, context: NodeContext) -> Any:
        before = await context.graph_state.get("parts", [])
        if not before:
            await context.graph_state.append("parts", "first")
            context.state["parts"] = 1
            await context.commit()
            raise ConnectionError("after the first part")
        await context.graph_state.append("parts", "second")
        return {"before": before, "own": context.state["parts"]}


class Emits(Node):
    """Emits numbers."""

    async def process(self, context: NodeContext) -> Any:
        for number in range(20):
            await context.emit(number)
        return "emitted"


class SendsAnySize(Node):
    """Emits and commits large values and small ones, without waiting for the large ones."""

    async def process(self, context: NodeContext) -> Any:
        commits = []
        for size in (200_000, 1, 200_000, 1, 1):
            context.emit([size] * size)
            await context.graph_state.set("last", [size] * size)
            commits.append(asyncio.create_task(context.commit()))
            await asyncio.sleep(0)
        await asyncio.gather(*commits)
        read = len(await context.graph_state.get("last"))
        await context.graph_state.set("last", "all")
        context.emit([3] * 200_000)
        return read


@node
def emits_plainly(context: NodeContext) -> Any:
    """The same from a plain node."""
    for number in range(20):
        context.emit(number)
    return "emitted"


def branches() -> Node:
    """A graph with branches, whose steps leave traces in the states."""
    start = Work(name="start")
    made = Made(3, name="c", tags=("x",))
    start >> [Work(name="a"), Work(name="b"), made] >> JoinNode(name="join") >> Work(name="z")
    return start
