"""SIGKILL a PostgreSQL server, postmaster and children, under graphs that checkpoint each step, over and over.

    python -m tests.crash.kill_postgres --kills 100 --seed 7
    python -m tests.crash.kill_postgres --kills 100 --how fast --pgbouncer

It may also be stopped, and the writers may reach it through PgBouncer in transaction mode. After each kill the server is started
again. The writers must continue: a patient one as if nothing had happened, an impatient one by resuming, after its error. Nothing
that was acknowledged may be lost, or be saved a second time, and every checkpoint must hold a consistent cut of the history.
Exit status 0: all of that held, every time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import random
import select
import signal
import struct
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from sqlalchemy import event

from spark.errors import BackendError
from spark.graphs.checkpoint import CheckpointBackend, CheckpointHandler, GraphCheckpoint
from spark.hooks import events
from tests.crash.children import answer_of_child, be_a_child, read_all
from tests.crash.postgres_server import KillableServer, killable_server
from tests.crash.stores import MakeBackend, complaint_about_store, maker
from tests.crash.worker_graph import build
from tests.plugins.support.pgbouncer import running_pgbouncer

GRAPHS = 3
PATIENCE = 40
"""Seconds in which writers have to continue."""
PATIENT, IMPATIENT = 30.0, 0.001
"""Seconds that the backend's calls wait for a server that is away."""
_NEWS = struct.Struct("<iq")
"""The number of a graph, and the sequence that was acknowledged."""
_CUT_OFF = _NEWS.pack(-1, 0)
"""A transaction failed with its connection."""


class Tell(CheckpointHandler):
    """Tells the parent, through a pipe, which checkpoint of which graph was acknowledged."""

    def __init__(self, pipe: int, graph: int) -> None:
        self._pipe = pipe
        self._graph = graph

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        assert checkpoint.sequence is not None
        os.write(self._pipe, _NEWS.pack(self._graph, checkpoint.sequence))


@dataclass
class Acknowledged:
    """What the writers have acknowledged so far."""

    last: list[int] = field(default_factory=lambda: [0] * GRAPHS)
    """Of each graph the last sequence."""
    cut_off: int = 0
    """How many transactions the server did not answer to their end."""

    def hear(self, pipe: int, *, seconds: float) -> bool:
        """Take in what comes within this time; False when nothing does.

        :raises AssertionError: the writers have ended, or a sequence was acknowledged twice.
        """
        if not select.select([pipe], [], [], seconds)[0]:
            return False
        news = os.read(pipe, _NEWS.size * 1000)
        assert news, "the writers ended by themselves"
        self.take(news)
        return True

    def take(self, news: bytes) -> None:
        """Note these messages."""
        for graph, sequence in _NEWS.iter_unpack(news):
            if graph < 0:
                self.cut_off += 1
                continue
            assert sequence > self.last[graph], (
                f"checkpoint {sequence} of graph {graph} was acknowledged, lost and redone"
            )
            self.last[graph] = sequence

    def hear_progress(self, pipe: int, *, steps: int) -> None:
        """Listen until each graph has made so many steps."""
        goals = [last + steps for last in self.last]
        give_up = time.monotonic() + PATIENCE
        while any(last < goal for last, goal in zip(self.last, goals, strict=True)):
            assert time.monotonic() < give_up, f"the writers do not continue: at {self.last}, on their way to {goals}"
            self.hear(pipe, seconds=0.2)


def kill_over_and_over(
    server: KillableServer, make: MakeBackend, *, kills: int, longest: float, chance: random.Random, how: str = "kill"
) -> Acknowledged:
    """Returns what was acknowledged in all.

    :param how: "kill", or how the server is stopped: "fast" or "immediate".
    :param longest: seconds that the server may live after the writers began to write.
    :raises AssertionError: something acknowledged was lost or saved twice, or something stored is not right.
    """
    acknowledged = Acknowledged()
    for number in range(1, kills + 1):
        is_patient = chance.random() < 0.5
        try:
            after = chance.uniform(0, longest)
            _write_through_a_kill(server, make, acknowledged, after=after, is_patient=is_patient, how=how)
            complaint = _complaint(make, acknowledged)
        except AssertionError as error:
            complaint = str(error)
        assert not complaint, f"after kill {number}, {'patient' if is_patient else 'impatient'} writers: {complaint}"
    return acknowledged


def _write_through_a_kill(
    server: KillableServer, make: MakeBackend, acknowledged: Acknowledged, *, after: float, is_patient: bool, how: str
) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        be_a_child(lambda: _write(make, writer, is_patient=is_patient), longest=3 * PATIENCE)
    os.close(writer)
    try:
        acknowledged.hear_progress(reader, steps=2)
        time.sleep(after)  # the instant of the kill is the point
        server.kill() if how == "kill" else server.stop(how)
        while acknowledged.hear(reader, seconds=0):
            pass
        server.start()
        acknowledged.hear_progress(reader, steps=2)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    acknowledged.take(read_all(reader))


def _complaint(make: MakeBackend, acknowledged: Acknowledged) -> str:
    async def of_all() -> str:
        complaints = [
            await complaint_about_store(make, _graph_id(graph), last) for graph, last in enumerate(acknowledged.last)
        ]
        return "; ".join(filter(None, complaints))

    return answer_of_child(of_all)


async def _write(make: MakeBackend, pipe: int, *, is_patient: bool) -> None:
    """Be the writers, until killed."""
    logging.disable()  # what fails is the point
    async with make(wait=PATIENT if is_patient else IMPATIENT) as backend:
        _tell_what_is_cut_off(backend, pipe)
        await asyncio.gather(*(_run_on(backend, pipe, graph) for graph in range(GRAPHS)))


async def _run_on(backend: CheckpointBackend, pipe: int, graph: int) -> None:
    while True:
        try:
            await build(backend, Tell(pipe, graph), graph_id=_graph_id(graph)).run(resume=True)
        except BackendError:
            await asyncio.sleep(0.02)  # the server is away


def _tell_what_is_cut_off(backend: CheckpointBackend, pipe: int) -> None:
    """Tell of each connection that replaces one on which a transaction failed."""
    connections = itertools.count()

    def note(*_: object) -> None:
        if next(connections):
            os.write(pipe, _CUT_OFF)

    event.listen(backend.database.writing, "connect", note)  # type: ignore[attr-defined]


def _graph_id(graph: int) -> str:
    return f"survivor {graph}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--longest", type=float, default=0.1, help="seconds that the server may live under the writers")
    parser.add_argument(
        "--how", choices=["kill", "fast", "immediate"], default="kill", help="what is done to the server"
    )
    parser.add_argument("--pgbouncer", action="store_true", help="between the writers and the server")
    parser.add_argument("--backend", default="", help="module:Class, instead of the one installed for the URL")
    options = parser.parse_args()
    events.listeners("spark_checkpoint_created")  # look for plugins once, not in every child
    began = time.monotonic()
    with killable_server() as server, ExitStack() as stack:
        url = server.url
        if options.pgbouncer:
            url = stack.enter_context(running_pgbouncer(server.socket, user=server.user))
        acknowledged = kill_over_and_over(
            server,
            maker(url, named=options.backend),
            kills=options.kills,
            longest=options.longest,
            chance=random.Random(options.seed),
            how=options.how,
        )
    print(
        f"{options.kills} kills of PostgreSQL (seed {options.seed}), {sum(acknowledged.last)} checkpoints acknowledged, "
        f"{acknowledged.cut_off} transactions cut off, none lost, none twice, {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
