"""SIGKILL a process that checkpoints each step, at random instants, over and over.

    python -m tests.crash.kill_writers --kills 1000 --seed 7
    python -m tests.crash.kill_writers --url 'sqlite:///{directory}/checkpoints.db'

Beside every second writer another process prunes the graph and collects garbage, unless told otherwise, and is killed, too. After
each kill another process reads the store: the latest checkpoint must load, nothing that was acknowledged may be lost, and every
checkpoint must hold a consistent cut of the history. Then the next writer continues from the latest.
Exit status 0: all of that held, every time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import select
import signal
import struct
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial

from spark.errors import SparkError
from spark.graphs.checkpoint import CheckpointHandler, CheckpointManager, Durability, GraphCheckpoint, KeepLast
from spark.hooks import events
from tests.crash.children import answer_of_child, be_a_child, read_all
from tests.crash.stores import MakeBackend, complaint_about_store, maker
from tests.crash.worker_graph import GRAPH_ID, KEPT, build

KEPT_BY_ALL = KEPT // 2
"""So few checkpoints the other process keeps that it always finds some to delete."""
_ACK = struct.Struct("<q")
_PATIENCE = 30
"""Seconds until the next checkpoint, at most."""


class Acknowledge(CheckpointHandler):
    """Tells the parent, through a pipe, which checkpoint was acknowledged."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        assert checkpoint.sequence is not None
        os.write(self._pipe, _ACK.pack(checkpoint.sequence))


def kill_over_and_over(
    make: MakeBackend,
    *,
    kills: int,
    acks: int,
    longest: float,
    chance: random.Random,
    durability: Durability = "sync",
    is_alone: bool = False,
) -> int:
    """Returns how many checkpoints were acknowledged in all.

    :param acks: checkpoints that a writer may make before its time begins to run.
    :param longest: seconds that it may live then.
    :param is_alone: no other process deletes checkpoints.
    :raises AssertionError: something acknowledged was lost, or something stored is not right.
    """
    acknowledged = 0
    for number in range(1, kills + 1):
        # Every third writer may be killed while it starts.
        least, after = chance.randrange(1, acks + 1) if number % 3 else 0, chance.uniform(0, longest)
        last = _write_until_killed(
            make, acks=least, after=after, durability=durability, is_pruned=not is_alone and number % 2 == 0
        )
        acknowledged = max(acknowledged, last)
        kept = KEPT if is_alone else KEPT_BY_ALL
        complaint = answer_of_child(partial(complaint_about_store, make, GRAPH_ID, acknowledged, kept=kept))
        assert not complaint, f"after kill {number}: {complaint}"
    return acknowledged


def _write_until_killed(make: MakeBackend, *, acks: int, after: float, durability: Durability, is_pruned: bool) -> int:
    """The last sequence that a writer acknowledged before it was killed; 0 when there was none.

    :param acks: how many it acknowledges at least.
    :param after: seconds that it lives then.
    :param is_pruned: another process deletes what it may meanwhile.
    """
    pruner = _start_pruner(make) if is_pruned else None
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        be_a_child(lambda: build(make(), Acknowledge(writer), durability=durability).run(resume=True))
    os.close(writer)
    heard = _wait_for_acks(reader, acks)
    time.sleep(after)  # the instant of the kill is the point
    os.kill(child, signal.SIGKILL)
    if pruner is not None:
        os.kill(pruner, signal.SIGKILL)
        os.waitpid(pruner, 0)
    heard += read_all(reader)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the writer ended by itself, with status {os.waitstatus_to_exitcode(status)}"
    complete = len(heard) // _ACK.size * _ACK.size
    return max((sequence for (sequence,) in _ACK.iter_unpack(heard[:complete])), default=0)


def _start_pruner(make: MakeBackend) -> int:
    child = os.fork()
    if child == 0:
        be_a_child(partial(_prune, make))
    return child


async def _prune(make: MakeBackend) -> None:
    """Delete checkpoints and collect garbage, over and over, until killed."""
    async with make() as backend:
        manager = CheckpointManager(backend)
        while True:
            with suppress(SparkError):  # what is deleted by the writer meanwhile
                await manager.prune(KeepLast(KEPT_BY_ALL), graph_id=GRAPH_ID)
            await asyncio.sleep(0.005)


def _wait_for_acks(reader: int, count: int) -> bytes:
    """What is heard until so many checkpoints were acknowledged, or the writer ends."""
    heard = b""
    while len(heard) < count * _ACK.size and select.select([reader], [], [], _PATIENCE)[0]:
        part = os.read(reader, _ACK.size * 1000)
        if not part:
            break
        heard += part
    return heard


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--acks", type=int, default=60, help="checkpoints that a writer may make before its time runs")
    parser.add_argument("--longest", type=float, default=0.06, help="seconds that it may live then")
    parser.add_argument("--url", default="file://{directory}", help="of the store; {directory} is a temporary folder")
    parser.add_argument("--backend", default="", help="module:Class, instead of the one installed for the URL")
    parser.add_argument("--alone", action="store_true", help="no other process deletes checkpoints")
    parser.add_argument("--durability", choices=("sync", "async"), default="sync", help="what each step waits for")
    options = parser.parse_args()
    events.listeners("spark_checkpoint_created")  # look for plugins once, not in every child
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spark-crash-") as folder:
        make = maker(options.url.format(directory=folder), named=options.backend)
        acknowledged = kill_over_and_over(
            make,
            kills=options.kills,
            acks=options.acks,
            longest=options.longest,
            chance=random.Random(options.seed),
            durability=options.durability,
            is_alone=options.alone,
        )
    seconds = time.monotonic() - began
    print(
        f"{options.kills} kills (seed {options.seed}), {acknowledged} checkpoints acknowledged, none lost, {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
