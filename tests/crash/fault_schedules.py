"""Drive writers and graphs through an S3 server that fails at random, and see that nothing is lost or doubled.

    python -m tests.crash.fault_schedules --schedules 10000 --seed 7
    python -m tests.crash.fault_schedules --seed 7 --lane 31      # once more, the lane that a complaint names

Each schedule is a graph of its own, worked on by one writer through a proxy that refuses, resets, loses, delays or cuts
requests and answers as the seed says. Afterwards a clean connection must see every acknowledged checkpoint once and
whole, none that was deleted, of those in doubt nothing half, and the latest must load. Exit status 0: so it was.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spark_backend_s3 import S3CheckpointBackend
from spark_backend_s3.scan import TRUST, BootClock, Trust
from spark_testing.records import make_record
from tests.crash.fault_programs import PATIENCE, Writer, check_in_the_end, run_graph
from tests.plugins.support.s3.faults import PASS, AtRandom, FaultyProxy, Request, in_order
from tests.plugins.support.s3.servers import S3Server, given_server, running_server
from tests.plugins.support.s3.stores import set_timeout, trusting

LANES_OF_A_SERVER = 20
"""A server that keeps all in memory is replaced after so many."""
SHORT_PAUSE, LONG_PAUSE = 11.0, 130.0
"""Seconds after which a writer no longer trusts its last look; and after which nothing is too young to be removed."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a run of this harness is about."""

    seed: int
    schedules: int
    lane: int = 50
    """So many of them follow each other through one proxy, one backend and one bucket."""
    calls: int = 15
    """So many at most a writer makes of a backend; a graph goes a third as many steps in each run."""
    backend: str = "spark_backend_s3:S3CheckpointBackend"
    """``module:Class``"""
    rate: float = 0.2
    """How many requests fail, between 0 and 1."""
    at_once: int = 20
    """Lanes at the same time in a process: most of a failing request's time is waiting."""
    timeout: float = 0.6
    """Seconds that the backend has for a request, over all attempts."""

    def lanes(self) -> range:
        """The numbers of its lanes."""
        return range((self.schedules + self.lane - 1) // self.lane)

    def length(self, lane: int) -> int:
        """How many schedules a lane has."""
        return min(self.lane, self.schedules - lane * self.lane)


@dataclass
class Outcome:
    """What schedules amounted to."""

    acknowledged: int = 0
    """Checkpoints."""
    faults: Counter[str] = field(default_factory=Counter)
    """By kind of request, and what became of it."""

    def add(self, other: Outcome) -> None:
        """Count another's in."""
        self.acknowledged += other.acknowledged
        self.faults.update(other.faults)


class Lane:
    """Schedules, one after the other."""

    def __init__(self, sweep: Sweep, number: int, server: S3Server, *, bucket: str) -> None:
        self._sweep = sweep
        self._number = number
        self._server = server
        self._bucket = bucket
        self._chance = random.Random(f"{sweep.seed}/{number}")
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        """Work through all schedules.

        :raises Complaint: one of them lost or doubled something.
        """
        proxy = FaultyProxy(self._server.endpoint_url, in_order())
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(proxy.listening())
            clean = await stack.enter_async_context(self._backend(S3CheckpointBackend, self._server.endpoint_url))
            kind = _imported(self._sweep.backend)
            trust = trusting(clock=Ahead(proxy))
            faulty = await stack.enter_async_context(self._backend(kind, proxy.endpoint_url, trust=trust))
            await faulty.put(make_record("warm"))  # connected, before the short time begins
            set_timeout(faulty, self._sweep.timeout)
            proxy.schedule = AtRandom(self._chance, rate=self._sweep.rate)
            for schedule in range(self._sweep.length(self._number)):
                with _named(f"seed {self._sweep.seed}, lane {self._number}, schedule {schedule}", proxy):
                    await self._work(f"graph {schedule}", faulty, clean, proxy)
                self._outcome.faults.update(name for request in proxy.requests if (name := _shown(request)))
                proxy.requests.clear()
        return self._outcome

    async def _work(
        self, graph_id: str, faulty: S3CheckpointBackend, clean: S3CheckpointBackend, proxy: FaultyProxy
    ) -> None:
        async def pause() -> None:
            await proxy.deliver()  # a request is late by less than a place is kept
            proxy.ahead += self._chance.choice([0, SHORT_PAUSE, LONG_PAUSE])

        def step() -> None:
            proxy.ahead += self._chance.choice([0, 0, 0, 0, SHORT_PAUSE])

        if self._chance.random() < 0.4:
            runs, steps = self._chance.randrange(1, 4), self._chance.randrange(2, self._sweep.calls // 3 + 1)
            self._outcome.acknowledged += await run_graph(
                faulty, graph_id, runs=runs, steps=steps, pause=pause, step=step, clean=clean
            )
        else:
            writer = Writer(faulty, graph_id, self._chance, pause=pause)
            await writer.work(self._chance.randrange(6, self._sweep.calls + 1))
            self._outcome.acknowledged += len(writer.book.used)
            await proxy.deliver()
            with _without_faults(proxy, faulty, self._sweep.timeout):
                proxy.ahead += SHORT_PAUSE
                await writer.try_used()
            await check_in_the_end(clean, graph_id, writer.book)

    def _backend(
        self, kind: type[S3CheckpointBackend], endpoint_url: str, *, trust: Trust = TRUST
    ) -> S3CheckpointBackend:
        server = self._server
        return kind(
            self._bucket,
            endpoint_url=endpoint_url,
            region=server.region,
            key=server.key,
            secret=server.secret,
            trust=trust,
        )


@contextmanager
def _without_faults(proxy: FaultyProxy, faulty: S3CheckpointBackend, timeout: float) -> Iterator[None]:
    faults, proxy.schedule = proxy.schedule, in_order()
    set_timeout(faulty, PATIENCE)
    yield
    proxy.schedule = faults
    set_timeout(faulty, timeout)


class Ahead(BootClock):
    """A clock that goes ahead as the proxy says."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self._proxy = proxy

    def monotonic(self) -> float:
        return super().monotonic() + self._proxy.ahead


class _named:
    """Says where a complaint comes from, and which requests came before it."""

    def __init__(self, where: str, proxy: FaultyProxy) -> None:
        self._where = where
        self._proxy = proxy

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Exception):
            requests = "\n".join(
                f"  {request.kind} {request.target} {_shown(request)}" for request in self._proxy.requests
            )
            error.add_note(f"in {self._where}, after these requests:\n{requests}")


async def run_lanes(sweep: Sweep, lanes: Iterable[int], server: S3Server) -> Outcome:
    """Work through lanes, some at a time.

    :raises ExceptionGroup: of ``Complaint``, each with a note that names the lane.
    """
    outcome = Outcome()
    free = asyncio.Semaphore(sweep.at_once)

    async def run(number: int, bucket: str) -> None:
        async with free:
            outcome.add(await Lane(sweep, number, server, bucket=bucket).run())

    async with asyncio.TaskGroup() as group:
        for number in lanes:
            group.create_task(run(number, server.new_bucket()))
    return outcome


def run_batch(lanes: list[int], sweep: Sweep) -> Outcome:
    """Work through lanes with a server of their own, unless the environment names one."""
    logging.disable(logging.ERROR)  # that a failure was survived is no news here
    given = given_server()
    if given is not None:
        return asyncio.run(run_lanes(sweep, lanes, given))
    with running_server() as server:
        return asyncio.run(run_lanes(sweep, lanes, server))


def main() -> int:
    options = _parsed_options()
    sweep = Sweep(seed=options.seed, schedules=options.schedules, backend=options.backend, rate=options.rate)
    lanes = list(sweep.lanes()) if options.lane is None else [options.lane]
    batches = [lanes[start : start + LANES_OF_A_SERVER] for start in range(0, len(lanes), LANES_OF_A_SERVER)]
    began, outcome, done = time.monotonic(), Outcome(), 0
    # Each batch is a process of its own, by "spawn": what one leaves in memory slows down no other.
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=1) as pool:
        for batch, found in zip(batches, pool.imap(partial(run_batch, sweep=sweep), batches), strict=True):
            outcome.add(found)
            done += sum(sweep.length(lane) for lane in batch)
            if time.monotonic() - began > options.seconds:
                pool.terminate()
                break
    for fault, count in sorted(outcome.faults.items()):
        print(f"{count:7} {fault}")
    print(
        f"{done} schedules (seed {sweep.seed}), {outcome.acknowledged} checkpoints acknowledged, {outcome.faults.total()} "
        f"faults, nothing lost or doubled, {time.monotonic() - began:.0f} s"
    )
    return 0


def _parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--lane", type=int, help="only this one")
    parser.add_argument("--seconds", type=float, default=3600, help="begin no further batch after so long")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--rate", type=float, default=Sweep.rate, help="how many requests fail")
    parser.add_argument("--backend", default=Sweep.backend, help="module:Class")
    return parser.parse_args()


def _imported(named: str) -> type[S3CheckpointBackend]:
    module, _, name = named.partition(":")
    kind: type[S3CheckpointBackend] = getattr(importlib.import_module(module), name)
    return kind


def _shown(request: Request) -> str:
    if request.fault == PASS:
        return ""
    return f"{request.kind}: {request.fault.code or request.fault.ends}, reaches the server {request.fault.reaches}"


if __name__ == "__main__":
    sys.exit(main())
