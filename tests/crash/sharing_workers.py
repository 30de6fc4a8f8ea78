"""Let worker processes share the unfinished runs of one store, and kill or pause some of them on the way.

    python -m tests.crash.sharing_workers --url 'sqlite:///{directory}/checkpoints.db' --runs 200 --kills 10 --pauses 5

Each worker calls ``resume_all`` until nothing is left to do. Every step pays once, by a durable call. Exit status 0: every run
was completed, no step took effect twice, and what was paid twice was under way in a worker that was killed or paused.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from spark.errors import CheckpointConflictError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, CheckpointManager, Claim
from spark.graphs.checkpoint.derived import claims
from tests.crash.children import answer_of_child, be_a_child
from tests.crash.stores import MakeBackend, maker

STEPS = 4
AT_ONCE = 4
"""Runs that one worker has under way."""
TTL = 0.5
POLL = 0.005
_UNFINISHED = ("running", "waiting", "drained", "interrupted", "failed", "cancelled", "budget", "damaged")


class Pays(Node):
    """Pays, and counts in the state how often."""

    def __init__(self, ledger: Path) -> None:
        super().__init__(name="pays")
        self._ledger = ledger

    async def process(self, context: NodeContext) -> Any:
        number = await context.graph_state.length("paid")
        await context.run("pay", self._pay, context.graph_id, number)
        await asyncio.sleep(random.uniform(0, POLL))
        await context.graph_state.append("paid", number)
        return {"done": number + 1 == STEPS}

    def _pay(self, graph_id: str, number: int) -> None:
        with self._ledger.open("ab", buffering=0) as ledger:
            ledger.write(b"%s %d %d\n" % (graph_id.encode(), number, os.getpid()))


def graph(ledger: Path, store: CheckpointBackend, graph_id: str) -> Graph:
    pays = Pays(ledger)
    pays.on(done=False) >> pays
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=True, max_checkpoints=3)
    return Graph(pays, id=graph_id, state={"paid": []}, checkpoint_config=config)


async def begin(make: MakeBackend, ledger: Path, runs: int) -> str:
    """Make the runs, none of which takes a step yet. Returns nothing."""
    async with make() as store:
        for number in range(runs):
            new = graph(ledger, store, f"run-{number:04d}")
            run = asyncio.create_task(new.run())
            await asyncio.sleep(0)
            new.drain("begun, and left to the workers")
            await run
    return ""


async def work(make: MakeBackend, ledger: Path) -> None:
    """Resume runs until all are complete."""
    async with make() as store:
        manager = CheckpointManager(store)
        while await manager.runs(_UNFINISHED, limit=1):
            recovery = await manager.resume_all(partial(graph, ledger, store), limit=AT_ONCE, claim=Claim(ttl=TTL))
            for error in recovery.failed.values():
                if not isinstance(error, CheckpointConflictError):  # how a paused one is stopped
                    raise error
            await asyncio.sleep(POLL)


def start(make: MakeBackend, ledger: Path) -> int:
    """A worker process."""
    process = os.fork()
    if process == 0:
        be_a_child(partial(work, make, ledger))
    return process


def disturb(
    make: MakeBackend, ledger: Path, *, workers: int, runs: int, kills: int, pauses: int, chance: random.Random
) -> set[int]:
    """Let workers do all the work, and kill and pause some of them meanwhile. Returns the processes that were."""
    running = [start(make, ledger) for _ in range(workers)]
    acts = [*[signal.SIGKILL] * kills, *[signal.SIGSTOP] * pauses]
    chance.shuffle(acts)
    moments = sorted(chance.randrange(workers, runs * STEPS * 2 // 3) for _ in acts)
    disturbed = set[int]()
    for act, moment in zip(acts, moments, strict=True):
        _until(lambda moment=moment: _count(ledger) >= moment)  # type: ignore[misc]
        victim = chance.choice(running)
        disturbed.add(victim)
        os.kill(victim, act)
        if act == signal.SIGKILL:
            os.waitpid(victim, 0)
            running.remove(victim)
            if len(running) < 2:
                running.append(start(make, ledger))
        else:
            time.sleep(3 * TTL)  # others take over meanwhile
            os.kill(victim, signal.SIGCONT)
    for worker in running:
        assert os.waitpid(worker, 0)[1] == 0, "a worker failed"
    return disturbed


async def complaint(make: MakeBackend, ledger: Path, *, runs: int, disturbed: set[int], disturbances: int) -> str:
    """What went wrong, or ``""``."""
    async with make() as store:
        manager = CheckpointManager(store)
        found = await manager.runs()
        if [run.status for run in found] != ["completed"] * runs:
            return f"not all of {runs} runs are complete: {[run for run in found if run.status != 'completed']}"
        for run in found:
            state = (await manager.load_checkpoint(run.checkpoint_id or "")).graph_state["paid"]
            if [*state] != [*range(STEPS)] or run.iteration != STEPS:
                return f"run {run.graph_id!r} took {run.iteration} steps, and its state is {state}"
    return _complaint_about(_payments(ledger), runs=runs, disturbed=disturbed, most=AT_ONCE * disturbances)


def _complaint_about(payments: dict[str, list[int]], *, runs: int, disturbed: set[int], most: int) -> str:
    if len(payments) != runs * STEPS:
        return f"{len(payments)} of {runs * STEPS} steps were paid for"
    again = {step: processes for step, processes in payments.items() if len(processes) > 1}
    for step, processes in again.items():
        if not disturbed & {*processes}:
            return f"step {step} was paid for by {processes}, none of which was killed or paused"
    if sum(len(processes) - 1 for processes in again.values()) > most:
        return f"{len(again)} steps were paid for again, and at most {most} were under way: {again}"
    return ""


def _payments(ledger: Path) -> dict[str, list[int]]:
    """By run and step, the processes that paid for it."""
    payments = defaultdict[str, list[int]](list)
    for line in ledger.read_text().splitlines():
        graph_id, number, process = line.split()
        payments[f"{graph_id} {number}"].append(int(process))
    return payments


def _count(ledger: Path) -> int:
    return ledger.read_bytes().count(b"\n")


def _until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < ends, "the workers do nothing any more"
        time.sleep(0.001)


async def _claim_nothing(lease: claims.Lease) -> None:
    lease._held = [0]
    lease.valid_until = float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="file://{directory}", help="of the store; {directory} is a temporary folder")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pauses", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--without-claims", action="store_true", help="plant a bug: whoever wants to may run a graph")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    if options.without_claims:
        claims.Lease.take = _claim_nothing  # type: ignore[method-assign]
    began, chance = time.monotonic(), random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="spark-share-") as folder:
        make, ledger = maker(options.url.format(directory=folder)), Path(folder, "ledger")
        ledger.touch()
        begun = answer_of_child(partial(begin, make, ledger, options.runs))
        assert not begun, begun
        counts = {"runs": options.runs, "kills": options.kills, "pauses": options.pauses}
        disturbed = disturb(make, ledger, workers=options.workers, chance=chance, **counts)
        disturbances = options.kills + options.pauses
        found = answer_of_child(
            partial(complaint, make, ledger, runs=options.runs, disturbed=disturbed, disturbances=disturbances)
        )
        assert not found, found
        again = _count(ledger) - options.runs * STEPS
    seconds = time.monotonic() - began
    print(f"{options.runs} runs of {STEPS} steps are complete; {again} steps were paid for again; {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
