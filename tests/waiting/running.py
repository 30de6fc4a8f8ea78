"""A program run to its end by one process after the other, each of which may be disturbed; and what is wrong with that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from spark.graphs import Graph, Message
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import CheckpointBackend
from spark.graphs.state.journal import is_open
from tests.waiting.building import graph_of
from tests.waiting.ledger import Ledger
from tests.waiting.model import START, Expected, expected_of
from tests.waiting.outside import GRAPH, Outside
from tests.waiting.programs import Chain, steps_of
from tests.waiting.world import Broken, Disturbance, IdleClock, Kind, Mortal, Process

MOST_PROCESSES = 300
GRACE = {"drain": 30.0, "stop": 0.0}


@dataclass
class Ran:
    """How a program was run."""

    value: Any
    state: dict[str, Any]
    commits: int
    ledger: Ledger
    durability: str
    moments: list[int] = field(default_factory=list)
    """How many moments each process had at which it could have been disturbed."""
    broken_promises: list[str] = field(default_factory=list)
    """What a process did not find as the one before it had left it."""

    def differences(self, expected: Expected) -> list[str]:
        """What is not as the model says."""
        found = {
            "value": (self.value, expected.value),
            "log": (Counter(self.state.get("log", [])), expected.log),
            "count": (self.state.get("count", 0), expected.count),
            "progress": (self.state.get("progress", {}), expected.progress),
            "commits": (self.commits, expected.commits),
        }
        wrong = [f"{name} is {is_!r}, not {should!r}" for name, (is_, should) in found.items() if is_ != should]
        if self.durability == "sync":
            wrong += self.ledger.repeated_attempts
        return wrong + self.broken_promises + self._wrong_payments(expected)

    def _wrong_payments(self, expected: Expected) -> list[str]:
        paid, allowed = self.ledger.payments, expected.calls + self.ledger.may_repeat()
        return [
            f"{call} was paid {paid[call]} times, not {expected.calls[call]} to {allowed[call]}"
            for call in paid.keys() | expected.calls.keys()
            if not expected.calls[call] <= paid[call] <= allowed[call]
        ]


async def run_program(
    program: Chain,
    random: Random,
    *,
    disturbances: Sequence[Disturbance] = (),
    store: CheckpointBackend | None = None,
    durability: str = "sync",
) -> Ran:
    """Run a program to its end.

    :param random: decides in which order questions are answered and messages sent, and how the run is called.
    :param disturbances: what happens to the first process, the second…; nothing happens to those that follow.
    """
    return await _Running(program, random, store or InMemoryCheckpointBackend(), durability).to_the_end(disturbances)


class Turns:
    """The turns of processes at a program: what each does is decided here, the same for a real one.

    :param random: of this turn.
    """

    def __init__(
        self, program: Chain, store: CheckpointBackend, ledger: Ledger, clock: IdleClock, *, durability: str
    ) -> None:
        self._program = program
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._durability = durability
        self.manager = CheckpointManager(store)
        self._messages = expected_of(program).signals

    async def take(
        self, process: Process, random: Random, *, is_first: bool, due: datetime | None, claim: bool = False
    ) -> tuple[Graph, Message | None]:
        """One process runs the program, as far as it gets.

        :param is_first: none has run it before.
        :param due: when the run goes on by itself, if the last process said so.
        :param claim: whether it claims the graph.
        :returns: its graph, and what it returned; None if it did not come to that.
        """
        outside = Outside(self.manager, self._messages, self._ledger, self._clock, random)
        answers = {} if is_first else await outside.act(due)
        graph = self._graph(process, random)
        is_watched = random.random() < 0.5
        waits = (is_watched or outside.has_sent_all) and random.random() < 0.6
        task = asyncio.ensure_future(graph.run({"value": START}, resume=answers or True, wait=waits, claim=claim))
        process.stop = _stopping(task, graph)
        try:
            if not is_watched:
                return graph, await task
            async with outside.acting_meanwhile():
                return graph, await task
        except Broken as error:
            if not process.is_dead:
                what, place, attempt = error.args
                self._ledger.note("repaired", what)
                self._ledger.note("attempt", place, str(attempt + 1))
        except BaseException as error:
            if not process.is_dead and not isinstance(error, asyncio.CancelledError):
                raise
        finally:
            if process.is_stopped:
                self._ledger.note("stopped")  # a call that was left is not recorded any more, however long it takes
        return graph, None

    def _graph(self, process: Process, random: Random) -> Graph:
        config = CheckpointConfig(
            backend=Mortal(self._store, process),
            trigger_on_iteration=random.choice([1, 1, 2, 5]),
            durability=self._durability,
            signal_poll=600.0,
        )
        on_failure = random.choice(["finish", "cancel"])
        concurrency = random.choice([None, None, 1, 2])
        return graph_of(
            self._program,
            process,
            checkpoint_config=config,
            clock=self._clock,
            on_failure=on_failure,
            max_concurrency=concurrency,
        )


def _stopping(task: asyncio.Future[Message], graph: Graph) -> Any:
    loop = asyncio.get_running_loop()

    def stop(kind: Kind) -> None:
        if kind == "cancel":
            loop.call_soon_threadsafe(task.cancel)
        else:
            graph.drain("to see what becomes of it", grace=GRACE[kind])

    return stop


class _Running:
    def __init__(self, program: Chain, random: Random, store: CheckpointBackend, durability: str) -> None:
        self._random = random
        self._has_limits = any(step.is_limited for step in steps_of(program))
        self._ledger = Ledger()
        self._durability = durability
        self._clock = IdleClock()
        self._turns = Turns(program, store, self._ledger, self._clock, durability=durability)
        self._left: dict[str, Any] = {}
        """What the last process has left of the journal."""
        self._broken_promises: list[str] = []
        self._begun_at = 0
        """How many lines the ledger had when the last process began."""

    async def to_the_end(self, disturbances: Sequence[Disturbance]) -> Ran:
        moments, due = [], None
        for number in range(MOST_PROCESSES):
            disturbance = disturbances[number] if number < len(disturbances) else None
            process = Process(self._ledger, self._clock, disturbance)
            self._begun_at = len(self._ledger.lines)
            graph, message = await self._turns.take(process, self._random, is_first=not number, due=due)
            moments.append(process.moments)
            stored = await self._turns.manager.load_latest(GRAPH)
            if stored is not None:
                self._check(stored, message, graph, process)
            due = message.due if message is not None else None
            if message is None or message.status != "completed":
                continue
            return Ran(
                message.content["value"],
                graph.get_state_snapshot(),
                stored.execution_metadata["iteration"] if stored is not None else 0,
                self._ledger,
                self._durability,
                moments,
                self._broken_promises,
            )
        raise AssertionError(f"The program has not ended after {MOST_PROCESSES} processes: {self._left}")

    def _check(self, stored: GraphCheckpoint, message: Message | None, graph: Graph, process: Process) -> None:
        """See whether a process has left what the one before it, its message and its graph promise."""
        journal = stored.frontier.get("journal", {})
        wrong = [*differing_waits(self._left, journal), *asked_again(journal, self._ledger)]
        if message is not None:
            wrong += differing_message(message, stored.execution_metadata)
            kind = process.disturbance.kind if process.disturbance is not None else None
            is_drained = message.status == "drained" and kind == "drain"
            if is_drained and not self._has_limits:
                left = self._ledger.lines[self._begun_at :]
                wrong += [f"{line} although there was time" for line in left if line[0] == "left"]
        if not process.is_dead and graph.progress is not None:
            found, said = stored.execution_metadata["iteration"], graph.progress.iteration
            wrong += [f"the run ended at iteration {said}, and {found} is stored"] if found != said else []
        self._left, self._broken_promises = journal, [*self._broken_promises, *wrong]


def differing_waits(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What a step waited for, and waits for in another way now, or since another time."""
    fixed = ("id", "since", "due")
    return [
        f"{key} was {before[key]}, and is {entry}"
        for key, entry in now.items()
        if key in before and before[key].get("failure") == entry.get("failure")
        for name in fixed
        if before[key].get(name) != entry.get(name)
    ]


def asked_again(journal: dict[str, Any], ledger: Ledger) -> list[str]:
    """The questions that are open although a run was given the answer, and a step was told."""
    answered = ledger.given & ledger.told
    open = [entry["payload"] for entry in journal.values() if "payload" in entry and is_open(entry)]
    return [f"the question {question} was answered, and is asked again" for question in open if question in answered]


def differing_message(message: Message, stored: dict[str, Any]) -> list[str]:
    """Where a message, and what is stored of its run, are not the same."""
    due = message.due.isoformat() if message.due is not None else None
    found: dict[str, tuple[Any, Any]] = {
        "status": (message.status, stored["reason"]),
        "due": (due, stored.get("due")),
    }
    if message.status != "drained":  # then a step that is to be repeated may have asked one, too
        found["questions"] = len(message.interrupts), stored.get("questions", 0)
    return [f"{name} is {said!r}, and stored is {is_!r}" for name, (said, is_) in found.items() if said != is_]
