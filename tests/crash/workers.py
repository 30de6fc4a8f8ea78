"""The worker processes of ``prove_workers``, the runs that they share, and what they note of them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from spark.graphs import Graph, Message, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, Claim, RunInfo
from spark.graphs.checkpoint.derived import claims, processes
from tests.crash.children import be_a_child
from tests.crash.stores import MakeBackend

STEPS: Final = 4
AT_ONCE: Final = 4
"""Runs that one worker has under way."""
SHORT: Final = 0.01
"""Seconds that a step takes at most."""
EVERY: Final = 0.2
"""Seconds between two looks of an idle worker."""
LONGEST_LIFE: Final = 1_800
"""Seconds after which a worker ends by itself, should nobody kill it."""
LONG: Final = 40
"""Each run of so many has a step that takes longer than its claim would last unrenewed."""


@dataclass(frozen=True)
class Work:
    """What the workers share.

    :param folder: of what they note.
    :param ttl: seconds, of their claims.
    """

    make: MakeBackend
    folder: Path
    ttl: float

    @property
    def ledger(self) -> Path:
        """A line for each payment: graph id, step, process, time."""
        return self.folder / "ledger"

    @property
    def journal(self) -> Path:
        """A line for each run that is taken up or given back: graph id, process, time, what became of it."""
        return self.folder / "journal"

    def graph(self, store: CheckpointBackend, graph_id: str) -> Graph:
        pays = Pays(self)
        pays.on(done=False) >> pays
        config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=True, max_checkpoints=3)
        return Graph(pays, id=graph_id, state={"paid": []}, checkpoint_config=config)

    async def submit(self, runs: int) -> str:
        """Store the runs, none of which takes a step yet. Returns nothing."""
        self.ledger.touch()
        self.journal.touch()
        async with self.make() as store:
            graphs = [self.graph(store, f"run-{number:04d}") for number in range(runs)]
            for some in range(0, runs, 100):
                await asyncio.gather(*(each.submit({"from": "the proof"}) for each in graphs[some : some + 100]))
        return ""

    def start(self, *, plant: Callable[[], None]) -> int:
        """A worker process, which works until it is killed or told to stop.

        :param plant: plants a bug, perhaps.
        """
        process = os.fork()
        if process == 0:
            be_a_child(partial(self._work, plant), longest=LONGEST_LIFE)
        return process

    async def _work(self, plant: Callable[[], None]) -> None:
        _be_another_machine()
        plant()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(15, stop.set)
        async with self.make() as store:
            claim = Claim(ttl=self.ttl)
            build = partial(self.graph, store)
            await CheckpointManager(store).work(
                build, limit=AT_ONCE, every=EVERY, claim=claim, stop=stop, tell=self._note
            )

    def _note(self, run: RunInfo, outcome: Message | Exception | str | None) -> None:
        if isinstance(outcome, Exception):
            became = f"failed {type(outcome).__name__}: {outcome}"
        elif isinstance(outcome, Message):
            became = outcome.status
        else:
            became = "taken up" if outcome is None else f"left alone: {outcome}"
        append(self.journal, f"{run.graph_id} {os.getpid()} {time.monotonic()} {became}")


class Pays(Node):
    """Pays, and counts in the state how often."""

    def __init__(self, work: Work) -> None:
        super().__init__(name="pays")
        self._work = work

    async def process(self, context: NodeContext) -> Any:
        number = await context.graph_state.length("paid")
        await context.run("pay", self._pay, context.graph_id, number)
        is_long = number == 1 and int(context.graph_id.rpartition("-")[2]) % LONG == 0
        await asyncio.sleep(2.5 * self._work.ttl if is_long else random.uniform(0, SHORT))
        await context.graph_state.append("paid", number)
        return {"done": number + 1 == STEPS}

    def _pay(self, graph_id: str, number: int) -> None:
        append(self._work.ledger, f"{graph_id} {number} {os.getpid()} {time.monotonic()}")


def append(path: Path, line: str) -> None:
    """Add a line, in one piece, whoever else does so."""
    with path.open("ab", buffering=0) as file:
        file.write(line.replace("\n", " ").encode() + b"\n")


@dataclass(frozen=True)
class Noted:
    """A line of the journal."""

    graph_id: str
    process: int
    time: float
    became: str


@dataclass(frozen=True)
class Payment:
    """A line of the ledger."""

    graph_id: str
    step: int
    process: int
    time: float


def paid(ledger: Path) -> Iterator[Payment]:
    """The lines of the ledger, in order."""
    for line in ledger.read_text().splitlines():
        graph_id, step, process, moment = line.split()
        yield Payment(graph_id, int(step), int(process), float(moment))


def noted(journal: Path) -> Iterator[Noted]:
    """The lines of the journal, in order."""
    for line in journal.read_text().splitlines():
        graph_id, process, moment, became = line.split(" ", 3)
        yield Noted(graph_id, int(process), float(moment), became)


def _be_another_machine() -> None:
    """Nobody sees that the process of another worker has ended, as if it were on another machine: claims have to expire."""
    name = f"machine of {os.getpid()}"
    processes.this_system = claims.this_system = lambda: name  # type: ignore[assignment]
