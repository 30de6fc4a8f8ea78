"""Let worker processes share the submitted runs of one store, and kill and stop some of them at random.

    python -m tests.crash.prove_workers --workers 8 --runs 1000 --minutes 5

Each worker does what ``spark worker`` does. Every step pays once, by a durable call. Exit status 0: each run is complete and no
step took effect twice; what was paid twice was under way in a worker that was killed or stopped; nobody took over what another
one still claimed; what a killed one had claimed was taken over as soon as its claim had expired and another one had room; and a
stopped worker that woke up when its runs were another's has said so, and saved nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from spark.graphs.checkpoint import CheckpointManager
from tests.crash.children import answer_of_child
from tests.crash.planted_worker_bugs import BUGS
from tests.crash.postgres_server import killable_server
from tests.crash.stores import MakeBackend, maker
from tests.crash.workers import AT_ONCE, EVERY, STEPS, Noted, Payment, Work, noted, paid

LATE: Final = 1.0
"""Seconds by which the machine may be late, with anything, unless told otherwise."""
A_LOOK: Final = 2.0
"""Seconds that a look takes at most, with its pause, where eight workers and the database share two cores."""


@dataclass
class Disturbed:
    """What was done to the workers."""

    killed: dict[int, float] = field(default_factory=dict)
    """Process to the moment."""
    stopped: list[tuple[int, float, float]] = field(default_factory=list)
    """Processes, when they were stopped, and when they went on."""

    @property
    def processes(self) -> set[int]:
        return {*self.killed, *(process for process, *_ in self.stopped)}


class Round:
    """One set of runs, carried out by workers that are disturbed.

    :param plant: plants a bug in each worker, perhaps.
    :param patience: seconds in which something has to happen.
    """

    def __init__(
        self, work: Work, *, workers: int, runs: int, plant: Callable[[], None], patience: float, chance: random.Random
    ) -> None:
        self._work = work
        self._count = workers
        self._runs = runs
        self._chance = chance
        self._patience = patience
        self._start = partial(work.start, plant=plant)
        self._running: list[int] = []
        self._asleep: dict[int, float] = {}
        """Stopped workers, and until when."""
        self._look_at = 0.0
        """When to look into the store again."""
        self.disturbed = Disturbed()
        self.seconds = 0.0

    def carry_out(self, *, kills: int, stops: int) -> None:
        """Let the workers do all of it.

        :raises AssertionError: they don't.
        """
        assert not (failed := answer_of_child(partial(self._work.submit, self._runs))), failed
        began = time.monotonic()
        self._running = [self._start() for _ in range(self._count)]
        try:
            self._disturb(kills=kills, stops=stops)
            self._until(self._are_complete)
            self._until(lambda: not self._asleep)
            self.seconds = time.monotonic() - began
            for worker in self._running:
                os.kill(worker, signal.SIGTERM)
            while self._running:
                worker = self._running.pop()
                assert os.waitpid(worker, 0)[1] == 0, "a worker failed"
        finally:
            for worker in self._running:
                os.kill(worker, signal.SIGKILL)
                os.waitpid(worker, 0)

    def _disturb(self, *, kills: int, stops: int) -> None:
        acts = [*[self._kill] * kills, *[self._stop] * stops]
        self._chance.shuffle(acts)
        moments = sorted(self._chance.randrange(1, self._runs * STEPS * 9 // 10) for _ in acts)
        for act, moment in zip(acts, moments, strict=True):
            self._until(lambda moment=moment: self._payments() >= moment)  # type: ignore[misc]
            awake = [each for each in self._running if each not in self._asleep]
            busy = self._with_runs()
            act(self._chance.choice([each for each in awake if each in busy] or awake))

    def _with_runs(self) -> set[int]:
        """The workers with a run that is under way, as far as payments tell."""
        latest = {each.graph_id: each for each in paid(self._work.ledger)}
        return {each.process for each in latest.values() if each.step < STEPS - 1}

    def _kill(self, victim: int) -> None:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        self.disturbed.killed[victim] = time.monotonic()
        self._running[self._running.index(victim)] = self._start()

    def _stop(self, victim: int) -> None:
        if len(self._running) - len(self._asleep) < 2:
            return  # nobody would be left
        os.kill(victim, signal.SIGSTOP)
        # Mostly for longer than others wait before they take over, and sometimes for less.
        self._asleep[victim] = time.monotonic() + self._chance.uniform(0.5, 4) * self._work.ttl
        self.disturbed.stopped.append((victim, time.monotonic(), self._asleep[victim]))

    def _wake(self) -> None:
        for victim in [victim for victim, until in self._asleep.items() if until <= time.monotonic()]:
            del self._asleep[victim]
            os.kill(victim, signal.SIGCONT)

    def _until(self, is_so: Callable[[], bool]) -> None:
        done, ends = -1, time.monotonic() + self._patience
        while not is_so():
            self._wake()
            assert (failed := self._failed()) is None, failed
            if (paid := self._payments()) != done:
                done, ends = paid, time.monotonic() + self._patience
            assert time.monotonic() < ends, f"the workers do nothing any more; {self._completed()} runs are complete"
            time.sleep(0.005)

    def _are_complete(self) -> bool:
        """Whether no run is left. A worker may have been killed between completing one and saying so."""
        silent = self._runs - self._completed()
        if silent > len(self.disturbed.killed) * AT_ONCE or time.monotonic() < self._look_at:
            return silent == 0
        self._look_at = time.monotonic() + 1
        return not silent or not answer_of_child(partial(complaint_about_store, self._work.make, self._runs))

    def _failed(self) -> str | None:
        """How a worker ended that should not have."""
        for worker in self._running:
            ended, status = os.waitpid(worker, os.WNOHANG)
            if ended:
                self._running.remove(worker)
                return f"a worker ended with status {status}"
        return None

    def _payments(self) -> int:
        return self._work.ledger.read_bytes().count(b"\n")

    def _completed(self) -> int:
        lines = self._work.journal.read_bytes().splitlines()
        return len({line.partition(b" ")[0] for line in lines if line.endswith(b" completed")})


async def complaint_about_store(make: MakeBackend, runs: int) -> str:
    """What is wrong with the runs in the store, or ``""``."""
    async with make() as store:
        manager = CheckpointManager(store)
        found = await manager.runs()
        if [run.status for run in found] != ["completed"] * runs:
            return f"not all of {runs} runs are complete: {[run for run in found if run.status != 'completed']}"
        for run in found:
            state = (await manager.load_checkpoint(run.checkpoint_id or "")).graph_state["paid"]
            if [*state] != [*range(STEPS)] or run.iteration != STEPS:
                return f"run {run.graph_id!r} took {run.iteration} steps, and its state is {[*state]}"
    return ""


def complaint_about_payments(work: Work, *, runs: int, disturbed: Disturbed) -> str:
    """What is wrong with what was paid, or ``""``."""
    payments = defaultdict[str, list[int]](list)
    for each in paid(work.ledger):
        payments[f"{each.graph_id} {each.step}"].append(each.process)
    if len(payments) != runs * STEPS:
        return f"{len(payments)} of {runs * STEPS} steps were paid for"
    again = {step: processes for step, processes in payments.items() if len(processes) > 1}
    for step, processes in again.items():
        if not disturbed.processes & {*processes}:
            return f"step {step} was paid for by {processes}, none of which was killed or stopped"
    most = AT_ONCE * (len(disturbed.killed) + len(disturbed.stopped))
    if sum(len(processes) - 1 for processes in again.values()) > most:
        return f"{len(again)} steps were paid for again, and at most {most} were under way: {again}"
    return ""


def complaint_about_claims(work: Work, disturbed: Disturbed, waits: list[float], *, late: float) -> str:
    """What is wrong with who took up which run, or ``""``.

    :param late: seconds by which the machine may be late.
    :param waits: gets the seconds from each kill to the moment when another worker had a run of the killed one.
    """
    lines, payments = [*noted(work.journal)], [*paid(work.ledger)]
    touched = {each.graph_id for each in lines if each.process in disturbed.processes}
    for each in lines:
        if _is_lost(each) and each.graph_id not in touched:
            return f"{each.graph_id} was taken from {each.process}, which was there all the time"
    for process, moment in disturbed.killed.items():
        for graph_id in _held(lines, payments, process, moment):
            taken = _taken_over([each for each in lines if each.graph_id == graph_id], after=moment)
            if taken is None:
                continue  # it was killed after it had saved the last step
            waits.append(taken.time - moment)
            slept = any(
                stopped < moment and moment - woke < 2 * work.ttl
                for sleeper, stopped, woke in disturbed.stopped
                if sleeper == process
            )
            if not slept and waits[-1] < 2 * work.ttl - work.ttl / 3 - late:  # asleep, it may not have renewed it
                return f"{graph_id} was taken over {waits[-1]:.2f} s after its worker was killed: its claim still held"
            overdue = _overdue(lines, disturbed, moment + 2 * work.ttl, taken.time)
            if overdue > EVERY + A_LOOK + late:
                since = [
                    (f"{each.time - moment:.2f}", each.process, each.became)
                    for each in lines
                    if each.graph_id == graph_id
                ]
                return (
                    f"{graph_id} was taken over only {waits[-1]:.2f} s after {process} was killed, although a worker had room "
                    f"for {overdue:.2f} s after its claim had expired: {since}"
                )
    for process, stopped, woke in disturbed.stopped:
        for graph_id in _held(lines, payments, process, stopped):
            others = [each for each in lines if each.graph_id == graph_id and each.process != process]
            is_lost = any(_is_taken(each, after=stopped) and each.time < woke - late for each in others)
            said = next(
                (each for each in lines if (each.graph_id, each.process) == (graph_id, process) and each.time > woke),
                None,
            )
            if is_lost and said is not None and said.became in ("completed", "drained"):
                return f"{graph_id} was another's when {process} woke up, and {process} says that it was {said.became}"
    return ""


def _held(lines: list[Noted], payments: list[Payment], process: int, moment: float) -> Iterator[str]:
    """The runs that a worker held at a moment: it had taken them up, and paid for a step, and nobody had taken them over."""
    mine = {each.graph_id: each for each in lines if each.process == process and each.time <= moment}
    for graph_id, latest in mine.items():
        has_paid = any(
            (each.graph_id, each.process) == (graph_id, process) and latest.time < each.time <= moment
            for each in payments
        )
        others = [each for each in lines if each.graph_id == graph_id and each.process != process]
        other = _taken_over(others, after=latest.time)
        if latest.became == "taken up" and has_paid and (other is None or other.time > moment):
            yield graph_id


def _overdue(lines: list[Noted], disturbed: Disturbed, begin: float, end: float) -> float:
    """For how many of these seconds a worker that was neither stopped nor killed had room for one more run."""
    step = 0.05
    count = max(int((end - begin) / step), 0)
    return step * sum(_has_room(lines, disturbed, begin + number * step) for number in range(count))


def _has_room(lines: list[Noted], disturbed: Disturbed, moment: float) -> bool:
    under_way = defaultdict[int, set[str]](set)
    for each in lines:
        if each.time <= moment:
            change = under_way[each.process].add if each.became == "taken up" else under_way[each.process].discard
            change(each.graph_id)
    away = {process for process, killed in disturbed.killed.items() if killed <= moment}
    away |= {process for process, stopped, woke in disturbed.stopped if stopped <= moment < woke}
    return any(len(runs) < AT_ONCE for process, runs in under_way.items() if process not in away)


def _is_lost(each: Noted) -> bool:
    """Whether the worker says that somebody else has gone on with the run."""
    return "was taken over" in each.became or "CheckpointConflictError" in each.became


def _taken_over(lines: list[Noted], *, after: float) -> Noted | None:
    """When somebody took up a run, and was not refused it. Who lost it later has had it.

    :param lines: of this run.
    """
    for number, line in enumerate(lines):
        if line.became == "taken up" and line.time > after:
            then = next((each.became for each in lines[number + 1 :] if each.process == line.process), "")
            if not then.startswith("left alone") or "was taken over" in then:
                return line
    return None


def _is_taken(each: Noted, *, after: float) -> bool:
    """Whether somebody has it now: they are told so before they claim it, so an end says it, too."""
    return each.time > after and not each.became.startswith(("taken up", "left alone"))


@contextmanager
def _stores(url: str) -> Iterator[Callable[[str], str]]:
    """What names a store for each round."""
    if url != "postgres":
        yield lambda folder: url.format(directory=folder)
        return
    with killable_server() as server:
        yield lambda folder: server.new_database()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--url", default="postgres", help="of the store, {directory} is a temporary folder; or postgres"
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--kills", type=int, help="in each round; default: one for 20 runs")
    parser.add_argument("--stops", type=int, help="likewise; default: one for 50 runs")
    parser.add_argument(
        "--minutes", type=float, default=0, help="rounds begin within this time; there is one in any case"
    )
    parser.add_argument("--ttl", type=float, default=3.0, help="seconds, of the claims")
    parser.add_argument("--patience", type=float, default=120, help="seconds in which something has to happen")
    parser.add_argument("--late", type=float, default=LATE, help="seconds by which the machine may be late")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--plant", choices=BUGS, default="nothing", help="a bug that has to be found")
    options = parser.parse_args()
    ends, seed = time.monotonic() + options.minutes * 60, options.seed
    with _stores(options.url) as store_of:
        while True:
            _prove(store_of, seed, options)
            seed += 1
            if time.monotonic() >= ends:
                return 0


def _prove(store_of: Callable[[str], str], seed: int, options: argparse.Namespace) -> None:
    print(f"seed {seed}", flush=True)
    runs, waits = options.runs, list[float]()
    with tempfile.TemporaryDirectory(prefix="spark-workers-") as folder:
        work = Work(maker(store_of(folder)), Path(folder), options.ttl)
        shared = Round(
            work,
            workers=options.workers,
            runs=runs,
            plant=BUGS[options.plant],
            patience=options.patience,
            chance=random.Random(seed),
        )
        kills = runs // 20 if options.kills is None else options.kills
        stops = runs // 50 if options.stops is None else options.stops
        try:
            shared.carry_out(kills=kills, stops=stops)
        except AssertionError as error:
            # Perhaps they take a run from each other, for ever.
            why = complaint_about_claims(work, shared.disturbed, waits, late=options.late)
            raise AssertionError(f"{error}; {why}") if why else error from None
        found = (
            answer_of_child(partial(complaint_about_store, work.make, runs))
            or complaint_about_payments(work, runs=runs, disturbed=shared.disturbed)
            or complaint_about_claims(work, shared.disturbed, waits, late=options.late)
        )
        assert not found, found
        again = work.ledger.read_bytes().count(b"\n") - runs * STEPS
        lost = sum(map(_is_lost, noted(work.journal)))
        late = sum(
            "left alone: another" in each.became or "is being run" in each.became for each in noted(work.journal)
        )
    print(
        f"{runs} runs of {STEPS} steps are complete, by {options.workers} workers in {shared.seconds:.0f} s; "
        f"{len(shared.disturbed.killed)} kills, {len(shared.disturbed.stopped)} stops; {again} steps were paid for again; "
        f"{lost} runs were given up by workers that had been stopped; {late} times another worker was faster"
    )
    if waits:
        print(
            f"{len(waits)} runs of killed workers were taken over, half of them within "
            f"{statistics.median(waits):.1f} s, the last one after {max(waits):.1f} s; the claims last {options.ttl:g} s"
        )


if __name__ == "__main__":
    sys.exit(main())
